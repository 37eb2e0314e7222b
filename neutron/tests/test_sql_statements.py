"""The cost of reads, in statements: constant, however many routers there are."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def routers(neutron: Any, external: Any) -> list[str]:
    made = []
    for number in range(3):
        net = neutron.network(name=f"many-{number}")
        router = neutron.tenant.create(
            "router", name="many", external_gateway_info={"network_id": external["id"]}
        )
        neutron.attach(router["id"], net["subnet"]["id"])
        neutron.tenant.create("port", network_id=net["id"])
        made.append(router["id"])
    return made


def statements(neutron: Any, ids: list[str]) -> int:
    answer = neutron.service.get("/astara-routers", id=ids, limit=500)
    assert len(answer["astara_routers"]) == len(ids)
    count: int = neutron.service.statements
    return count


def test_a_page_takes_the_same_few_statements_for_one_router_and_for_many(
    neutron: Any, routers: list[str]
) -> None:
    one, many = statements(neutron, routers[:1]), statements(neutron, routers)
    assert one == many
    assert many <= 23


def test_a_detail_read_takes_the_same_few_statements_however_many_ports_there_are(
    neutron: Any, routers: list[str]
) -> None:
    neutron.service.view(routers[0])
    few = neutron.service.statements
    [net] = [n for n in neutron.service.view(routers[0])["networks"] if not n["external"]]
    for _ in range(6):
        neutron.tenant.create("port", network_id=net["id"])
    neutron.service.view(routers[0])
    assert neutron.service.statements == few
    assert few <= 26


def test_details_of_many_take_the_same_few_statements_as_of_one(
    neutron: Any, routers: list[str]
) -> None:
    def read(ids: list[str]) -> int:
        answer = neutron.service.get("/astara-routers", id=ids, fields=["id", "networks"])
        assert [len(router["networks"]) for router in answer["astara_routers"]] == [2] * len(ids)
        count: int = neutron.service.statements
        return count

    assert read(routers[:1]) == read(routers) <= 26
