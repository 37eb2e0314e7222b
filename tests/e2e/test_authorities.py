"""An operator replaces the certificate authority of a running cloud, by astara-pki alone."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from astara_devcloud import layout, outside
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600), pytest.mark.quiet]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
NODES_NOTICE_S = 60 + 15  # a node reads the authorities once a minute


class Router:
    """A router with a gateway, and what its operator sees of it."""

    def __init__(self, tenant: Tenant, service: Any) -> None:
        router = tenant.router("certified", external="public")
        self.appliance = appliance.Appliance(service, router.id)
        self.address = tenant.gateway_address(router)

    def serves(self) -> bool:
        """Tell whether it forwards and answers who has the orchestrator's certificate."""
        return OUTSIDE.pings(self.address) and self.appliance.answers()

    def certificate(self) -> tuple[str, int]:
        """Return its server's id, and how old it says that its certificate is."""
        found = re.search(
            r"^astara_appliance_certificate_age_seconds(?:\{.*\})? (\S+)$",
            self.appliance.metrics(),
            flags=re.MULTILINE,
        )
        assert found, "no age of the certificate in the appliance's metrics"
        return self.appliance.server_id(), int(float(found[1]))


def prepare(clouds: Any) -> Iterator[Router]:
    tenant = Tenant(clouds.tenant, "authorities-")
    tenant.clear()
    try:
        yield Router(tenant, clouds.service)
    finally:
        tenant.clear()


def pki(*verb: str) -> str:
    """Run astara-pki, and look at its authorities anew from here, too."""
    program = Path(sys.executable).with_name("astara-pki")
    config = layout.current_layout().etc / "orchestrator.ini"
    argv = [str(program), "--config-file", str(config), *verb]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    appliance.forget_certificates()
    return done.stdout


def authorities() -> dict[int, int]:
    """Return the number of each authority and how many appliances it signed for."""
    found = re.findall(r"^(\d+)\s+\w+\s+(\d+) appliances", pki("show"), flags=re.MULTILINE)
    return {int(number): int(users) for number, users in found}


def served_throughout(router: Router, seconds: float) -> bool:
    """Tell whether the router serves each time it is looked at."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not router.serves():
            return False
        time.sleep(2)
    return True


def test_authority_is_replaced_while_all_is_served(stage):
    router = stage
    probes.wait_until(router.serves, "the router serves", 240)
    before = authorities()
    server, age = router.certificate()
    begun = time.monotonic()
    with probes.PingStream(OUTSIDE, router.address, interval_s=0.1) as ping:
        pki("rotate")
        newest = max(authorities())
        assert newest > max(before)
        probes.wait_until(
            lambda: sum(users for number, users in authorities().items() if number < newest) == 0,
            "every appliance has a certificate of the new authority",
            240,
            every_s=3,
        )
        probes.wait_until(router.serves, "the router answers with the new certificate", 60)
        assert router.certificate()[0] == server
        assert router.certificate()[1] < age + (time.monotonic() - begun)
        for number in sorted(before):
            assert "trusted no longer" in pki("retire", str(number))
        assert served_throughout(router, NODES_NOTICE_S)
    assert set(authorities()) == {newest}
    assert router.certificate()[0] == server, "the appliance was rebuilt"
    assert (ping.sent > 0, ping.lost) == (True, 0)
