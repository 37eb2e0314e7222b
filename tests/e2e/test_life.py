"""The life of appliances: many at once, switched off, broken from below, and what is not ours.

Ten routers are made at once; each test has some of them for itself.
"""

import concurrent.futures
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from astara_devcloud import faults, outside
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300), pytest.mark.quiet]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
FLEET = 10
INSIDE = "10.35.1.0/24"
NO_ROUTER = "7a0c1f3e-0000-4000-8000-000000000000"
ORCHESTRATOR = "astara-orchestrator"
# After this many seconds an audit has dealt with whatever it takes for left over.
ORPHANS_GONE_S = 60 + 2 * 30 + 10


@dataclasses.dataclass(slots=True)
class Ship:
    """A router with nothing but a gateway, seen from its operator and from the internet."""

    tenant: Tenant
    router: Any
    appliance: appliance.Appliance
    address: str
    seconds: float

    def serves(self) -> bool:
        """Tell whether the router is there, configured and served by exactly one server."""
        return (
            OUTSIDE.pings(self.address)  # the cheapest question first
            and self.appliance.answers()
            and self.tenant.cloud.network.get_router(self.router.id).status == "ACTIVE"
            and len(self.appliance.servers()) == 1
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Foreign:
    """A server and a port of a tenant's project that claim to be an appliance's."""

    since: float
    server: Any
    port: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """Ten routers, and what claims to belong to the first of them and to one that is not."""

    tenant: Tenant
    service: "Connection"
    ships: list[Ship]
    foreign: list[Foreign]


def prepare(clouds: Any) -> Iterator[Fleet]:
    tenant = Tenant(clouds.tenant, "life-")
    tenant.clear()
    try:
        ships = _launch(tenant, clouds.service)
        yield Fleet(tenant, clouds.service, ships, _claims(tenant, ships[0].router.id))
    finally:
        for server in tenant.cloud.compute.servers():
            if server.name.startswith("ak-router-"):
                tenant.cloud.compute.delete_server(server)
                tenant.cloud.compute.wait_for_delete(server, interval=1, wait=60)
        tenant.clear()


def _launch(tenant: Tenant, service: "Connection") -> list[Ship]:
    """Make the routers, all at once."""

    def create(number: int) -> tuple[Any, float]:
        return tenant.router(f"ship-{number}", external="public"), time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(FLEET) as pool:
        started = {router.id: (router, since) for router, since in pool.map(create, range(FLEET))}
    seconds: dict[str, float] = {}

    def all_active() -> bool:
        for router in tenant.cloud.network.routers(project_id=tenant.cloud.current_project_id):
            if router.id in started and router.status == "ACTIVE":
                seconds.setdefault(router.id, time.monotonic() - started[router.id][1])
        return len(seconds) == FLEET

    # One question for all, and not often: asking is what a busy Neutron is slow at.
    probes.wait_until(all_active, "all routers ACTIVE", 240, every_s=1)
    return [
        Ship(
            tenant,
            router,
            appliance.Appliance(service, router.id),
            tenant.gateway_address(router),
            seconds[router.id],
        )
        for router, _ in started.values()
    ]


def _claims(tenant: Tenant, router_id: str) -> list[Foreign]:
    network = tenant.network("foreign")
    tenant.subnet(network, "10.35.9.0/24")
    flavor = tenant.cloud.compute.find_flavor("m1.tenant")
    image = tenant.cloud.image.find_image("tenant-vm")
    found = []
    for claimed in (router_id, NO_ROUTER):
        port = tenant.port(
            network, name=f"ASTARA:VRRP:{claimed}", description=f"astara:router:{claimed}"
        )
        server = tenant.cloud.compute.create_server(
            name=f"ak-router-{claimed}_1",
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"uuid": network.id}],
            metadata={"astara_resource": f"router:{claimed}"},
        )
        found.append(Foreign(time.monotonic(), tenant.wait_active(server), port))
    return found


@pytest.fixture
def fleet(stage: Fleet) -> list[Ship]:
    return stage.ships


@pytest.fixture
def tenant(stage: Fleet) -> Tenant:
    return stage.tenant


def test_ten_routers_made_at_once(fleet: list[Ship], tell: Callable[[str], None]) -> None:
    seconds = sorted(ship.seconds for ship in fleet)
    tell(
        f"{FLEET} routers at once: ACTIVE after {', '.join(f'{each:.0f}' for each in seconds)} s, "
        f"{seconds[-1] / FLEET:.1f} s a router"
    )
    assert len({ship.address for ship in fleet}) == FLEET
    assert len({ship.appliance.server_id() for ship in fleet}) == FLEET
    for ship in fleet:
        assert OUTSIDE.pings(ship.address)


# -- changes --------------------------------------------------------------------------------------


