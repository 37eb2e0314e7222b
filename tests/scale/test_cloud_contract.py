"""What the simulated Keystone, Neutron and Nova and the real ones all hold to.

Asked by the orchestrator's own clients, whose answers are typed, wherever both have an answer. The
real ones are the devcloud's, with routers that its orchestrator serves; nothing is disturbed.
"""

import contextlib
import pathlib
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from oslo_config import cfg
from pyroute2 import netns

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import node  # noqa: E402  found by the path above
import simulated  # noqa: E402
import world  # noqa: E402

from astara import conf as options  # noqa: E402
from astara.clients import connect, errors  # noqa: E402
from astara.clients.neutron import MARK  # noqa: E402
from astara.conf import identity  # noqa: E402
from astara.instance import names  # noqa: E402

SERVED_S = 240.0  # for all of them; less than a test may take, so that it is told what is missing


@dataclass(frozen=True, slots=True)
class Subject:
    """A cloud with some routers, each served by an appliance."""

    clients: connect.Cloud
    conf: Any
    routers: list[str]

    @property
    def neutron(self) -> Any:
        return self.clients.neutron

    @property
    def nova(self) -> Any:
        return self.clients.nova


def _opened(config: pathlib.Path, routers: list[str]) -> Subject:
    conf = cfg.ConfigOpts()
    options.register(conf)
    identity.register(conf)
    conf(["--config-file", str(config)], project="astara")
    return Subject(connect.open_cloud(conf), conf, routers)


@contextlib.contextmanager
def _simulated(root: pathlib.Path, _request: pytest.FixtureRequest) -> Iterator[Subject]:
    config = node.Node(root, node.Options(tls=False)).config
    with simulated.room("cloud") as room:
        netns.pushns(room.name)
        try:
            yield _opened(config, [router.id for router in world.routers(simulated.ROUTERS)])
        finally:
            netns.popns()


@contextlib.contextmanager
def _real(_root: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    request.getfixturevalue("devcloud")
    from astara_devcloud import layout
    from astara_devcloud.story.tenant import Tenant

    drawn = Tenant(request.getfixturevalue("other_tenant"), "contract-")
    drawn.clear()
    try:
        made = []
        for number in range(2):
            router = drawn.router(f"r{number}", external="public")
            network = drawn.network(f"n{number}")
            drawn.plug(router, drawn.subnet(network, f"10.78.{number}.0/24"))
            drawn.port(network)
            made.append(router)
        deadline_s = time.monotonic() + SERVED_S
        for router in made:
            drawn.wait_router(router, timeout_s=max(1.0, deadline_s - time.monotonic()))
        yield _opened(
            layout.current_layout().etc / "orchestrator.ini", [router.id for router in made]
        )
    finally:
        drawn.clear()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_simulated, id="simulated", marks=pytest.mark.functional),
        pytest.param(_real, id="devcloud", marks=[pytest.mark.cloud, pytest.mark.timeout(600)]),
    ],
)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    with request.param(tmp_path_factory.mktemp("cloud"), request) as made:
        yield made


def test_keystone_names_the_project_that_owns_our_ports(subject: Subject) -> None:
    owners = {port.project_id for port in subject.neutron.ports_of_router(subject.routers[0])}
    assert owners == {subject.neutron.project_id}


def test_neutron_has_the_extensions_that_are_needed(subject: Subject) -> None:
    assert subject.neutron.missing_extensions() == {}


def test_pages_list_every_router_once_in_the_order_of_ids(subject: Subject) -> None:
    listed = [router for page in subject.neutron.router_pages(2) for router in page]
    ids = [router.id for router in listed]
    assert ids == sorted(set(ids))
    assert set(subject.routers) <= set(ids)
    assert ids == [router.id for page in subject.neutron.router_pages() for router in page]


def test_a_listing_tells_owner_and_generation_of_the_detail(subject: Subject) -> None:
    listed = {router.id: router for page in subject.neutron.router_pages() for router in page}
    for router_id in subject.routers:
        line, detail = listed[router_id], subject.neutron.router(router_id)
        assert (line.generation, line.project_id) == (detail.generation, detail.project_id)
        assert line.generation


def test_details_read_together_are_those_read_one_by_one(subject: Subject) -> None:
    unknown = str(uuid.uuid4())
    asdict = msgspec.structs.asdict
    together = {each.id: asdict(each) for each in subject.neutron.routers(subject.routers)}
    assert together == {each: asdict(subject.neutron.router(each)) for each in subject.routers}
    assert {r.id for r in subject.neutron.routers([*subject.routers, unknown])} == set(together)


