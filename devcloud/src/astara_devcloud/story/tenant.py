"""What a tenant draws with the ordinary OpenStack client: networks, routers, VMs, floating IPs.

Everything goes through the public APIs with the tenant's own credentials. `Tenant.clear` removes
all that the tenant has, in the order that the APIs demand, so that a story can be played again.
With a prefix, several stories share one tenant: each sees and clears what bears its own.
"""

import functools
import time
from typing import TYPE_CHECKING, Any

from astara_devcloud.hypervisor import enter
from astara_devcloud.story import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import openstack.connection


class Tenant:
    """A tenant's hands on the cloud; whatever they make has a name that begins with `prefix`."""

    def __init__(self, connection: "openstack.connection.Connection", prefix: str = "") -> None:
        self.cloud = connection
        self.prefix = prefix

    def network(self, name: str, mtu: int | None = None) -> Any:
        """Create a network."""
        return self.cloud.network.create_network(
            name=self.prefix + name, **({"mtu": mtu} if mtu else {})
        )

    def subnet(self, network: Any, cidr: str, **options: Any) -> Any:
        """Create an IPv4 or IPv6 subnet; IPv6 ones are SLAAC unless `options` say otherwise."""
        version = 6 if ":" in cidr else 4
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
        return self.cloud.network.create_subnet(
            network_id=network.id,
            name=f"{network.name}-v{version}",
            ip_version=version,
            cidr=cidr,
            **(modes | options),
        )

    def router(self, name: str, external: str | None = None) -> Any:
        """Create a router, with its gateway on the network named `external`."""
        gateway = None
        if external:
            public = self.cloud.network.find_network(external, ignore_missing=False)
            gateway = {"network_id": public.id}
        return self.cloud.network.create_router(
            name=self.prefix + name, **({"external_gateway_info": gateway} if gateway else {})
        )

    def plug(self, router: Any, subnet: Any) -> None:
        """Add an interface of `router` on `subnet`."""
        self.cloud.network.add_interface_to_router(router, subnet=subnet.id)

    def unplug(self, router: Any, subnet: Any) -> None:
        """Remove the interface of `router` on `subnet`."""
        self.cloud.network.remove_interface_from_router(router, subnet=subnet.id)

    def port(self, network: Any, subnets: "Sequence[Any]" = (), **options: Any) -> Any:
        """Create a port for a VM, with an address of each of `subnets` if they are named."""
        if subnets:
            options["fixed_ips"] = [{"subnet_id": subnet.id} for subnet in subnets]
        return self.cloud.network.create_port(network_id=network.id, **options)

    def server(
        self,
        name: str,
        network: Any,
        security_group: str | None = None,
        port: Any = None,
    ) -> Any:
        """Ask Nova for a VM on `network` or on `port` there; it may be building on return."""
        image = self.cloud.image.find_image("tenant-vm", ignore_missing=False)
        flavor = self.cloud.compute.find_flavor("m1.tenant", ignore_missing=False)
        groups = (
            {"security_groups": [{"name": self.prefix + security_group}]} if security_group else {}
        )
        return self.cloud.compute.create_server(
            name=self.prefix + name,
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"port": port.id} if port else {"uuid": network.id}],
            **groups,
        )

    def wait_active(self, server: Any, timeout_s: float = 120) -> Any:
        """Return the server once Nova calls it ACTIVE."""

        def look() -> Any:
            seen = self.cloud.compute.get_server(server.id)
            if seen.status == "ERROR":
                raise probes.ProbeError(f"server {server.name} is in ERROR: {seen.fault}")
            return seen if seen.status == "ACTIVE" else None

        return probes.wait_until(look, f"server {server.name} ACTIVE", timeout_s, every_s=0.5)

    def port_of(self, server: Any) -> Any:
        """Return the only port of `server`."""
        return next(self.cloud.network.ports(device_id=server.id))

    def address(self, server: Any, version: int = 4) -> str:
        """Return the first IPv4 or IPv6 address of `server`, as Neutron says."""
        return _address(self.port_of(server).fixed_ips, version)

    def gateway_address(self, router: Any, version: int = 4) -> str:
        """Return the address of `router` on its external network."""
        seen = self.cloud.network.get_router(router.id)
        return _address(seen.external_gateway_info["external_fixed_ips"], version)

    def vantage(self, server: Any, version: int = 4, timeout_s: float = 60) -> probes.Vantage:
        """Return `server` as a place to send packets from, once it has its address."""
        place = probes.Vantage(server.name, enter.namespace(server.id))
        address = self.address(server, version)

        def look() -> bool:
            shown = place.run("ip", "-o", "address", "show", "-tentative").stdout
            return f" {address}/" in shown

        probes.wait_until(look, f"{server.name}: address {address}", timeout_s)
        return place

    def console(self, server: Any) -> str:
        """Return the console log of `server`."""
        return str(self.cloud.compute.get_server_console_output(server.id)["output"])

    def open_security_group(self, name: str = "open") -> Any:
        """Return a security group that lets ICMP, ICMPv6 and TCP in; made if it is not there."""
        network, project = self.cloud.network, self.cloud.current_project_id
        # An administrator would find those of all projects.
        for found in network.security_groups(name=self.prefix + name, project_id=project):
            return found
        group = network.create_security_group(name=self.prefix + name)
        for ethertype in ("IPv4", "IPv6"):
            for protocol in ("icmp" if ethertype == "IPv4" else "ipv6-icmp", "tcp"):
                network.create_security_group_rule(
                    security_group_id=group.id,
                    direction="ingress",
                    ethertype=ethertype,
                    protocol=protocol,
                )
        return group

    def floating_ip(self, server: Any, external: str = "public") -> Any:
        """Create a floating IP and associate it with the VM's port."""
        public = self.cloud.network.find_network(external, ignore_missing=False)
        return self.cloud.network.create_ip(
            floating_network_id=public.id, port_id=self.port_of(server).id
        )

    def wait_router(self, router: Any, status: str = "ACTIVE", timeout_s: float = 120) -> Any:
        """Return the router once it has `status`."""

        def look() -> Any:
            seen = self.cloud.network.get_router(router.id)
            return seen if seen.status == status else None

        return probes.wait_until(look, f"router {router.name} {status}", timeout_s)

    def wait_floating_ip(self, floating_ip: Any, status: str, timeout_s: float = 60) -> Any:
        """Return the floating IP once it has `status`."""

        def look() -> Any:
            seen = self.cloud.network.get_ip(floating_ip.id)
            return seen if seen.status == status else None

        name = floating_ip.floating_ip_address
        return probes.wait_until(look, f"floating IP {name} {status}", timeout_s)

    def clear(self, timeout_s: float = 120) -> None:
        """Delete everything of the tenant that bears the prefix, and see it gone."""
        network, project = self.cloud.network, self.cloud.current_project_id
        deadline = time.monotonic() + timeout_s
        networks = self._mine(network.networks(project_id=project))
        routers = self._mine(network.routers(project_id=project))
        self._clear_floating_ips({router.id for router in routers})
        for server in self._mine(self.cloud.compute.servers()):
            self.cloud.compute.delete_server(server)
        _drain(lambda: self._mine(self.cloud.compute.servers()), "servers of the tenant", deadline)
        for router in routers:
            self._clear_router(router)
        for item in networks:
            for port in network.ports(project_id=project, network_id=item.id):
                network.delete_port(port)
            # Carrier ports of the router's appliance leave a moment after their router.
            _drain(functools.partial(self._undeletable, item), f"network {item.name}", deadline)
        for group in self._mine(network.security_groups(project_id=project)):
            if group.name != "default":
                network.delete_security_group(group)

    def _mine(self, found: "Iterable[Any]") -> list[Any]:
        return [item for item in found if item.name.startswith(self.prefix)]

    def _clear_floating_ips(self, router_ids: set[str]) -> None:
        for item in self.cloud.network.ips(project_id=self.cloud.current_project_id):
            # One that is not associated has no router; it is whoever's has no prefix.
            if item.router_id in router_ids or not self.prefix:
                self.cloud.network.delete_ip(item)

    def _clear_router(self, router: Any) -> None:
        network = self.cloud.network
        if router.routes:
            network.update_router(router, routes=[])
        for port in network.ports(device_id=router.id, device_owner="network:router_interface"):
            network.remove_interface_from_router(router, port=port.id)
        network.delete_router(router)

    def _undeletable(self, network: Any) -> "Iterable[Any]":
        import openstack.exceptions

        try:
            self.cloud.network.delete_network(network)
        except openstack.exceptions.ConflictException:
            return [network]
        return []


def _drain(look: "Callable[[], Iterable[Any]]", what: str, deadline: float) -> None:
    left = max(1.0, deadline - time.monotonic())
    probes.wait_until(lambda: not list(look()), f"{what} gone", left, every_s=0.5)


def _address(fixed_ips: "Iterable[Any]", version: int) -> str:
    addresses = [str(fixed["ip_address"]) for fixed in fixed_ips]
    return next(address for address in addresses if (":" in address) == (version == 6))
