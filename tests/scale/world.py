"""What a simulated cloud holds: routers, networks, ports and servers, computed from a seed.

Pure and small: a router is a few numbers, all else follows from its index, so that ten thousand of
them are there at once and two processes know the same cloud without talking. `Router.version`
grows with each change and is part of the document, so that a change that was not applied shows.
"""

import ipaddress
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

SEED = 20161
ROUTERS_PER_TENANT = 2
PREFIX = "fd5c:a1e::"
PREFIX_LENGTH = 64
PROJECT = "5e40000000000000000000000000ce00"
MARK = "astara:router:"
CREATED = "2026-11-20T12:00:00Z"
DOCUMENT_PORT = 5000
SIMULATOR_PORT = 35001
CLOUD_ADDRESS, CLOUD_PORT = "127.0.0.1", 35000


def ident(kind: int, index: int, part: int = 0) -> str:
    """Give the id of something; ids of one kind sort like their indices."""
    return f"{kind:04x}{index >> 16:04x}-{index & 0xFFFF:04x}-4000-8000-{part:012x}"


def index_of(identity: str) -> int:
    """Give the index that an id was made of."""
    return int(identity[4:8] + identity[9:13], 16)


ROUTER, NETWORK, SUBNET, PORT, SERVER, FLOATING, OWN_PORT, HOST = range(1, 9)
EXTERNAL_NETWORK, EXTERNAL_SUBNET = ident(NETWORK, 0xFFFFFFF, 1), ident(SUBNET, 0xFFFFFFF, 1)
MANAGEMENT_NETWORK, MANAGEMENT_SUBNET = ident(NETWORK, 0xFFFFFFF, 2), ident(SUBNET, 0xFFFFFFF, 2)
IMAGE = ident(9, 0)
FLAVOR = "appliance-flavor"


def mac(kind: int, index: int, part: int) -> str:
    """Give a locally administered MAC."""
    return f"02:{kind:02x}:" + (index * 16 + part).to_bytes(4, "big").hex(":")


def address(index: int) -> str:
    """Give the management address of an appliance."""
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(PREFIX)) + 0x10000 + index))


def index_at(management_address: str) -> int:
    """Give the router that an appliance serves."""
    found = int(ipaddress.IPv6Address(management_address)) - int(ipaddress.IPv6Address(PREFIX))
    return found - 0x10000


