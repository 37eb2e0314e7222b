"""What must not get through: to the appliance, between tenants, with false sources or identities.

Two tenants: left has a router of its own, and a VM (mallory) whose port security is off. Right
has another router, on one network with the very addresses that left uses, and one of its own.
"""

import concurrent.futures
import dataclasses
import ipaddress
import json
import time
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from astara_contract import metadata
from astara_devcloud import outside
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(240)]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
SHARED, SHARED_HOST = "10.33.1.0/24", "10.33.1.33"
LEFT_V6, FAR = "2001:db8:33:1::/64", "10.34.1.0/24"
MANAGEMENT = "fdca:3ba5:a17a:acda::/64"
METADATA = "/openstack/latest/meta_data.json"
MARK = 77  # bytes of payload by which our echo requests are told from anybody else's
MARKED = f"length {MARK + 8}"


@dataclasses.dataclass(slots=True)
class Side:
    """A tenant, its router and VMs."""

    tenant: Tenant
    router: Any
    appliance: appliance.Appliance
    subnets: dict[str, Any]
    vms: dict[str, Any]

    def vantage(self, name: str) -> probes.Vantage:
        return self.tenant.vantage(self.vms[name])

    def address(self, name: str, version: int = 4) -> str:
        return self.tenant.address(self.vms[name], version)

    def inside(self, *argv: str) -> str:
        """Run a command in the appliance and return what it prints."""
        return enter.enter(self.appliance.server_id(), argv).stdout


def prepare(clouds: Any) -> Iterator[tuple[Side, Side]]:
    tenants = Tenant(clouds.tenant, "left-"), Tenant(clouds.admin, "right-")
    for tenant in tenants:
        tenant.clear()
    try:
        yield _build(*tenants, clouds.service)
    finally:
        for tenant in tenants:
            tenant.clear()


def _build(left_tenant: Tenant, right_tenant: Tenant, service: "Connection") -> tuple[Side, Side]:
    left = _side(left_tenant, service, {"home": (SHARED, LEFT_V6)})
    right = _side(right_tenant, service, {"same": (SHARED,), "far": (FAR,)})
    _boot(left, "lea", SHARED, fixed_ips=[{"ip_address": SHARED_HOST}])
    _boot(left, "mallory", SHARED, port_security_enabled=False)
    _boot(right, "rick", SHARED, fixed_ips=[{"ip_address": SHARED_HOST}])
    _boot(right, "rosa", FAR)
    for side in (left, right):
        side.tenant.wait_router(side.router)
        for name, server in side.vms.items():
            side.vms[name] = side.tenant.wait_active(server)
    return left, right


def _side(tenant: Tenant, service: "Connection", networks: dict[str, tuple[str, ...]]) -> Side:
    router, subnets = tenant.router("edge", external="public"), {}
    for name, cidrs in networks.items():
        network = tenant.network(name)
        for cidr in cidrs:
            subnets[cidr] = tenant.subnet(network, cidr)
            tenant.plug(router, subnets[cidr])
    return Side(tenant, router, appliance.Appliance(service, router.id), subnets, {})


def _boot(side: Side, name: str, cidr: str, **options: Any) -> None:
    network = side.tenant.cloud.network.get_network(side.subnets[cidr].network_id)
    if options.get("port_security_enabled", True):
        options["security_group_ids"] = [side.tenant.open_security_group().id]
    port = side.tenant.port(network, **options)
    side.vms[name] = side.tenant.server(name, network, port=port)


@pytest.fixture
def left(stage: tuple[Side, Side]) -> Side:
    return stage[0]


@pytest.fixture
def right(stage: tuple[Side, Side]) -> Side:
    return stage[1]


def _listening(side: Side) -> set[int]:
    """Return every TCP port that anything in the appliance listens on."""
    lines = side.inside("ss", "-H", "-l", "-t", "-n").splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def _addresses(side: Side) -> set[str]:
    """Return every address of the appliance but loopback's."""
    devices = json.loads(side.inside("ip", "-j", "address"))
    found = {
        address["local"]
        for device in devices
        if device["ifname"] != "lo"
        for address in device["addr_info"]
    }
    assert any(ipaddress.ip_address(a) in ipaddress.ip_network(MANAGEMENT) for a in found)
    return found


def _zoned(address: str, device: str) -> str:
    return f"{address}%{device}" if address.startswith("fe80:") else address


