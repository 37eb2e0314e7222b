"""Describe what the automaton drives and `astara.instance` implements.

The automaton decides; an `Instance` acts on Nova, Neutron and the appliance. This module holds
only protocols, facts and the error tree; it must never import a client.

Rules for every method of `Instance`:

- **Short.** One pass over the APIs (each request with its own deadline); never a loop that waits.
  What needs waiting returns the present state and is called again when a timer of the worker says
  so.
- **Idempotent.** It looks for what an earlier attempt (or an earlier orchestrator) left and goes
  on from there.
- **Level-triggered.** It reads the truth; it never relies on the event that led to the call.
- It returns the new state, which is then also in `state`.
- It is called by at most one thread at a time, but not always by the same thread: clients that are
  not thread-safe come from the per-thread pool of the factory.

Errors (an implementation raises nothing else on purpose; anything else is a bug, is logged with
its traceback and treated like `Retry`):

    InstanceError
      Retry            something beside the instance is busy or away (API 5xx, timeout, broker):
                       same call later; never counts against the resource
      BootFailed       Nova refused or lost the server: counts against `reboot_error_threshold`
      ConfigureFailed  the appliance could not apply the document (it rolled back): counted,
                       repaired by a rebuild when the budget is used up
      Fenced           another node writes to the appliance now: whatever this one wants is stale
      OperatorError    no retry helps before a human acts (image missing, not allowed, document
                       refused as invalid): ERROR with the text, tried again after growing pauses
"""

import typing

import msgspec

from .. import events
from . import vocabulary

if typing.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


class InstanceError(Exception):
    """Root of what an instance raises on purpose; `str()` is a sentence for the operator."""


class Retry(InstanceError):
    """Say that a dependency is busy or away.

    `after_s` is the earliest moment at which a new try makes sense, when the other side told one
    (Retry-After); None leaves the pause to the automaton's back-off.
    """

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class BootFailed(InstanceError):
    """Say that Nova refused to boot, or lost the server while booting."""


class ConfigureFailed(InstanceError):
    """Say that the appliance answered but could not apply the document."""


class Fenced(InstanceError):
    """Say that another node has taken the resource over."""


class OperatorError(InstanceError):
    """Say that nothing but a human can change the outcome; the text names the remedy."""


class PortView(msgspec.Struct, frozen=True):
    """One port of an instance, for people: `use` is management, carrier, interface or gateway."""

    use: str
    id: str
    network_id: str
    mac_address: str = ""
    addresses: tuple[str, ...] = ()


class MemberView(msgspec.Struct, frozen=True):
    """One appliance of an instance, for people; `role` is what it told last: master, backup."""

    index: int
    state: str
    role: str = ""
    answering: bool = False
    server_id: str = ""
    address: str = ""
    digest: str = ""
    note: str = ""  # why it is left alone or will be replaced


class Description(msgspec.Struct, frozen=True):
    """What is known about an instance, for people; empty where nothing is known yet.

    Server, address and digest are those of the appliance that serves; `members` has both of a
    pair, and is empty otherwise.
    """

    name: str = ""
    server_id: str = ""
    address: str = ""  # on the management network
    digest: str = ""  # of the document that the appliance is known to run
    ports: tuple[PortView, ...] = ()
    traffic: dict[str, tuple[int, int, int, int]] = {}
    """What was read of its counters in all, by type of network: bytes and packets in, then out."""
    members: tuple[MemberView, ...] = ()