def tenant(index: int) -> str:
    """Give the tenant that owns a router."""
    return uuid.UUID(int=0x7E << 120 | index // ROUTERS_PER_TENANT).hex


@dataclass(slots=True)
class Router:
    """One router; what is not here follows from its index."""

    index: int
    networks: int  # internal ones
    hosts: int  # on each network
    floating: int
    version: int = 1
    status: str = "ACTIVE"
    served: bool = True  # ports and floating IPs are shown as served
    detail: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> str:
        return ident(ROUTER, self.index)

    @property
    def generation(self) -> str:
        return f"v{self.version}"


def routers(count: int, seed: int = SEED) -> list[Router]:
    """Make the routers of a cloud: one or two networks, a handful of hosts and floating IPs."""
    chance = random.Random(seed)
    return [
        Router(
            index,
            networks=chance.choice((1, 1, 1, 2)),
            hosts=chance.randint(2, 8),
            floating=chance.randint(0, 3),
        )
        for index in range(count)
    ]


def network_id(router: Router, number: int) -> str:
    """Give the id of an internal network of a router."""
    return ident(NETWORK, router.index, number)


def summary(router: Router) -> dict[str, Any]:
    """Give a line of the listing."""
    return {
        "id": router.id,
        "project_id": tenant(router.index),
        "generation": router.generation,
        "ha": False,
        "admin_state_up": True,
        "status": router.status,
        "flavor_id": None,
    }


def detail(router: Router) -> dict[str, Any]:
    """Give all about a router."""
    numbers = range(router.networks)
    return {
        **summary(router),
        "name": f"router-{router.index}",
        "enable_snat": True,
        "routes": [],
        "ports": [_gateway(router), *(_interface(router, number) for number in numbers)],
        "networks": [_external(), *(_network(router, number) for number in numbers)],
        "floatingips": [_floating_ip(router, number) for number in range(router.floating)],
    }


def _port(router: Router, part: int, owner: str, network: str, fixed: list[Any]) -> dict[str, Any]:
    return {
        "id": ident(PORT, router.index, part),
        "network_id": network,
        "mac_address": mac(1, router.index, part),
        "device_owner": owner,
        "status": "ACTIVE" if router.served else "DOWN",
        "admin_state_up": True,
        "fixed_ips": fixed,
    }


def _outside(router: Router, part: int) -> str:
    return str(ipaddress.IPv4Address("100.64.1.0") + router.index * 8 + part)


def _gateway(router: Router) -> dict[str, Any]:
    fixed = [{"ip_address": _outside(router, 0), "subnet_id": EXTERNAL_SUBNET}]
    return _port(router, 0, "network:router_gateway", EXTERNAL_NETWORK, fixed)


def _interface(router: Router, number: int) -> dict[str, Any]:
    subnet = ident(SUBNET, router.index, number)
    fixed = [{"ip_address": f"10.{number}.0.1", "subnet_id": subnet}]
    owner = "network:router_interface"
    return _port(router, number + 1, owner, network_id(router, number), fixed)


def _subnet(identity: str, cidr: str, gateway: str, *, dhcp: bool) -> dict[str, Any]:
    return {
        "id": identity,
        "name": "",
        "cidr": cidr,
        "ip_version": 4,
        "gateway_ip": gateway,
        "enable_dhcp": dhcp,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "dns_nameservers": [],
        "host_routes": [],
    }


def _external() -> dict[str, Any]:
    return {
        "id": EXTERNAL_NETWORK,
        "name": "public",
        "project_id": PROJECT,
        "mtu": 1500,
        "port_security_enabled": True,
        "external": True,
        "dns_domain": None,
        "subnets": [_subnet(EXTERNAL_SUBNET, "100.64.0.0/10", "100.64.0.1", dhcp=False)],
        "allocations": [],
    }


def _network(router: Router, number: int) -> dict[str, Any]:
    cidr, gateway = f"10.{number}.0.0/24", f"10.{number}.0.1"
    return {
        "id": network_id(router, number),
        "name": f"net-{number}",
        "project_id": tenant(router.index),
        "mtu": 1450,
        "port_security_enabled": True,
        "external": False,
        "dns_domain": None,
        "subnets": [_subnet(ident(SUBNET, router.index, number), cidr, gateway, dhcp=True)],
        "allocations": [_host(router, number, host) for host in range(router.hosts)],
    }


def _host(router: Router, number: int, host: int) -> dict[str, Any]:
    part = number * 256 + host
    fixed = {
        "ip_address": f"10.{number}.0.{host + 10}",
        "subnet_id": ident(SUBNET, router.index, number),
    }
    return {
        "port_id": ident(HOST, router.index, part),
        "project_id": tenant(router.index),
        "mac_address": mac(2, router.index, number * 8 + host),
        "device_id": ident(HOST, router.index, part),
        "device_owner": "compute:nova",
        "dns_name": f"vm-{host}-{router.version}",
        "fixed_ips": [fixed],
        "extra_dhcp_opts": [],
    }


def _floating_ip(router: Router, number: int) -> dict[str, Any]:
    return {
        "id": ident(FLOATING, router.index, number),
        "floating_ip_address": _outside(router, number + 1),
        "fixed_ip_address": f"10.0.0.{number % router.hosts + 10}",
        "port_id": ident(HOST, router.index, number % router.hosts),
        "floating_network_id": EXTERNAL_NETWORK,
        "status": "ACTIVE" if router.served else "DOWN",
    }


def own_ports(router: Router) -> list[dict[str, Any]]:
    """Give the ports of a router's appliance: management first, then one for each network."""
    networks = [network_id(router, number) for number in range(router.networks)]
    everywhere = [MANAGEMENT_NETWORK, EXTERNAL_NETWORK, *networks]
    return [_own_port(router, part, network) for part, network in enumerate(everywhere)]


def _own_port(router: Router, part: int, network: str) -> dict[str, Any]:
    fixed = [{"ip_address": address(router.index), "subnet_id": MANAGEMENT_SUBNET}]
    return {
        "id": ident(OWN_PORT, router.index, part),
        "network_id": network,
        "mac_address": mac(3, router.index, part),
        "name": f"ASTARA:{'VRRP' if part else 'MGT'}:{router.id}",
        "project_id": PROJECT,
        "description": MARK + router.id,
        "device_id": ident(SERVER, router.index),
        "device_owner": "compute:nova",
        "status": "ACTIVE",
        "created_at": CREATED,
        "ip_allocation": "none" if part else "immediate",
        "fixed_ips": [] if part else fixed,
        "admin_state_up": True,
        "port_security_enabled": False,
    }


def server(router: Router) -> dict[str, Any]:
    """Give the server that runs a router's appliance."""
    return {
        "id": ident(SERVER, router.index),
        "name": f"ak-router-{router.id}_0",
        "status": "ACTIVE",
        "created": CREATED,
        "metadata": {"astara_resource": f"router:{router.id}"},
        "OS-EXT-STS:task_state": None,
        "OS-EXT-SRV-ATTR:host": f"compute-{router.index % 100}",
        "OS-SRV-USG:launched_at": "2026-11-20T12:00:05.000000",
    }
