"""What one instance remembers between calls; plain state, no decisions.

``detail`` and ``status`` belong to one walk and are forgotten at its beginning; the server and the
ports are kept, because they change only by our own hand or are found out by a silent probe.
"""

import dataclasses
from dataclasses import dataclass, field

from astara_contract.document import Document, HighAvailability
from astara_contract.stats import Stats
from astara_contract.status import Status

from ..clients.nova import Server
from ..clients.topology import RouterDetail
from ..drivers.router import needs
from ..machine.instance_port import PortView
from ..metering.traffic import Amount
from .ports import Plug
from .report import Report


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of the router between walks; the detail is several times as large."""

    project_id: str
    name: str
    generation: str
    networks: frozenset[str]
    port_networks: frozenset[str]
    ports: tuple[PortView, ...]


def known(router: RouterDetail, before: Known | None = None) -> Known:
    """Say what is to be kept of a router; what is as `before` is kept once."""
    fresh = _known(router)
    same = {
        name: getattr(before, name)
        for name in ("project_id", "name", "networks", "port_networks", "ports")
        if before is not None and getattr(before, name) == getattr(fresh, name)
    }
    return dataclasses.replace(fresh, **same) if same else fresh


def _known(router: RouterDetail) -> Known:
    served = needs.logical_ports(router)
    return Known(
        project_id=router.project_id,
        name=router.name,
        generation=router.generation,
        networks=needs.carrier_networks(router),
        port_networks=needs.internal_networks(router),
        ports=tuple(
            PortView(
                use="gateway" if port.device_owner == needs.GATEWAY_OWNER else "interface",
                id=port.id,
                network_id=port.network_id,
                mac_address=port.mac_address,
                addresses=tuple(fixed.ip_address for fixed in port.fixed_ips),
            )
            for port in served
        ),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The document for a detail and ports, and its digest."""

    router: RouterDetail
    plug: Plug
    pair: HighAvailability | None
    document: Document
    digest: str


@dataclass(slots=True)
class Memory:
    """See the module; the owner is one Member, called by one thread at a time."""

    index: int = 0  # which member of a pair this is
    pair: HighAvailability | None = None  # what it is told of the other one
    role: str = ""  # that it told last
    detail: RouterDetail | None = None
    detail_read: bool = False
    known: Known | None = None
    wanted: Wanted | None = None
    server: Server | None = None
    doubtful: bool = True  # whether Nova may have more than one server for us
    recount: bool = False  # whether an audit has counted more than one
    doubt_until_s: float = 0.0  # until when a creation that was not answered may come about
    ports: tuple[frozenset[str], Plug] | None = None
    ports_read: bool = False
    status: Status | None = None
    answered_by: str | None = None
    answering: bool = False
    serving: bool = False
    shown: Report | None = None
    deletions: dict[str, float] = field(default_factory=dict)  # server -> when its end was asked
    counted: Stats | None = None  # the traffic counters at the last look
    used: dict[str, Amount] = field(default_factory=dict)  # in all that we saw, by scope
    image_id: str | None = None  # asked for by an operator in place of the configured one

    def forget_walk(self) -> None:
        """Forget what belongs to one walk."""
        self.detail = None
        self.detail_read = False
        self.ports_read = False
        self.status = None
        self.shown = None
        self.wanted = None

    def learn_detail(self, router: RouterDetail | None) -> None:
        """Keep the detail for this walk, and what lasts of it; None: there is no such router."""
        self.detail = router
        self.detail_read = True
        self.shown = None
        if router is not None:
            self.known = known(router, self.known)

    def learn_ports(self, needed: frozenset[str], plug: Plug) -> None:
        """Keep the ports that were just read, and the networks they were read for."""
        self.ports = (needed, plug)
        self.ports_read = True

    def forget_server(self) -> None:
        """Forget a server that is gone, and what it said."""
        self.server = None
        self.status = None
        self.answered_by = None
        self.answering = False
        self.serving = False
        self.role = ""