def test_a_router_that_does_not_exist_is_none(subject: Subject) -> None:
    assert subject.neutron.router(str(uuid.uuid4())) is None


def test_a_detail_is_whole_in_itself(subject: Subject) -> None:
    for detail in subject.neutron.routers(subject.routers):
        networks = {network.id: network for network in detail.networks}
        assert {port.network_id for port in detail.ports} == set(networks)
        assert sum(network.external for network in networks.values()) == 1
        for port in detail.ports:
            subnets = {subnet.id for subnet in networks[port.network_id].subnets}
            assert {fixed.subnet_id for fixed in port.fixed_ips} <= subnets
        for network in networks.values():
            subnets = {subnet.id for subnet in network.subnets}
            fixed = [fixed for host in network.allocations for fixed in host.fixed_ips]
            assert {each.subnet_id for each in fixed} <= subnets
        assert any(network.allocations for network in networks.values())


def test_ports_of_several_routers_are_those_of_each(subject: Subject) -> None:
    together = subject.neutron.ports_of_routers(subject.routers)
    for router_id in subject.routers:
        alone = subject.neutron.ports_of_router(router_id)
        assert {port.id: port for port in alone} == {p.id: p for p in together[router_id]}
        assert {port.description for port in alone} == {MARK + router_id}


def test_one_port_has_a_management_address_and_carriers_have_none(subject: Subject) -> None:
    for router_id in subject.routers:
        ports = subject.neutron.ports_of_router(router_id)
        addressed = [port for port in ports if port.fixed_ips]
        assert [port.network_id for port in addressed] == [subject.conf.management_network_id]
        [fixed] = addressed[0].fixed_ips
        assert fixed.subnet_id == subject.conf.management_subnet_id
        carriers = [port for port in ports if not port.fixed_ips]
        assert {port.ip_allocation for port in carriers} == {"none"}
        wanted = {port.network_id for port in subject.neutron.router(router_id).ports}
        assert {port.network_id for port in carriers} == wanted


def test_pages_of_ports_begin_behind_the_marker(subject: Subject) -> None:
    whole, marker = [], {}
    while page := subject.neutron.ports(project_id=subject.neutron.project_id, limit=3, **marker):
        assert len(page) <= 3
        whole += [port.id for port in page]
        marker = {"marker": page[-1].id}
    assert len(whole) == len(set(whole))
    ours = {p.id for each in subject.routers for p in subject.neutron.ports_of_router(each)}
    assert ours <= set(whole)
    assert ours <= {port.id for port in subject.neutron.our_ports()}


def test_a_status_is_taken_and_shown(subject: Subject) -> None:
    router_id = subject.routers[0]
    assert subject.neutron.set_router_status(router_id, "ACTIVE") is True
    assert subject.neutron.router(router_id).status == "ACTIVE"
    assert subject.neutron.set_router_status(str(uuid.uuid4()), "ACTIVE") is False


def test_the_management_network_and_its_subnet_are_described(subject: Subject) -> None:
    network = subject.neutron.network(subject.conf.management_network_id)
    subnet = subject.neutron.subnet(subject.conf.management_subnet_id)
    assert subnet.network_id == network.id
    assert subnet.ip_version == 6
    assert subnet.cidr.endswith("/64")


@pytest.mark.parametrize("kind", ["port", "network", "subnet"])
def test_what_does_not_exist_is_not_found(subject: Subject, kind: str) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(errors.NotFound, match=unknown):
        getattr(subject.neutron, kind)(unknown)


def test_a_routers_server_is_found_by_its_mark_and_its_ports(subject: Subject) -> None:
    for router_id in subject.routers:
        prefix = names.server_prefix(router_id)
        [server] = subject.nova.servers(names.resource(router_id), prefix)
        assert server.status == "ACTIVE"
        assert server.task_state is None
        assert server.created
        assert server.host
        assert subject.nova.server(server.id) == server
        holders = {port.device_id for port in subject.neutron.ports_of_router(router_id)}
        assert holders == {server.id}


def test_servers_are_listed_with_their_marks(subject: Subject) -> None:
    marks = [server.resource for server in subject.nova.our_servers()]
    assert {names.resource(router_id) for router_id in subject.routers} <= set(marks)
    assert len(marks) == len(set(marks))


def test_a_server_that_does_not_exist_is_none(subject: Subject) -> None:
    assert subject.nova.server(str(uuid.uuid4())) is None


def test_the_flavor_is_found(subject: Subject) -> None:
    assert subject.nova.flavor_id(subject.conf.router.instance_flavor)
    with pytest.raises(errors.NotFound):
        subject.nova.flavor_id("no-such-flavor")
