"""The story: nine steps, each checked as the tenant and as a host on the external network sees it.

A step takes the `Scene` that earlier steps have set and records in its report what it saw. It
raises StepFailed (or ProbeError) at the first thing that is not as promised. Nothing here knows
how Astara works inside; steps 6 to 8 break things from the outside, through `faults` and Nova.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from astara_devcloud import faults, layout, settings, supervise
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance as operators_view
from astara_devcloud.story import probes

if TYPE_CHECKING:
    from astara_devcloud.story.report import Report
    from astara_devcloud.story.tenant import Tenant

OUTSIDE = probes.Vantage("the internet", "astara-outside")
OUTSIDE_V4 = "198.51.100.10"
OUTSIDE_V6 = "2001:db8:beef::10"
OUTSIDE_NAME = "www.outside.example"
DOMAIN = "devcloud.example"
PUBLIC_V4 = "203.0.113.1"
HOME_V4, HOME_V6 = "10.10.0.0/24", "2001:db8:a:1::/64"
LAB_V4 = "10.20.0.0/24"
HOME_MTU = 1380  # odd on purpose: nobody's default
LAB_MTU = 8000


@dataclasses.dataclass(slots=True)
class Scene:
    """What the steps share."""

    tenant: "Tenant"
    service: Any
    report: "Report"
    home: Any = None
    home_subnets: list[Any] = dataclasses.field(default_factory=list)
    router: Any = None
    appliance: Any = None
    lab: Any = None
    lab_subnet: Any = None
    vms: dict[str, Any] = dataclasses.field(default_factory=dict)
    floating_ip: Any = None

    def vantage(self, name: str) -> probes.Vantage:
        """Return the VM `name` as a place to send packets from."""
        return probes.Vantage(name, enter.namespace(self.vms[name].id))

    def address(self, name: str, version: int) -> str:
        """Return the fixed IP of the VM `name` as Neutron says."""
        port = self.tenant.port_of(self.vms[name])
        return next(
            str(fixed["ip_address"])
            for fixed in port.fixed_ips
            if (":" in fixed["ip_address"]) == (version == 6)
        )

    def gateway_address(self, version: int) -> str:
        """Return the router's address on the external network."""
        info = self.tenant.cloud.network.get_router(self.router.id).external_gateway_info
        return next(
            str(fixed["ip_address"])
            for fixed in info["external_fixed_ips"]
            if (":" in fixed["ip_address"]) == (version == 6)
        )


def draw_a_router(scene: Scene) -> None:
    """A tenant draws a network, a router, its interface and its gateway."""
    tenant, report = scene.tenant, scene.report
    tenant.open_security_group()
    scene.home = tenant.network("home", mtu=HOME_MTU)
    scene.home_subnets = [tenant.subnet(scene.home, HOME_V4), tenant.subnet(scene.home, HOME_V6)]
    started = time.monotonic()
    scene.router = tenant.router("edge", external="public")
    for subnet in scene.home_subnets:
        tenant.plug(scene.router, subnet)
    scene.appliance = operators_view.Appliance(scene.service, scene.router.id)
    tenant.wait_router(scene.router)
    report.check(True, "router created until its appliance is configured", seconds=_since(started))
    gateway = scene.gateway_address(4)
    report.within("gateway answers the internet", 30, lambda: OUTSIDE.pings(gateway) or None)
    report.check(True, "router created until first ping", seconds=_since(started))
    OUTSIDE.run("ip", "-6", "route", "replace", HOME_V6, "via", scene.gateway_address(6))


def boot_tenant_vms(scene: Scene) -> None:
    """Two VMs get leases, IPv6 addresses, metadata and names from the appliance."""
    tenant, report = scene.tenant, scene.report
    for name in ("alice", "bob"):
        scene.vms[name] = tenant.server(name, scene.home, security_group="open")
    for name in ("alice", "bob"):
        scene.vms[name] = tenant.wait_active(scene.vms[name])
        _expect_a_furnished_vm(scene, name)
    alice, resolver = scene.vantage("alice"), str(scene.home_subnets[0].gateway_ip)
    report.check(
        alice.resolve(OUTSIDE_NAME, "A", resolver) == [OUTSIDE_V4],
        f"alice: {OUTSIDE_NAME} resolved by the appliance",
    )
    for bob in ("bob", f"bob.{DOMAIN}"):  # Nova names a port after its server (dns_name)
        found = alice.resolve(bob, "A", resolver)
        report.check(found == [scene.address("bob", 4)], f"alice: {bob} resolved", str(found))
    answer = alice.fetch("fe80::a9fe:a9fe%25eth0", "/openstack/latest/meta_data.json") or {}
    report.check(
        answer.get("uuid") == scene.vms["alice"].id, "alice: metadata over IPv6 is her own"
    )