def test_a_vm_reaches_nothing_of_the_appliance_but_dns_and_metadata(left: Side) -> None:
    ports = _listening(left) | {22, 80, 5000, 9600, 9697}
    assert {53, 5000, 9600} <= ports
    addresses = _addresses(left) | {"169.254.169.254"}
    for name in ("lea", "mallory"):
        vm = left.vantage(name)
        targets = [(_zoned(a, "eth0"), port) for a in addresses for port in ports]
        reached = probes.knock(vm, targets)
        gateway = str(left.subnets[SHARED].gateway_ip)
        assert {(gateway, 53), ("169.254.169.254", 80), ("fe80::a9fe:a9fe%eth0", 80)} <= reached
        metadata_addresses = ("169.254.169.254", "fe80::a9fe:a9fe%eth0")
        other = {
            (address, port)
            for address, port in reached
            if port != 53 and not (port == 80 and address in metadata_addresses)
        }
        assert not other
        outer = {a for a, port in reached if port == 53 and not a.startswith(("10.33.", "fe80:"))}
        assert outer <= {str(left.subnets[LEFT_V6].gateway_ip)}, "DNS on the near side alone"


def test_a_vm_reaches_no_management_address_through_the_appliance(left: Side) -> None:
    lea = left.vantage("lea")
    settings = json.loads(left.inside("cat", "/run/astara/metadata-proxy.json"))
    upstream = settings["upstream"]["address"]
    assert ipaddress.ip_address(upstream) in ipaddress.ip_network(MANAGEMENT)
    left.tenant.vantage(left.vms["lea"], 6)
    own = left.appliance.address()
    targets = [(address, port) for address in (upstream, own) for port in (22, 53, 80, 5000, 9697)]
    assert not probes.knock(lea, targets)
    assert not lea.pings(upstream)
    assert not lea.pings(own)


def test_the_internet_reaches_nothing_of_the_appliance(left: Side) -> None:
    gateway = left.tenant.gateway_address(left.router)
    gateway_v6 = left.tenant.gateway_address(left.router, 6)
    inner = left.subnets[SHARED].gateway_ip
    ways = [(MANAGEMENT, gateway_v6), (LEFT_V6, gateway_v6), (f"{inner}/32", gateway)]
    for destination, hop in ways:
        OUTSIDE.run("ip", "route", "replace", destination, "via", hop)
    try:
        assert OUTSIDE.pings(gateway), "the watch is awake"
        ports = _listening(left) | {22, 53, 80, 5000, 9600, 9697}
        targets = [
            (_zoned(address, outside.NAMESPACE_END), port)
            for address in _addresses(left)
            for port in ports
        ]
        assert not probes.knock(OUTSIDE, targets)
        assert not OUTSIDE.pings(left.appliance.address())
        assert not OUTSIDE.resolve(f"www.{outside.DOMAIN}", "A", gateway), "no open resolver"
    finally:
        for destination, _ in ways:
            OUTSIDE.run("ip", "route", "del", destination)


def test_no_way_into_another_tenants_network(left: Side, right: Side) -> None:
    lea, rosa = left.vantage("lea"), right.address("rosa")
    right.vantage("rosa")
    door = right.tenant.gateway_address(right.router)
    network = left.tenant.cloud.network
    assert lea.pings(door), "the other router's outer address is a host as any"
    assert not lea.pings(rosa)
    route = {"router": {"routes": [{"destination": FAR, "nexthop": door}]}}
    try:
        network.add_extra_routes_to_router(left.router, route)
        probes.wait_until(
            lambda: f"via {door}" in left.inside("ip", "route", "get", rosa), "route applied", 60
        )
        assert not lea.pings(rosa)
        assert not probes.knock(lea, [(rosa, 80)])
    finally:
        network.remove_extra_routes_from_router(left.router, route)


def test_no_way_in_from_the_internet(right: Side) -> None:
    rosa = right.address("rosa")
    right.vantage("rosa")
    OUTSIDE.run("ip", "route", "replace", FAR, "via", right.tenant.gateway_address(right.router))
    try:
        assert not OUTSIDE.pings(rosa)
        assert not probes.knock(OUTSIDE, [(rosa, 80)])
    finally:
        OUTSIDE.run("ip", "route", "del", FAR)


SPOOFED = (
    "198.51.100.10",  # the very host it sends to
    "203.0.113.1",  # the internet's router
    "8.8.4.4",
    "10.34.1.34",  # another tenant's
    "127.0.0.9",
    "169.254.169.254",
    "2001:db8:34:1::34",
    "2001:db8:cafe::77",
    "fdca:3ba5:a17a:acda::1",  # the management network
)


