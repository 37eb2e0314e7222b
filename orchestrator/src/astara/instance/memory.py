"""What one instance remembers between calls; plain state, no decisions.

``detail`` and ``status`` belong to one walk and are forgotten at its beginning; the server and the
ports are kept, because they change only by our own hand or are found out by a silent probe.
"""

from dataclasses import dataclass

from astara_contract.status import Status

from ..clients.nova import Server
from ..clients.topology import RouterDetail
from .ports import Plug
from .report import Report


@dataclass(slots=True)
class Memory:
    """See the module; the owner is one RouterInstance, called by one thread at a time."""

    detail: RouterDetail | None = None
    detail_read: bool = False
    last_detail: RouterDetail | None = None
    server: Server | None = None
    ports: tuple[frozenset[str], Plug] | None = None
    ports_read: bool = False
    status: Status | None = None
    answered_by: str | None = None
    answering: bool = False
    serving: bool = False
    shown: Report | None = None
    image_id: str | None = None  # asked for by an operator in place of the configured one

    def forget_walk(self) -> None:
        """Forget what belongs to one walk."""
        self.detail = None
        self.detail_read = False
        self.ports_read = False
        self.status = None
        self.shown = None

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
