"""Neutron as the orchestrator sees it: routers whole, our own ports, status back.

Decides nothing. Must never hand out a dict: callers get frozen structs. A port is ours when it
belongs to the service project and carries our mark in its description; the mark is given in the
same request that creates the port, so there is no moment in which a port of ours is unmarked.
Called by ``instance``, ``metadata`` and the sources that list routers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from . import errors
from .rest import Service
from .topology import FixedIp, FloatingIp, Network, RouterDetail, RouterPort, RouterSummary

PAGE = 500
MARK = "astara:router:"
REQUIRED_EXTENSIONS = {
    "ip_allocation": "Nova refuses ports without an address without it: add 'segments' to "
    "service_plugins of the Neutron server",
    "port-security": "add 'port_security' to extension_drivers of ML2",
    "astara-router": "add 'astara_router' to service_plugins of the Neutron server",
    "dhrouterstatus": "add 'astara_router' to service_plugins of the Neutron server",
}


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer of Neutron becomes; keys that we do not read are skipped while decoding."""


class Port(_Struct, frozen=True):
    """A real port: one of our own, or a port as its owner made it."""

    id: str
    network_id: str
    mac_address: str
    name: str = ""
    project_id: str = ""
    description: str = ""
    device_id: str = ""
    device_owner: str = ""
    status: str = ""
    created_at: str = ""
    ip_allocation: str = "none"
    fixed_ips: tuple[FixedIp, ...] = ()
    admin_state_up: bool = True


class NetworkInfo(_Struct, frozen=True):
    """The facts about a network that plugging needs."""

    id: str
    name: str = ""
    mtu: int | None = None
    project_id: str = ""


class SubnetInfo(_Struct, frozen=True):
    """The facts about a subnet that addressing needs."""

    id: str
    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None = None
    ipv6_address_mode: str | None = None


class _Routers(_Struct, frozen=True):
    astara_routers: tuple[RouterSummary, ...]


class _Router(_Struct, frozen=True):
    astara_router: RouterDetail


class _Detail(RouterDetail, frozen=True, kw_only=True):
    """A detail of a list: one without these keys would be taken for a router without anything."""

    ports: tuple[RouterPort, ...]
    networks: tuple[Network, ...]
    floatingips: tuple[FloatingIp, ...]


class _Details(_Struct, frozen=True):
    astara_routers: tuple[_Detail, ...]


_DETAIL_FIELDS = list(_Detail.__struct_fields__)


class _Ports(_Struct, frozen=True):
    ports: tuple[Port, ...]


class _Port(_Struct, frozen=True):
    port: Port


class _Network(_Struct, frozen=True):
    network: NetworkInfo


class _Subnet(_Struct, frozen=True):
    subnet: SubnetInfo


class _Extension(_Struct, frozen=True):
    alias: str


class _Extensions(_Struct, frozen=True):
    extensions: tuple[_Extension, ...]


def router_of(port: Port) -> str | None:
    """Return the router that one of our ports serves, None for a port without our mark."""
    return port.description.removeprefix(MARK) if port.description.startswith(MARK) else None


def _really_gone(error: errors.NotFound, router_id: str) -> None:
    """Believe a 404 only if it names the router.

    A Neutron that was started without our plug-in, or whose policy hides routers from us, answers
    404 as well; taking that for "deleted" would remove every appliance of the cloud.
    """
    if router_id not in error.reason:
        reason = f"404 without the router's id ({error.reason}): plug-in or policy missing?"
        raise errors.Unavailable(error.service, error.operation, reason, 404)


