"""The verbs every driver shares, and the facts they may look at.

    render(document, facts) -> Desired     pure: frozen data that says all the driver wants
    check(desired)                         the tool's own checker; raises CheckFailed; no effects
    observe() -> Observed                  what is there now: kernel, files, processes
    diff(observed, desired) -> Change      pure; falsy when there is nothing to do
    explain(change) -> lines               pure; each difference in words, without secrets
    apply(change)                          the only verb with effects
    verify(desired)                        raises VerifyFailed when the effect is not there

The pipeline calls all renders and checks before the first apply, so a bad document changes
nothing. There is no undo verb: going back means rendering the previous document and diffing
towards it. So `diff` must cope with *any* observed state (fresh boot, half-applied change,
something a human did), and an apply may be repeated at any time without harm.

Drivers are built once by `registry.build_drivers(paths)` as `XxxDriver(paths)` and are only called
under the pipeline's lock, one verb at a time. A driver that raises anything else than these
errors, `CommandFailed`, `DaemonDied`, OSError or netlink errors has a bug.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..system import daemon, netlink, process

if TYPE_CHECKING:
    from astara_contract.document import Document, Interface


class DriverError(Exception):
    """What a driver tells about a document or an effect: `driver` names it, `reason` is one
    sentence for the operator.
    """

    def __init__(self, driver: str, reason: str) -> None:
        self.driver = driver
        self.reason = reason
        super().__init__(f"{driver}: {reason}")


class CheckFailed(DriverError):
    """The rendered configuration is refused by the tool that would read it; nothing was
    changed.
    """


class ApplyFailed(DriverError):
    """A change could not be made."""


class VerifyFailed(DriverError):
    """A change was made, but its effect is not there."""


EFFECT_ERRORS = (OSError, process.CommandFailed, daemon.DaemonDied, netlink.NetlinkRefused)
"""What `system` raises when the world refuses; drivers may let it pass."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nic:
    """One network device of the appliance."""

    mac: str
    """Lower case, colons."""

    device: str
    """The kernel's name: eth1, ens5, g3f2a1..."""

    ifname: str
    """The name outsiders use, stable for the life of the appliance: ge0 is management."""


MANAGEMENT = "ge0"
"""The stable name of the management NIC, the only one through which the API may be reached."""


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What `render` may know beside the document.

    The pipeline has made sure that `nic(network.interface)` works for each network of the document
    that it hands to `render`. The document may be empty (`Document()`, before the first push):
    then everything but management is closed.
    """

    nics: Mapping[str, Nic]
    """All network devices by MAC (lower case)."""

    def find(self, interface: "Interface") -> Nic | None:
        """Return the NIC of a document's interface: by MAC, without one by its geN name."""
        if interface.lladdr:
            return self.nics.get(interface.lladdr.lower())
        return next((nic for nic in self.nics.values() if nic.ifname == interface.ifname), None)

    def nic(self, interface: "Interface") -> Nic:
        """Return the NIC of a document's interface; LookupError if it is not plugged."""
        found = self.find(interface)
        if found is None:
            raise LookupError(f"no NIC {interface.lladdr or interface.ifname}")
        return found

    @property
    def management(self) -> Nic | None:
        """The management NIC, whether or not the document mentions it."""
        return next((nic for nic in self.nics.values() if nic.ifname == MANAGEMENT), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """Whom the appliance answers on its external networks: one UDP port, or one protocol."""

    sources: tuple[str, ...]
    """Networks as "192.0.2.1/32"; parsed before they get anywhere."""

    udp_port: int | None = None
    protocol: int | None = None
    """A number of IANA's for protocols without ports, such as 50 for ESP."""


@dataclasses.dataclass(frozen=True, slots=True)
class Openings:
    """What a network function needs from the firewall."""

    tunnels: tuple[str, ...] = ()
    """Devices of the function: routed to and from internal networks, untranslated."""

    ports: tuple[Opening, ...] = ()


NO_OPENINGS = Openings()


DesiredT = TypeVar("DesiredT")
ObservedT = TypeVar("ObservedT")
ChangeT = TypeVar("ChangeT")


StateT = TypeVar("StateT")


@dataclasses.dataclass(frozen=True, slots=True)
class Transition(Generic[StateT]):
    """A change that is nothing but where from and where to; falsy when it is the same."""

    observed: StateT
    desired: StateT

    def __bool__(self) -> bool:
        return self.observed != self.desired


class Driver(Protocol[DesiredT, ObservedT, ChangeT]):
    """One concern of the appliance; see the module docstring for the rules."""

    @property
    def name(self) -> str:
        """The word that errors and logs use."""

    def render(self, document: "Document", facts: Facts) -> DesiredT:
        """Compute all that the driver wants for `document`. Pure; may raise CheckFailed."""

    def check(self, desired: DesiredT) -> None:
        """Let the tool itself refuse what it would not load. Raises CheckFailed; leaves no
        trace.
        """

    def observe(self) -> ObservedT:
        """Look at what is there."""

    def diff(self, observed: ObservedT, desired: DesiredT) -> ChangeT:
        """Compute the smallest change that leads from observed to desired. Pure; falsy when there
        is none.
        """

    def explain(self, change: ChangeT) -> tuple[str, ...]:
        """Tell a person what differs, one short line each, never with a secret. Pure."""

    def apply(self, change: ChangeT) -> None:
        """Make the change. Raises ApplyFailed (or an error of `system`) when it cannot."""

    def verify(self, desired: DesiredT) -> None:
        """Raise VerifyFailed unless `desired` is in effect. Usually: diff(observe(), desired) is
        empty.
        """
