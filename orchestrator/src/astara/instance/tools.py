"""What the verbs of an instance work with: clients, settings, facts that rarely change.

Decides nothing. One per process, shared by its threads. Made by ``factory``.
"""

import ipaddress
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import clock
from ..clients.appliance import Appliances
from ..clients.neutron import Neutron, Port
from ..clients.nova import Nova
from ..drivers.router import functions
from ..drivers.router.document import Nic, Site
from ..metering.meter import Meter
from . import ports, written_sections
from .briefing import Briefings
from .settings import Settings

if TYPE_CHECKING:
    from ..cluster.fence import Fence

_FACTS_LAST_S = 600.0


@dataclass(frozen=True, slots=True)
class ManagementFacts:
    """What Neutron says about the management network and its subnet."""

    prefix_length: int
    mtu: int | None


class Tools:
    """Clients, settings and the remembered facts of one process."""

    def __init__(
        self,
        neutron: Neutron,
        nova: Nova,
        appliances: Appliances,
        settings: Settings,
        own_address: str,
        fence: "Fence | None" = None,
        metering: Meter | None = None,
    ):
        self.neutron = neutron
        self.nova = nova
        self.appliances = appliances
        self.settings = settings
        self.briefings = Briefings(neutron)
        self._fence = fence
        self.meter = metering or Meter()
        self.site = Site(
            host=settings.host,
            address=own_address,
            metadata_port=settings.metadata_port,
            metadata_secret=settings.metadata_secret,
            dns_forwarders=settings.dns_forwarders,
            dns_domain=settings.dns_domain,
            bgp=settings.bgp,
            proxy_ndp=settings.proxy_ndp,
            flow_offload=settings.flow_offload,
            functions=(
                *functions.load(settings.functions),
                *written_sections.read(settings.function_sections),
            ),
            labels=settings.labels,
        )
        self._lock = threading.Lock()
        self._facts: tuple[float, ManagementFacts] | None = None
        self._flavor_id: str | None = None

    @property
    def fence(self) -> "Fence":
        """What says by which epoch we may write; a process that only looks has none."""
        if self._fence is None:
            raise RuntimeError("this process must not write to appliances")
        return self._fence

    def management_facts(self) -> ManagementFacts:
        """Return what is known about the management network, read anew every ten minutes."""
        with self._lock:
            if self._facts is None or clock.SYSTEM.monotonic() - self._facts[0] > _FACTS_LAST_S:
                subnet = self.neutron.subnet(self.settings.management_subnet_id)
                network = self.neutron.network(self.settings.management_network_id)
                length = ipaddress.ip_network(subnet.cidr).prefixlen
                self._facts = (clock.SYSTEM.monotonic(), ManagementFacts(length, network.mtu))
            return self._facts[1]

    def flavor_id(self) -> str:
        """Return the id of the configured flavor, which may be given by name."""
        with self._lock:
            if self._flavor_id is None:
                self._flavor_id = self.nova.flavor_id(self.settings.flavor)
            return self._flavor_id

    def wish(self, router_id: str, needed: frozenset[str], index: int = 0) -> ports.Wish:
        """Say whose ports are wanted, and where."""
        return ports.Wish(
            router_id=router_id,
            index=index,
            needed=needed,
            management_network_id=self.settings.management_network_id,
            management_subnet_id=self.settings.management_subnet_id,
        )

    def address_of(self, management: Port | None) -> str | None:
        """Return the address at which an appliance with this management port is reached."""
        if management is None:
            return None
        return ports.address_of(management, self.settings.management_subnet_id)

    def management_nic(self, management: Port) -> Nic:
        """Describe the management NIC of an appliance."""
        facts = self.management_facts()
        address = self.address_of(management)
        return Nic(
            mac_address=management.mac_address,
            network_id=management.network_id,
            addresses=(f"{address}/{facts.prefix_length}",) if address else (),
            mtu=facts.mtu,
        )