class Neutron:
    """The calls to Neutron; safe to share between threads."""

    def __init__(self, service: Service):
        self._service = service
        self.calls = service.calls
        self._project_id: str | None = None

    @property
    def project_id(self) -> str:
        """The project that owns our ports."""
        if self._project_id is None:
            self._project_id = self._service.project_id()
        return self._project_id

    def missing_extensions(self) -> dict[str, str]:
        """Name the extensions that this Neutron lacks, each with its remedy."""
        answer = self._service.get("/v2.0/extensions", _Extensions, {"fields": "alias"})
        present = {extension.alias for extension in answer.extensions}
        if "ip-allocation" in present:  # the alias was spelled both ways over the years
            present.add("ip_allocation")
        return {
            alias: remedy for alias, remedy in REQUIRED_EXTENSIONS.items() if alias not in present
        }

    def router_pages(self, page_size: int = PAGE) -> Iterator[tuple[RouterSummary, ...]]:
        """List every router with its generation, page by page."""
        marker: str | None = None
        while True:
            params: dict[str, Any] = {"limit": page_size}
            if marker is not None:
                params["marker"] = marker
            page = self._service.get("/v2.0/astara-routers", _Routers, params).astara_routers
            yield page
            if len(page) < page_size:
                return
            marker = page[-1].id

    def router(self, router_id: str) -> RouterDetail | None:
        """Read all about one router; None when it does not exist (any more)."""
        try:
            return self._service.get(f"/v2.0/astara-routers/{router_id}", _Router).astara_router
        except errors.NotFound as error:
            _really_gone(error, router_id)
            return None

    def routers(self, router_ids: Sequence[str]) -> tuple[RouterDetail, ...]:
        """Read all about several routers in one call; those that do not exist are left out."""
        params = {"id": list(router_ids), "fields": _DETAIL_FIELDS}
        return self._service.get("/v2.0/astara-routers", _Details, params).astara_routers

    def set_router_status(
        self,
        router_id: str,
        status: str,
        ports: Sequence[str] | None = None,
        floatingips: Sequence[str] | None = None,
        connections: Mapping[str, str] | None = None,
        prefixes: Mapping[str, str] | None = None,
    ) -> bool:
        """Report a router's status and what is served now; False when the router is gone."""
        wanted: dict[str, Any] = {"status": status}
        if ports is not None:
            wanted["ports"] = list(ports)
        if floatingips is not None:
            wanted["floatingips"] = list(floatingips)
        if connections is not None:
            wanted["ipsec_site_connections"] = dict(connections)
        if prefixes is not None:
            wanted["prefixes"] = dict(prefixes)
        path = f"/v2.0/dhrouterstatus/{router_id}"
        try:
            self._service.call("PUT", path, body={"routerstatus": wanted})
        except errors.NotFound as error:
            _really_gone(error, router_id)
            return False
        return True

    def ports_of_router(self, router_id: str) -> tuple[Port, ...]:
        """List our ports for one router, the management port among them."""
        return self.ports(project_id=self.project_id, description=MARK + router_id)

    def ports_of_routers(self, router_ids: Sequence[str]) -> dict[str, list[Port]]:
        """List our ports for several routers in one call, by router."""
        marks = [MARK + router_id for router_id in router_ids]
        found: dict[str, list[Port]] = {router_id: [] for router_id in router_ids}
        for port in self.ports(project_id=self.project_id, description=marks):
            if (router_id := router_of(port)) in found:
                found[router_id].append(port)
        return found

    def our_ports(self) -> Iterator[Port]:
        """List the ports that we made for any router, page by page (for the audit)."""
        marker: str | None = None
        while True:
            params: dict[str, Any] = {"project_id": self.project_id, "limit": PAGE}
            if marker is not None:
                params["marker"] = marker
            page = self.ports(**params)
            yield from (port for port in page if router_of(port))
            if len(page) < PAGE:
                return
            marker = page[-1].id

    def ports(self, **filters: Any) -> tuple[Port, ...]:
        """List ports by Neutron's own filters."""
        return self._service.get("/v2.0/ports", _Ports, filters).ports

    def create_port(self, body: Mapping[str, Any]) -> Port:
        """Create a port; never repeated by itself, because nothing makes it idempotent."""
        return self._service.send("POST", "/v2.0/ports", {"port": dict(body)}, _Port).port

    def update_port(self, port_id: str, changes: Mapping[str, Any]) -> Port:
        """Change some attributes of a port."""
        body = {"port": dict(changes)}
        return self._service.send("PUT", f"/v2.0/ports/{port_id}", body, _Port).port

    def port(self, port_id: str) -> Port:
        """Read one port."""
        return self._service.get(f"/v2.0/ports/{port_id}", _Port).port

    def delete_port(self, port_id: str) -> None:
        """Delete a port; one that is gone already is what we wanted."""
        try:
            self._service.call("DELETE", f"/v2.0/ports/{port_id}")
        except errors.NotFound:
            return

    def network(self, network_id: str) -> NetworkInfo:
        """Read one network."""
        return self._service.get(f"/v2.0/networks/{network_id}", _Network).network

    def subnet(self, subnet_id: str) -> SubnetInfo:
        """Read one subnet."""
        return self._service.get(f"/v2.0/subnets/{subnet_id}", _Subnet).subnet
