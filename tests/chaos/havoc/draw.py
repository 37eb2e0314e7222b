"""The tenant who goes on changing things while all breaks.

Each move is one small change by the public API. What the cloud refuses at the moment is left: what
counts is what Neutron says in the end.
"""

import dataclasses
import itertools
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import keystoneauth1.exceptions
import openstack.exceptions

from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTERS_MIN, ROUTERS_MAX = 3, 7
INTERFACES_MAX = 3
REFUSALS = (openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException)


@dataclasses.dataclass(slots=True)
class Figures:
    """What became of the moves."""

    made: int = 0
    refused: int = 0


class Drawer:
    """Moves of one tenant, drawn by a seed."""

    def __init__(self, tenant: Tenant, seed: int, most: int = ROUTERS_MAX) -> None:
        self._tenant = tenant
        self._network = tenant.cloud.network
        self._project = tenant.cloud.current_project_id
        self._chance = random.Random(seed)
        self._most = most
        self._numbers = itertools.count(1)
        self.figures = Figures()
        self.making = threading.Event()  # asks for a new router in place of the next move

    def begin(self, routers: int) -> None:
        """Make the first routers, each with a network and a floating IP."""
        for _ in range(routers):
            router = self._new_router()
            self._plug(router)
            self._float(router)

    def move_until(self, stop: threading.Event, pause_s: float) -> None:
        """Make moves until told to stop."""
        while not stop.wait(pause_s * self._chance.uniform(0.5, 1.5)):
            self.move()

    def move(self) -> None:
        """Make one change."""
        moves: tuple[Callable[[Any], None], ...] = (
            self._plug,
            self._unplug,
            self._float,
            self._float,
            self._sink,
            self._port,
            self._route,
            self._switch,
            self._gateway,
            self._replace,
        )
        try:
            routers = self._routers()
            if self.making.is_set():
                self._make(routers)
                self.making.clear()
            elif routers:
                self._chance.choice(moves)(self._chance.choice(routers))
                self.figures.made += 1
        except REFUSALS:
            self.figures.refused += 1

    def _make(self, routers: list[Any]) -> None:
        """Make a router that needs an appliance."""
        if len(routers) >= self._most:
            self._remove(routers[0])
        self._plug(self._new_router())

    def settle(self, timeout_s: float) -> None:
        """Have all routers switched on and with a gateway, so that all of them can be seen."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                for router in self._routers():
                    self._settle(router)
            except REFUSALS:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    # -- moves ------------------------------------------------------------------------------------

    def _routers(self) -> list[Any]:
        found = self._network.routers(project_id=self._project)
        mine = [each for each in found if each.name.startswith(self._tenant.prefix)]
        return sorted(mine, key=lambda each: each.name)

    def _new_router(self) -> Any:
        return self._tenant.router(f"router-{next(self._numbers)}", external="public")

    def _interfaces(self, router: Any) -> list[Any]:
        owner = "network:router_interface"
        return list(self._network.ports(device_id=router.id, device_owner=owner))

    def _plug(self, router: Any) -> None:
        if len(self._interfaces(router)) >= INTERFACES_MAX:
            return
        number = next(self._numbers)
        network = self._tenant.network(f"net-{number}")
        subnet = self._tenant.subnet(network, f"10.{80 + number // 250}.{number % 250}.0/24")
        self._tenant.plug(router, subnet)
        self._tenant.port(network)

    def _unplug(self, router: Any) -> None:
        interfaces = self._interfaces(router)
        if len(interfaces) < 2:
            return
        chosen = self._chance.choice(interfaces)
        for address in self._network.ips(project_id=self._project):
            if address.router_id == router.id:
                self._network.delete_ip(address)
        self._network.update_router(router, routes=[])
        self._network.remove_interface_from_router(router, port=chosen.id)

    def _float(self, router: Any) -> None:
        for interface in self._interfaces(router):
            for port in self._network.ports(network_id=interface.network_id, device_id=""):
                public = self._network.find_network("public", ignore_missing=False)
                self._network.create_ip(floating_network_id=public.id, port_id=port.id)
                return

    def _sink(self, router: Any) -> None:
        for address in self._network.ips(project_id=self._project):
            if address.router_id == router.id:
                self._network.delete_ip(address)
                return

    def _port(self, router: Any) -> None:
        for interface in self._interfaces(router):
            network = self._network.get_network(interface.network_id)
            self._tenant.port(network, name=f"chaos-port-{next(self._numbers)}")
            return

    def _route(self, router: Any) -> None:
        if router.external_gateway_info is None:
            return
        third = self._chance.randrange(250)
        route = {"destination": f"192.168.{third}.0/24", "nexthop": "203.0.113.1"}
        self._network.update_router(router, routes=[route])

    def _switch(self, router: Any) -> None:
        self._network.update_router(router, admin_state_up=not router.is_admin_state_up)

    def _gateway(self, router: Any) -> None:
        if any(each.router_id == router.id for each in self._network.ips()):
            return
        self._network.update_router(router, routes=[])
        self._network.update_router(router, external_gateway_info={})
        self._settle(self._network.get_router(router.id))

    def _replace(self, router: Any) -> None:
        count = len(self._routers())
        if count < self._most:
            self._plug(self._new_router())
        if count > ROUTERS_MIN:
            self._remove(router)

    def _remove(self, router: Any) -> None:
        for address in self._network.ips(project_id=self._project):
            if address.router_id == router.id:
                self._network.delete_ip(address)
        self._network.update_router(router, routes=[])
        for interface in self._interfaces(router):
            self._network.remove_interface_from_router(router, port=interface.id)
        self._network.delete_router(router)

    def _settle(self, router: Any) -> None:
        changes: dict[str, Any] = {}
        if not router.is_admin_state_up:
            changes["admin_state_up"] = True
        if router.external_gateway_info is None:
            public = self._network.find_network("public", ignore_missing=False)
            changes["external_gateway_info"] = {"network_id": public.id}
        if changes:
            self._network.update_router(router, **changes)
