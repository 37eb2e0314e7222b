"""The extension in a whole cloud: Keystone, MariaDB, the plug-in found by its entry point."""

from typing import Any

import pytest

pytestmark = pytest.mark.cloud

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_the_service_user_reads_generations(service: Any) -> None:
    answer = service.network.get("/astara-routers?limit=500")
    assert answer.status_code == 200
    for router in answer.json()["astara_routers"]:
        assert router["generation"]


def test_a_tenant_is_refused(tenant: Any) -> None:
    body = {"routerstatus": {"status": "ACTIVE"}}
    assert tenant.network.get("/astara-routers").status_code == 403
    assert tenant.network.get(f"/astara-routers/{UNKNOWN}").status_code in (403, 404)
    assert tenant.network.put(f"/dhrouterstatus/{UNKNOWN}", json=body).status_code == 403


def test_a_bad_report_is_refused_before_anything_is_looked_up(service: Any) -> None:
    body = {"routerstatus": {"status": "SPLENDID"}}
    answer = service.network.put(f"/dhrouterstatus/{UNKNOWN}", json=body)
    assert answer.status_code == 400
    assert "ACTIVE, BUILD, DOWN, ERROR" in answer.text