def _expect_a_furnished_vm(scene: Scene, name: str) -> None:
    report, server, vm = scene.report, scene.vms[name], scene.vantage(name)

    def has(address: str) -> bool:
        return f" {address}/" in vm.run("ip", "addr").stdout

    lease, slaac = scene.address(name, 4), scene.address(name, 6)
    report.within(f"{name}: lease (IPv4) {lease}", 60, lambda: has(lease))
    report.within(f"{name}: SLAAC address (IPv6) {slaac}", 60, lambda: has(slaac))
    report.within(
        f"{name}: metadata fetched",
        60,
        lambda: f"metadata: instance {server.id}" in scene.tenant.console(server),
    )


def reach_out(scene: Scene) -> None:
    """From the tenant's VMs to the internet, and the MTU of the network."""
    report, alice = scene.report, scene.vantage("alice")
    # The first packets ever: neighbours have to be found first, and new addresses tried.
    report.within("ping over IPv4", 15, lambda: alice.pings(OUTSIDE_V4))
    report.within("ping over IPv6", 15, lambda: alice.pings(OUTSIDE_V6))
    report.check(
        _peer(alice.fetch(OUTSIDE_V4)) == scene.gateway_address(4),
        "TCP over IPv4: the internet sees the gateway address",
    )
    report.check(
        _peer(alice.fetch(OUTSIDE_V6)) == scene.address("alice", 6),
        "TCP over IPv6: the internet sees the VM's own address",
    )
    fits, too_big = HOME_MTU - 28, HOME_MTU - 27  # IPv4 and ICMP headers take 28 bytes
    report.check(
        alice.pings(OUTSIDE_V4, "-M", "do", "-s", str(fits)),
        f"a packet of the network's MTU ({HOME_MTU}) passes unfragmented",
    )
    report.check(
        not alice.pings(OUTSIDE_V4, "-M", "do", "-s", str(too_big)),
        "one byte more does not",
    )


def reach_in(scene: Scene) -> None:
    """A floating IP, from outside and from inside, and the end of it."""
    tenant, report = scene.tenant, scene.report
    alice, bob = scene.vantage("alice"), scene.vantage("bob")
    started = time.monotonic()
    scene.floating_ip = tenant.floating_ip(scene.vms["alice"])
    public = str(scene.floating_ip.floating_ip_address)
    report.within(
        "floating IP associated until the internet reaches it",
        60,
        lambda: OUTSIDE.fetch(public, timeout_s=1),
    )
    tenant.wait_floating_ip(scene.floating_ip, "ACTIVE")
    report.check(True, "floating IP ACTIVE in the API", seconds=_since(started))
    answer = OUTSIDE.fetch(public)
    report.check(
        answer is not None and answer["hostname"] == "alice" and _peer(answer) == PUBLIC_V4,
        "alice answers and sees the client's own address",
        str(answer),
    )
    report.check(
        _peer(alice.fetch(OUTSIDE_V4)) == public, "out of alice: the internet sees the floating IP"
    )
    hairpin = bob.fetch(public)
    report.check(
        hairpin is not None and hairpin["hostname"] == "alice",
        "hairpin: bob reaches alice by the floating IP",
        str(hairpin),
    )
    with probes.Stream(OUTSIDE, public) as stream:
        tenant.cloud.network.update_ip(scene.floating_ip, port_id=None)
        report.within(
            "after disassociation the established connection ends",
            60,
            lambda: not stream.flows(1.5),
        )
    report.check(OUTSIDE.fetch(public) is None, "and new ones fail")
    report.check(
        _peer(alice.fetch(OUTSIDE_V4)) == scene.gateway_address(4),
        "alice leaves by the gateway address again",
    )


def hot_plug(scene: Scene) -> None:
    """A second network is plugged into the running appliance."""
    tenant, report = scene.tenant, scene.report
    before = scene.appliance.server_id()
    scene.lab = tenant.network("lab", mtu=LAB_MTU)
    scene.lab_subnet = tenant.subnet(scene.lab, LAB_V4)
    scene.vms["carol"] = tenant.server("carol", scene.lab, security_group="open")
    scene.vms["carol"] = tenant.wait_active(scene.vms["carol"])
    alice, carol = scene.vantage("alice"), scene.vantage("carol")
    with probes.PingStream(alice, OUTSIDE_V4) as pings:
        started = time.monotonic()
        tenant.plug(scene.router, scene.lab_subnet)
        gateway = str(scene.lab_subnet.gateway_ip)
        report.within(
            "interface added until carol reaches the gateway",
            90,
            lambda: f" {LAB_V4[:6]}" in carol.run("ip", "addr").stdout and carol.pings(gateway),
        )
        report.within(
            "the two networks route to each other",
            30,
            lambda: (
                alice.pings(scene.address("carol", 4)) and carol.pings(scene.address("alice", 4))
            ),
        )
        report.check(
            alice.fetch(scene.address("carol", 4)) is not None,
            "alice speaks TCP with carol",
            seconds=_since(started),
        )
    report.check(
        pings.lost == 0,
        "no ping lost on the first network meanwhile",
        f"{pings.lost} of {pings.sent} lost",
    )
    report.check(scene.appliance.server_id() == before, "still the same server")
    appliance_mib = operators_view.resident_kib(enter.first_pid(before)) / 1024
    report.check(True, "memory of the appliance, all processes", f"{appliance_mib:.0f} MiB PSS")
    report.check(
        carol.pings(gateway, "-M", "do", "-s", str(LAB_MTU - 28)),
        f"jumbo frames ({LAB_MTU}) reach the gateway",
    )


