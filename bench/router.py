"""The router that every variant builds: one internal network, one external, N floating IPs.

Says addresses and, for our own drivers, the document; builds the site around it. Floating IP
number i of 203.0.64.0/18 belongs to 10.0.64.0/18's address i. The tenant's machine is all those
addresses and, as a machine without a floating IP, 10.0.0.10. Pure but for `build_site`.
"""

import dataclasses
import ipaddress

from astara_appliance.drivers import base
from astara_contract import document as contract

from . import arena

INSIDE_MAC, OUTSIDE_MAC = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
GATEWAY, TENANT = "10.0.0.1", "10.0.0.10"
EXTERNAL, OUTSIDE = "203.0.0.2", "203.0.0.1"
FLOATING, FIXED = ipaddress.IPv4Network("203.0.64.0/18"), ipaddress.IPv4Network("10.0.64.0/18")


@dataclasses.dataclass(frozen=True, slots=True)
class Devices:
    """The router's devices: Neutron names its own."""

    inside: str = "eth1"
    outside: str = "eth2"


def floating_ip(number: int) -> tuple[str, str]:
    """Return (floating, fixed) address of the floating IP with that number."""
    return str(FLOATING[number + 1]), str(FIXED[number + 1])


def floating_ips(count: int) -> list[tuple[str, str]]:
    """Return the first `count` pairs (floating, fixed)."""
    return [floating_ip(number) for number in range(count)]


def document(count: int) -> contract.Document:
    """Return the document of this router with `count` floating IPs."""
    return contract.Document(
        router_id="11111111-2222-3333-4444-555555555555",
        hostname="bench",
        networks=(
            _network("inside", "internal", INSIDE_MAC, GATEWAY, "10.0.0.0/16"),
            _network("outside", "external", OUTSIDE_MAC, EXTERNAL, "203.0.0.0/16"),
        ),
        floating_ips=tuple(
            contract.FloatingIP(floating_ip=public, fixed_ip=fixed)
            for public, fixed in floating_ips(count)
        ),
    )


def facts(devices: Devices) -> base.Facts:
    """Return what the appliance would find out about its NICs."""
    inside = base.Nic(INSIDE_MAC, devices.inside, "ge1")
    outside = base.Nic(OUTSIDE_MAC, devices.outside, "ge2")
    return base.Facts({inside.mac: inside, outside.mac: outside})


def build_site(label: str, devices: Devices, router_room: arena.Room | None = None) -> arena.Site:
    """Build tenant, router and outside; the router's devices have no address yet."""
    tenant, outside = arena.Room(f"t-{label}"), arena.Room(f"o-{label}")
    site = arena.Site(tenant, router_room or arena.Room(f"r-{label}"), outside)
    arena.cable(site.router, devices.inside, INSIDE_MAC, tenant, "eth0")
    arena.cable(site.router, devices.outside, OUTSIDE_MAC, outside, "eth0")
    tenant.batch(
        f"addr add {TENANT}/16 dev eth0\nroute add default via {GATEWAY}\n"
        f"route add local {FIXED} dev lo\n"
    )
    outside.batch(f"addr add {OUTSIDE}/16 dev eth0\n")
    return site


def add_addresses(site: arena.Site, devices: Devices, count: int) -> None:
    """Give the router all its addresses, by ip(8)."""
    lines = [f"addr add {GATEWAY}/16 dev {devices.inside}"]
    lines += [f"addr add {EXTERNAL}/16 dev {devices.outside}"]
    lines += [f"addr add {public}/32 dev {devices.outside}" for public, _ in floating_ips(count)]
    site.router.batch("\n".join(lines) + "\n")


def _network(name: str, kind: str, mac: str, address: str, cidr: str) -> contract.Network:
    return contract.Network(
        network_id=name,
        network_type=kind,  # type: ignore[arg-type]
        interface=contract.Interface(lladdr=mac, addresses=(f"{address}/16",)),
        subnets=(contract.Subnet(cidr=cidr),),
    )