def test_what_does_not_matter_is_not_pushed(fleet: list[Ship], tenant: Tenant) -> None:
    ship, network = fleet[0], tenant.cloud.network
    before = ship.appliance.status()
    network.update_router(ship.router.id, name="life-renamed", description="another")
    network.set_tags(ship.router, ["blue"])
    spare = network.create_ip(
        floating_network_id=network.find_network("public").id, description="life"
    )
    network.delete_ip(spare)
    # One change that matters, and comes last: when it is there, all the others have been seen.
    route = {"router": {"routes": [{"destination": "192.0.2.0/24", "nexthop": "203.0.113.1"}]}}
    network.add_extra_routes_to_router(ship.router, route)
    probes.wait_until(
        lambda: ship.appliance.status()["pushes_applied"] > before["pushes_applied"],
        "the route applied",
        60,
    )
    after = ship.appliance.status()
    assert after["pushes_applied"] == before["pushes_applied"] + 1
    assert after["pushes_unchanged"] == before["pushes_unchanged"]
    network.remove_extra_routes_from_router(ship.router, route)


def test_switched_off_and_on(fleet: list[Ship], tenant: Tenant) -> None:
    ship = fleet[0]
    server = ship.appliance.server_id()
    tenant.cloud.network.update_router(ship.router.id, admin_state_up=False)
    probes.wait_until(lambda: not OUTSIDE.pings(ship.address), "gateway silent", 60)
    tenant.cloud.network.update_router(ship.router.id, admin_state_up=True)
    probes.wait_until(lambda: OUTSIDE.pings(ship.address), "gateway answers again", 60)
    probes.wait_until(ship.serves, "all as before", 30)
    assert ship.appliance.server_id() == server


def test_a_router_with_nothing_lives_and_goes(stage: Fleet) -> None:
    tenant = stage.tenant
    router = tenant.router("bare")
    seen = appliance.Appliance(stage.service, router.id)
    tenant.wait_router(router)
    server = seen.server_id()
    assert len(seen.status()["interfaces"]) == 1, "the management NIC"
    tenant.cloud.network.delete_router(router)
    probes.wait_until(lambda: not seen.servers() and not seen.ports(), "all gone", 60)
    assert not enter.wait_gone(server, 20)


def test_a_deleted_vm_leaves_no_lease_and_no_name(stage: Fleet) -> None:
    tenant = stage.tenant
    group = tenant.open_security_group()
    network = tenant.network("home")
    subnet = tenant.subnet(network, INSIDE)
    router = tenant.router("home")
    tenant.plug(router, subnet)
    vms = {
        name: tenant.server(
            name, network, port=tenant.port(network, security_group_ids=[group.id])
        )
        for name in ("stays", "goes")
    }
    vms = {name: tenant.wait_active(server) for name, server in vms.items()}
    stays = tenant.vantage(vms["stays"])
    tenant.vantage(vms["goes"])
    port, address = tenant.port_of(vms["goes"]), tenant.address(vms["goes"])
    server = appliance.Appliance(stage.service, router.id).server_id()
    known = ["grep", "-rl", port.mac_address, "/run/astara", "/var/lib/astara/dnsmasq.leases"]

    def resolved() -> list[str]:
        return stays.resolve("life-goes", "A", subnet.gateway_ip)

    assert resolved() == [address]
    assert enter.enter(server, known).stdout, "the appliance knows the MAC"
    tenant.cloud.compute.delete_server(vms["goes"])
    tenant.cloud.compute.wait_for_delete(vms["goes"], interval=0.5, wait=60)
    tenant.cloud.network.delete_port(port)
    probes.wait_until(lambda: not resolved(), "the name is gone", 60)
    probes.wait_until(lambda: not enter.enter(server, known).stdout, "the MAC is forgotten", 30)

    # Its address is free for another one, at once.
    successor = tenant.port(
        network, fixed_ips=[{"ip_address": address}], security_group_ids=[group.id]
    )
    heir = tenant.wait_active(tenant.server("heir", network, port=successor))
    tenant.vantage(heir)
    assert stays.pings(address)


# -- broken from below ----------------------------------------------------------------------------


def _reboot(kind: str) -> Callable[[Ship, str], None]:
    return lambda ship, server: ship.appliance.cloud.compute.reboot_server(server, kind)


def _stop(ship: Ship, server: str) -> None:
    ship.appliance.cloud.compute.stop_server(server)


def _crash(ship: Ship, server: str) -> None:
    os.kill(enter.first_pid(server), signal.SIGKILL)


def _freeze(ship: Ship, server: str) -> None:
    for pid in enter.processes(server):
        os.kill(pid, signal.SIGSTOP)


def _unplug(ship: Ship, server: str) -> None:
    network = ship.appliance.cloud.network
    carrier = next(port for port in ship.appliance.ports() if "VRRP" in port.name)
    network.delete_port(carrier)


def _delete(ship: Ship, server: str) -> None:
    ship.appliance.cloud.compute.delete_server(server, force=True)