def heal(scene: Scene) -> None:
    """The agent is killed, then the whole server deleted behind our back."""
    report, alice = scene.report, scene.vantage("alice")
    first = scene.appliance.server_id()
    with probes.PingStream(alice, OUTSIDE_V4) as pings:
        killed = operators_view.kill_agent(enter.first_pid(first))
        report.check(killed > 0, "agent killed", f"{killed} processes")
        report.within("agent killed until it answers again", 60, scene.appliance.answers)
    report.check(pings.lost == 0, "no ping lost meanwhile", f"{pings.lost} of {pings.sent} lost")
    started = time.monotonic()
    scene.service.compute.delete_server(first)
    report.within(
        "server deleted until another one serves the router",
        180,
        lambda: [s for s in scene.appliance.servers() if s.id != first and s.status == "ACTIVE"],
    )
    report.within("and packets flow", 120, lambda: alice.pings(OUTSIDE_V4))
    report.check(True, "server deleted until packets flow again", seconds=_since(started))
    report.check(len(scene.appliance.servers()) == 1, "exactly one server")


def restart_the_orchestrator(scene: Scene) -> None:
    """The orchestrator is killed and started again: nobody notices."""
    report, alice = scene.report, scene.vantage("alice")
    # The push that follows the rebuild must be over before pushes are counted.
    scene.tenant.wait_router(scene.router)
    before = scene.appliance.status()
    with probes.PingStream(alice, OUTSIDE_V4) as pings:
        faults.kill("astara-orchestrator")
        started = time.monotonic()
        faults.start("astara-orchestrator")
        report.within(
            "orchestrator killed until it has verified the router",
            120,
            lambda: faults.orchestrator_verified(scene.router.id),
        )
    after = scene.appliance.status()
    record = supervise.live_record(settings.load(layout.current_layout()), "astara-orchestrator")
    memory_mib = operators_view.resident_kib(record.pid) / 1024 if record else 0
    report.check(record, "memory of the orchestrator", f"{memory_mib:.0f} MiB PSS")
    report.check(
        pings.lost == 0,
        "no packet lost",
        f"{pings.lost} of {pings.sent} lost in {_since(started):.0f} s",
    )
    counters = ("pushes_applied", "pushes_unchanged")
    report.check(
        all(after[key] == before[key] for key in counters),
        "no configuration pushed",
        ", ".join(f"{key} {before[key]} -> {after[key]}" for key in counters),
    )


def lose_events(scene: Scene) -> None:
    """The listener is kept away from the broker while the tenant changes things."""
    tenant, report = scene.tenant, scene.report
    with faults.cut_off_from_broker():
        tenant.cloud.network.update_ip(
            scene.floating_ip, port_id=tenant.port_of(scene.vms["bob"]).id
        )
        tenant.unplug(scene.router, scene.lab_subnet)
        started = time.monotonic()
    public = str(scene.floating_ip.floating_ip_address)
    report.within(
        "floating IP works although its event was lost",
        180,
        lambda: (OUTSIDE.fetch(public, timeout_s=1) or {}).get("hostname") == "bob",
    )
    carol = scene.vantage("carol")
    report.within(
        "removed interface is gone although its event was lost",
        180,
        lambda: not carol.pings(str(scene.lab_subnet.gateway_ip)),
    )
    report.check(True, "broker back until all is right", seconds=_since(started))


def delete_the_router(scene: Scene) -> None:
    """The router is deleted; nothing of it stays."""
    tenant, report = scene.tenant, scene.report
    server_id = scene.appliance.server_id()
    tenant.cloud.network.delete_ip(scene.floating_ip)
    tenant.cloud.network.update_router(scene.router, external_gateway_info={})
    for subnet in scene.home_subnets:
        tenant.unplug(scene.router, subnet)
    tenant.cloud.network.delete_router(scene.router)
    report.within("no server left", 90, lambda: not scene.appliance.servers())
    report.within("no port left", 60, lambda: not scene.appliance.ports())
    report.within("no namespace and no process left", 30, lambda: not enter.leftovers(server_id))


Step = Callable[[Scene], None]
STEPS: tuple[Step, ...] = (
    draw_a_router,
    boot_tenant_vms,
    reach_out,
    reach_in,
    hot_plug,
    heal,
    restart_the_orchestrator,
    lose_events,
    delete_the_router,
)


def _peer(answer: dict[str, Any] | None) -> str:
    return str((answer or {}).get("peer", ""))


def _since(started: float) -> float:
    return time.monotonic() - started