class Instance(typing.Protocol):
    """What serves one resource: one server, or a pair of them, cared for one at a time."""

    @property
    def resource(self) -> events.Resource:
        """Give the resource as it was named at creation."""

    @property
    def tenant_id(self) -> str:
        """Give the tenant that owns the resource according to Neutron; empty until known."""

    @property
    def state(self) -> vocabulary.InstanceState:
        """Give the state of the last call; DOWN before the first."""

    @property
    def answering(self) -> bool:
        """Tell whether the last probe of the appliance was answered.

        The automaton, not the instance, decides how many silent probes are too many. While a
        server is silent that has answered before, `state` stays what it was (UP, CONFIGURED,
        HOTPLUG_NEEDED) and this is False. A server of which this process never had an answer is
        BOOTING.
        """

    @property
    def serving(self) -> bool:
        """Tell whether the last answer of the appliance named an applied document, of any age.

        An appliance that refuses a new document but still serves the old one is left alone; one
        that never took any is replaced.
        """

    @property
    def boot_age_s(self) -> float | None:
        """Give the seconds since Nova created or last started the server; None without one.

        Lets a restarted orchestrator tell a booting server from one that has been silent for an
        hour.
        """

    @property
    def generation(self) -> str | None:
        """Give the generation that Neutron reported at the last read; None before."""

    @property
    def applied_generation(self) -> str | None:
        """Give the generation whose document the appliance is known to run; None if unknown.

        Set by `configure` (also when the digest already matched and nothing was pushed).
        """

    @property
    def networks(self) -> frozenset[str]:
        """Give the networks it touches, internal and external, for hints by network."""

    @property
    def port_networks(self) -> frozenset[str]:
        """Give those of `networks` whose ports are part of the document: the internal ones."""

    def describe(self, *, ports: bool = False) -> Description:
        """Tell what is known, without asking anybody; `ports` costs a little more.

        Unlike the verbs it may be called by any thread at any time.
        """

    def use_image(self, image_id: str | None) -> None:
        """Boot the next servers of this resource from that image; None: the configured one.

        Like `describe`, callable by any thread. It lasts as long as this object.
        """

    def ask_to_switch(self) -> str:
        """Hand a pair over to its backup at the next look; return why that cannot be, else "".

        Like `describe`, callable by any thread.
        """

    def recount(self) -> None:
        """Ask Nova for all servers at the next look, and end those beside the one that serves.

        Like `describe`, callable by any thread.
        """

    def outdate(self) -> None:
        """Have all servers of a pair replaced one after the other, the backup first; no I/O.

        `stop` then deletes the first, and the states after that lead to the second.
        """

    def begin_walk(self) -> None:
        """Forget what was read from Neutron: the next call that needs it reads it again."""

    def update_state(self) -> vocabulary.InstanceState:
        """Observe: Neutron's detail, the Nova server, and one probe of the appliance.

        The detail is read in one call and kept until the next `begin_walk`.
        GONE: Neutron has no such resource. DOWN: no server of ours. RESTART_NEEDED: Nova calls the
        server ERROR, it is being deleted, or it was powered off. BOOTING: Nova builds it, or it is
        ACTIVE and never answered. HOTPLUG_NEEDED: it answers and the NICs it reports are not those
        needed. CONFIGURED: it answers and the digest it reports is that of the desired document.
        UP: it answers, otherwise. Also sends the resulting status (and which ports and floating
        IPs are served) to Neutron when it differs from what was last sent; failing to do so is
        logged, retried at the next call, and never fails the call.
        """

    def glance(self) -> vocabulary.InstanceState:
        """Look at the appliance alone, if it was as it should be the last time.

        As long as it reports what it reported then, the state stays CONFIGURED; otherwise, and
        once in a while, this is `update_state`. What changed in Neutron the audit tells.
        """

    def end_walk(self) -> None:
        """Forget what only a walk needs; most instances are at rest most of the time."""

    def boot(self) -> vocabulary.InstanceState:
        """Make or find the ports and ask Nova for a server.

        BOOTING, or what `update_state` would say if a server of ours exists already.
        A server that Nova is still deleting: raise `Retry`. A server in Nova ERROR: delete it and
        raise `Retry`. A new request that Nova refuses: `BootFailed`. The resource vanished: GONE.
        """

    def check_boot(self) -> vocabulary.InstanceState:
        """Observe a booting server cheaply: Nova's status and one probe.

        UP as soon as it answers (HOTPLUG_NEEDED if its NICs differ), RESTART_NEEDED if Nova calls
        it ERROR, DOWN if it vanished, else BOOTING.
        """

    def configure(self) -> vocabulary.InstanceState:
        """Push the desired document if its digest differs; report the status to Neutron.

        CONFIGURED on success; HOTPLUG_NEEDED if NICs are missing or superfluous (nothing is pushed
        then, unless a partial document serves those present); RESTART_NEEDED if the server
        vanished or was powered off; GONE if the resource did. No answer: `Retry`. Refused or
        rolled back: `ConfigureFailed`; invalid document: `OperatorError`. Uses the detail read
        since `begin_walk`, or reads it.
        """

    def replug(self) -> vocabulary.InstanceState:
        """Ask Nova for the attachments and detachments that are missing and look at the NICs.

        UP when the NICs are right (configuration may be pushed), HOTPLUG_NEEDED while a requested
        change is not visible yet (the automaton calls again until `hotplug_timeout`),
        RESTART_NEEDED if Nova refuses for good.
        """

    def stop(self, *, final: bool) -> vocabulary.InstanceState:
        """Delete the server and see whether it is gone.

        `final` is True when the resource is to disappear for good: then the carrier and management
        ports go as well, after the server, and the answer is GONE when nothing at all is left.
        Otherwise carrier ports stay for the next server (same MAC), and the answer is DOWN when
        the server is gone, or GONE if Neutron no longer has the resource. RESTART_NEEDED while
        something that has to go still exists. Works without Neutron's detail.
        """

    def read_stats(self) -> vocabulary.InstanceState:
        """Read the traffic counters of the appliance; returns the unchanged state.

        Raises nothing: what could not be read is part of what is read next time.
        """

    def set_error(self, reason: str) -> vocabulary.InstanceState:
        """Enter ERROR and tell Neutron; a server that exists is left alone.

        Never raises: what fails is logged.
        """

    def clear_error(self) -> vocabulary.InstanceState:
        """Leave ERROR by observing afresh, as `update_state` does."""

    def let_go(self) -> None:
        """Forget what this process holds for the resource, which is no longer ours; no I/O."""