# What is done, and whether the same server is expected to serve afterwards.
HARM: dict[str, tuple[Callable[[Ship, str], None], bool]] = {
    "rebooted hard": (_reboot("HARD"), True),
    "rebooted softly": (_reboot("SOFT"), True),
    "stopped in Nova": (_stop, False),
    "crashed": (_crash, False),
    "hanging": (_freeze, False),
    "deleted in Nova": (_delete, False),
    "carrier port deleted": (_unplug, True),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Healing:
    """What became of a harmed router."""

    seconds: float | None
    before: str
    after: list[str]


@pytest.fixture(scope="module")
def healed(stage: Fleet, workshop: Any, tell: Callable[[str], None]) -> dict[str, Healing]:
    """Harm one router in each way, all at once, with workers that have just lost all memory."""
    workshop.settle()
    titles = faults.titles(ORCHESTRATOR)
    for title in ("astara-worker-0", "astara-worker-1"):
        assert faults.kill_process(ORCHESTRATOR, title) == 1
    probes.wait_until(lambda: faults.titles(ORCHESTRATOR) == titles, "workers are back", 60)
    ships = dict(zip(HARM, stage.ships[1:], strict=False))
    servers = {name: ship.appliance.server_id() for name, ship in ships.items()}
    for name, (harm, _) in HARM.items():
        harm(ships[name], servers[name])
    started = time.monotonic()
    restarting = threading.Thread(target=faults.restart, args=("nova-compute",))
    restarting.start()

    def heal(name: str) -> Healing:
        ship, (_, same) = ships[name], HARM[name]

        def over() -> bool:
            return ship.serves() and (same or ship.appliance.server_id() != servers[name])

        try:
            # Whatever was done takes a moment to show.
            probes.wait_until(lambda: over() and time.monotonic() - started > 5, name, 150, 1)
        except probes.ProbeError:
            return Healing(None, servers[name], [s.id for s in ship.appliance.servers()])
        return Healing(time.monotonic() - started, servers[name], [ship.appliance.server_id()])

    with concurrent.futures.ThreadPoolExecutor(len(ships)) as pool:
        outcome = dict(zip(ships, pool.map(heal, ships), strict=True))
    restarting.join()
    for name, healing in outcome.items():
        tell(f"healed, {name}: {healing.seconds and round(healing.seconds)} s")
    return outcome


@pytest.mark.parametrize("harm", HARM)
def test_heals_by_itself(healed: dict[str, Healing], harm: str) -> None:
    healing = healed[harm]
    assert healing.seconds is not None, healing
    if HARM[harm][1]:
        assert healing.after == [healing.before]
    else:
        assert not enter.wait_gone(healing.before, 30)


def test_broker_restarted_while_the_tenant_changes_things(
    fleet: list[Ship], tenant: Tenant, workshop: Any, tell: Callable[[str], None]
) -> None:
    workshop.settle()
    moved, gone = fleet[-1], fleet[-2]
    restarting = threading.Thread(target=faults.restart, args=("rabbitmq",))
    restarting.start()
    started = time.monotonic()
    network = tenant.cloud.network
    network.delete_router(gone.router)
    network.update_router(moved.router, external_gateway_info={})
    network.update_router(
        moved.router, external_gateway_info={"network_id": network.find_network("public").id}
    )
    new = tenant.router("during", external="public")
    restarting.join()
    moved.address = tenant.gateway_address(moved.router)
    try:
        probes.wait_until(moved.serves, "gateway at its new address", 120)
        tenant.wait_router(new, timeout_s=120)
        address = tenant.gateway_address(new)
        probes.wait_until(lambda: OUTSIDE.pings(address), "new router serves", 60)
        probes.wait_until(
            lambda: not gone.appliance.servers() and not gone.appliance.ports(), "gone", 60
        )
    finally:
        network.delete_router(new)
    tell(f"broker restarted, all right after {time.monotonic() - started:.0f} s")


# -- what is not ours -----------------------------------------------------------------------------


def test_what_others_call_ours_is_left_alone(stage: Fleet) -> None:
    tenant, ship = stage.tenant, stage.ships[0]
    assert ship.serves(), "a false server does not confuse the true one"
    tenant.cloud.network.delete_router(ship.router)
    foreign = [each.port.id for each in stage.foreign]

    def gone() -> bool:
        ports = [port for port in ship.appliance.ports() if port.id not in foreign]
        return not ship.appliance.servers() and not ports

    probes.wait_until(gone, "the true one is gone", 60, every_s=0.5)
    deadline = stage.foreign[1].since + ORPHANS_GONE_S
    while True:
        for each in stage.foreign:
            assert tenant.cloud.compute.get_server(each.server.id).status == "ACTIVE"
            assert tenant.cloud.network.get_port(each.port.id).name == each.port.name
        if time.monotonic() >= deadline:
            break
        time.sleep(2)