def test_spoofed_sources_go_nowhere(left: Side, right: Side) -> None:
    mallory = left.vantage("mallory")
    left.tenant.vantage(left.vms["mallory"], 6)
    sources = [*SPOOFED, right.tenant.gateway_address(right.router)]
    mark = ("-n", "-c", "2", "-i", "0.2", "-W", "0.5", "-s", str(MARK))
    gateway_v6 = left.tenant.gateway_address(left.router, 6)
    OUTSIDE.run("ip", "route", "replace", LEFT_V6, "via", gateway_v6)
    with probes.Capture(OUTSIDE, outside.NAMESPACE_END, "icmp or icmp6") as seen:
        for source in sources:
            mallory.run("ip", "address", "add", source, "dev", "lo", "nodad")
            target = outside.SERVER_V6 if ":" in source else outside.SERVER_V4
            target = "198.51.100.11" if source == target else target
            mallory.run("ping", *mark, "-I", source, target)
            mallory.run("ip", "address", "del", source, "dev", "lo")
    assert not seen.holding(MARKED)
    with probes.Capture(OUTSIDE, outside.NAMESPACE_END, "icmp or icmp6") as seen:
        assert mallory.run("ping", *mark, outside.SERVER_V4).returncode == 0
        assert mallory.run("ping", *mark, outside.SERVER_V6).returncode == 0
    OUTSIDE.run("ip", "route", "del", LEFT_V6)
    assert len(seen.holding(MARKED)) >= 8, "the watch is awake"


def test_metadata_headers_of_a_client_are_not_believed(left: Side, right: Side) -> None:
    lea, rosa = left.vantage("lea"), right.vms["rosa"]
    forged = {
        "X-Instance-ID": rosa.id,
        "X-Tenant-ID": right.tenant.cloud.current_project_id,
        "X-Forwarded-For": right.address("rosa"),
        "X-Instance-ID-Signature": "0" * 64,
        "X-Astara-Router-ID": right.router.id,
        "X-Astara-Signature": "0" * 64,
        "X-Metadata-Provider": "none",
    }
    for words in (forged, {"X-Forwarded-For": left.address("mallory")}):
        headers = [word for name, value in words.items() for word in ("-H", f"{name}: {value}")]
        shown = lea.run("curl", "-qs", "--max-time", "10", *headers, f"169.254.169.254{METADATA}")
        assert json.loads(shown.stdout)["uuid"] == left.vms["lea"].id


@pytest.mark.parametrize(
    ("whose_router", "whose_vm", "status"),
    [("left", "left", "200"), ("left", "right", "404"), ("right", "right", "403")],
    ids=["its own", "a stranger's VM", "in another router's name"],
)
def test_an_appliance_taken_over_asks_for_its_own_vms_alone(
    left: Side, right: Side, whose_router: str, whose_vm: str, status: str
) -> None:
    sides = {"left": left, "right": right}
    vm = {"left": left.vms["lea"], "right": right.vms["rick"]}[whose_vm]
    told = json.loads(left.inside("cat", "/run/astara/metadata-proxy.json"))
    claim = metadata.Claim(
        router_id=sides[whose_router].router.id,
        instance_id=vm.id,
        tenant_id=sides[whose_vm].tenant.cloud.current_project_id,
        client=SHARED_HOST,
        at=str(int(time.time())),
        request=metadata.bound("GET", METADATA),
    )
    headers = metadata.signed_headers(told["key"], claim)
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    upstream = urllib.parse.urlunsplit(
        ("http", f"[{told['upstream']['address']}]:{told['upstream']['port']}", METADATA, "", "")
    )
    shown = left.inside(
        *("curl", "-qsg", "--max-time", "10", "-w", "\n%{http_code}", *words), upstream
    )
    body, _, code = shown.rpartition("\n")
    assert code == status
    assert (vm.id in body) == (status == "200")


def test_twenty_metadata_requests_at_once_from_each_vm(left: Side, right: Side) -> None:
    vms = [(side, name) for side in (left, right) for name in side.vms]
    places = {name: side.vantage(name) for side, name in vms}

    def ask(name: str) -> str:
        answer = places[name].fetch("169.254.169.254", METADATA, timeout_s=30)
        return str((answer or {}).get("uuid"))

    names = [name for _, name in vms] * 20
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(ask, names))
    wanted = {name: side.vms[name].id for side, name in vms}
    assert answers == [wanted[name] for name in names]