class Briefing(typing.Protocol):
    """Reads for the walks of many resources at once; what a walk finds there it need not read."""

    def prepare(self, ids: "Sequence[str]", new: "Collection[str]") -> None:
        """Read what the next walks of these need; those in `new` were never looked at.

        Never raises what an instance may: what could not be read each walk reads by itself.
        """

    def forget(self, resource_id: str) -> None:
        """Drop what was read for one: it may have changed since."""


class InstanceFactory(typing.Protocol):
    """Makes instances; one per worker process; holds the clients, pooled per thread."""

    @property
    def briefing(self) -> Briefing | None:
        """Give what reads for many walks at once; None: each reads for itself."""

    def create(self, resource: events.Resource) -> Instance:
        """Make the instance object of a resource, without I/O: `update_state` looks."""

    def close(self) -> None:
        """Close sockets and sessions."""


class Listed(msgspec.Struct, frozen=True):
    """One line of the inventory: a resource that ought to be served, and its generation."""

    resource: events.Resource
    generation: str


class Trace(msgspec.Struct, frozen=True):
    """A resource that left something; `doubled`: more servers than it has appliances."""

    resource: events.Resource
    doubled: bool = False


class Inventory(typing.Protocol):
    """What exists, read cheaply; used by the audit. Raises `Retry` or `OperatorError`."""

    def pages(self) -> "Iterator[Sequence[Listed]]":
        """List all resources of the enabled drivers that are ours to serve, page by page."""

    def traces(self) -> "Iterable[Trace]":
        """List resources that left a server or a port of ours, existing or not.

        Trust is by service project plus tag or metadata, never by name. The tenant id may be
        empty.
        """

    def close(self) -> None:
        """Close sockets and sessions."""
