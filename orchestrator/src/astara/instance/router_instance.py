"""What serves one router, as the automaton drives it: one appliance, or a pair of them.

Decides nothing that ``verdict``, ``pair`` or the automaton could: it has ``pair`` choose whose
turn it is, calls that member's verbs, keeps Neutron informed. Of a pair one member is cared for at
a time. Called by one thread at a time; see ``machine.instance_port``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import clock, events
from ..clients import errors, topology
from ..machine import instance_port
from ..machine.vocabulary import InstanceState
from . import counters, describe, failures, names, pair, probe, report, verdict
from .member import Member
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

# How long an instance may be polled by its appliance's answers alone: a router's status that
# somebody else has written in Neutron is no part of its generation and is put right after that.
GLANCES_S = 900.0


class RouterInstance:
    """Serves one router."""

    def __init__(self, resource: events.Resource, tools: Tools):
        self._resource = resource
        self._tools = tools
        self._members = [Member(resource.id, 0, tools)]
        self._care = pair.Care(0, InstanceState.DOWN)
        self._state = InstanceState.DOWN
        self._wants_pair = False
        self._asked_to_switch = False
        self._applied_generation: str | None = None
        self._owes_report = False  # whether Neutron does not show what it should
        self._look_by_s = 0.0

    @property
    def resource(self) -> events.Resource:
        """The resource as it was named at creation."""
        return self._resource

    @property
    def tenant_id(self) -> str:
        """The tenant that owns the router; what the resource said until Neutron was asked."""
        last = self._first.known
        return last.project_id if last is not None else self._resource.tenant_id

    @property
    def state(self) -> InstanceState:
        """The state after the last call."""
        return self._state

    @property
    def answering(self) -> bool:
        """Whether the last probe of the member that is cared for was answered."""
        return self._focus.memory.answering

    @property
    def serving(self) -> bool:
        """Whether that appliance said that it runs some document."""
        return self._focus.memory.serving

    @property
    def boot_age_s(self) -> float | None:
        """Seconds since Nova made or started its server."""
        server = self._focus.memory.server
        return verdict.age_s(server) if server is not None else None

    @property
    def generation(self) -> str | None:
        """The generation that Neutron told at the last read."""
        last = self._first.known
        return last.generation if last is not None else None

    @property
    def applied_generation(self) -> str | None:
        """The generation that the appliances are known to run."""
        return self._applied_generation

    @property
    def networks(self) -> frozenset[str]:
        """The networks that the router is attached to."""
        last = self._first.known
        return last.networks if last is not None else frozenset()

    @property
    def port_networks(self) -> frozenset[str]:
        """Those of ``networks`` whose ports are part of the document: the internal ones."""
        last = self._first.known
        return last.port_networks if last is not None else frozenset()

    def describe(self, *, ports: bool = False) -> instance_port.Description:
        """What is known, for people; reads references that another thread may be replacing."""
        return describe.describe(self._tools, tuple(self._members), ports=ports)

    def use_image(self, image_id: str | None) -> None:
        """Boot the next servers from that image."""
        for member in tuple(self._members):
            member.memory.image_id = image_id

    def ask_to_switch(self) -> str:
        """Hand over at the next look; return why that cannot be, empty if it can."""
        refusal = pair.why_not_switch(self._views(tuple(self._members)))
        self._asked_to_switch = not refusal
        return refusal

    def recount(self) -> None:
        """Ask Nova for all servers at the next look, and end those beside the one that serves."""
        for member in tuple(self._members):
            member.memory.recount = True

    def begin_walk(self) -> None:
        """Forget what belongs to the walk before."""
        self._forget_walk()
        found = self._tools.briefings.take(self._resource.id)
        if found is not None:
            for member in self._members:
                probe.learn(self._tools, member.memory, found)

    def end_walk(self) -> None:
        """Forget the detail and what was made of it."""
        self._forget_walk()
        for member in self._members:
            self._tools.appliances.release(names.appliance(self._resource.id, member.index))

    def update_state(self) -> InstanceState:
        """Look at Neutron, the servers and the appliances."""
        return self._look()

    def glance(self) -> InstanceState:
        """Ask the appliances alone; look at everything if one does not say what it said before."""
        overdue = clock.SYSTEM.monotonic() >= self._look_by_s
        settled = self._state is InstanceState.CONFIGURED and not self._owes_report
        counted = not any(member.memory.recount for member in self._members)
        if (
            overdue
            or not settled
            or not counted
            or self._asked_to_switch
            or self._first.detail_read
        ):
            return self._look()
        with self._verb():
            for member in self._members:
                if not member.is_as_before():
                    silent = not member.memory.answering and member.memory.ports is not None
                    return self._look(silent=member.index if silent else None)
        return self._state

    def _look(self, *, silent: int | None = None) -> InstanceState:
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            self._arrange(router)
            for member in self._members:
                member.look(router, silent=member.index == silent)
            self._look_by_s = clock.SYSTEM.monotonic() + clock.SYSTEM.jitter(GLANCES_S)
            return self._settle()

    def boot(self) -> InstanceState:
        """Make or find the missing servers; beside one that is well or silent it is only one."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            self._arrange(router)
            self._choose()
            others = (each for each in self._members if each.state is InstanceState.DOWN)
            missing = [self._focus, *(each for each in others if each is not self._focus)]
            made = [member.boot(router) for member in missing if not self._is_surplus(member)]
            if all(made):
                return self._settle()
        return self._look()

    def check_boot(self) -> InstanceState:
        """Look at booting servers: Nova first, the appliance only when it can be there."""
        with self._verb():
            alone = len(self._members) == 1
            if alone and not self._focus.runs(self._detail):
                return self._settle()
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            self._arrange(router)
            for member in self._members:
                if (alone and member.index == 0) or self._boots(member, router):
                    member.judge(router)
            return self._settle()

    def _boots(self, member: Member, router: topology.RouterDetail) -> bool:
        """Look at a member of a pair; say whether it was booting and answers now."""
        if member.state is InstanceState.BOOTING:
            return member.runs(self._detail)
        member.look(router)
        return False

    def configure(self) -> InstanceState:
        """Push the document to those that answer and do not run it, who serves first."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            self._arrange(router)
            self._focus.configure(router)
            for member in self._members:
                if member.state is InstanceState.UP and member.memory.answering:
                    member.configure(router)
            return self._settle()

    def replug(self) -> InstanceState:
        """Ask for missing and superfluous NICs and look at what the appliance sees."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            self._focus.replug(router)
            return self._enter(self._focus.state)

    def outdate(self) -> None:
        """Have all servers replaced that exist now, one after the other."""
        if len(self._members) > 1:
            for member in self._members:
                member.outdated = member.state is not InstanceState.DOWN
            self._choose()

    def stop(self, *, final: bool) -> InstanceState:
        """Delete the server whose turn it is; if this is the end, all servers and ports."""
        with self._verb():
            self._applied_generation = None
            return self._enter(self._end() if final else self._stop_one())

    def _stop_one(self) -> InstanceState:
        member = self._focus
        self._relieve(member)
        if member.stop(whole=len(self._members) == 1):
            return InstanceState.RESTART_NEEDED
        if self._is_gone():
            return InstanceState.GONE
        if self._is_surplus(member):
            if member.remove_ports(whole=False):
                return InstanceState.RESTART_NEEDED
            self._members.remove(member)
            self._first.ports = None  # what was read of ports tells of both members
            self._care = pair.Care(0, InstanceState.DOWN)
            if self._tools.appliances.trust is not None:
                self._tools.appliances.trust.end(names.appliance(self._resource.id, member.index))
            LOG.info("pair.dissolved router=%s", self._resource.id)
        return InstanceState.DOWN

    def _end(self) -> InstanceState:
        first = self._members[0]
        if first.stop(whole=True) or first.remove_ports(whole=True):
            return InstanceState.RESTART_NEEDED
        if self._tools.appliances.trust is not None:
            for index in range(len(pair.PRIORITIES)):
                self._tools.appliances.trust.end(names.appliance(self._resource.id, index))
        self._tools.fence.end(self._resource.id)
        return InstanceState.GONE

    def read_stats(self) -> InstanceState:
        """Read the traffic counters."""
        for member in self._members:
            counters.read(self._tools, member.memory, self._resource.id, self.tenant_id)
        return self._state

    def set_error(self, reason: str) -> InstanceState:
        """Enter ERROR and tell Neutron; what runs keeps running.

        While the other half of a pair is well, only the member that failed is left alone.
        """
        LOG.error("instance.error router=%s reason=%s", self._resource.id, reason)
        others = [member.view() for member in self._members if member is not self._focus]
        if others and others[0].well:
            pause_s = self._focus.hold()
            LOG.error(
                "member.held router=%s member=%d again_in_s=%d",
                *(self._resource.id, self._focus.index, pause_s),
            )
            return self._settle()
        try:
            self._detail()
        except errors.ServiceError as error:
            LOG.warning("status.not_sent router=%s reason=%s", self._resource.id, error)
        return self._enter(InstanceState.ERROR)

    def clear_error(self) -> InstanceState:
        """Leave ERROR by looking again."""
        for member in self._members:
            member.state = InstanceState.DOWN
        self._state = InstanceState.DOWN
        self.begin_walk()
        return self.update_state()

    def let_go(self) -> None:
        """Forget what this process holds for the router: another node serves it."""
        self._tools.fence.drop(self._resource.id)
        for member in self._members:
            whose = names.appliance(self._resource.id, member.index)
            self._tools.appliances.release(whose)
            if self._tools.appliances.trust is not None:
                self._tools.appliances.trust.drop(whose)

    # -- the members ------------------------------------------------------------------------------

    @property
    def _focus(self) -> Member:
        return self._members[self._care.index]

    @property
    def _first(self) -> Memory:
        """What is remembered of the router is with its first member."""
        return self._members[0].memory

    def _views(self, members: tuple[Member, ...]) -> list[pair.View]:
        return [member.view(surplus=self._is_surplus(member)) for member in members]

    def _is_surplus(self, member: Member) -> bool:
        return member.index > 0 and not self._wants_pair

    def _forget_walk(self) -> None:
        for member in self._members:
            member.memory.forget_walk()

    def _arrange(self, router: topology.RouterDetail) -> None:
        """Have as many members as there ought to be, or still are, and introduce them."""
        self._wants_pair = router.ha
        plugs = [probe.read_ports(self._tools, each.memory, router) for each in self._members]
        if len(self._members) == 1 and (router.ha or plugs[0].paired):
            self._members.append(Member(self._resource.id, 1, self._tools))
            self._members[1].memory.image_id = self._first.image_id
            self._detail()
            plugs.append(probe.read_ports(self._tools, self._members[1].memory, router))
        if len(self._members) == 1:
            self._first.pair = None
            return
        addresses = [self._tools.address_of(plug.management) for plug in plugs]
        interval_ms = self._tools.settings.pair_advert_interval_ms
        for member, peer in zip(self._members, reversed(addresses), strict=True):
            member.memory.pair = pair.section(peer, member.index, interval_ms)

    def _choose(self) -> None:
        self._care = pair.choose(self._views(tuple(self._members)), self._care.index)

    def _settle(self) -> InstanceState:
        """Choose whose turn it is, and do what was asked for when all is well."""
        self._choose()
        if self._asked_to_switch and self._care.state is InstanceState.CONFIGURED:
            self._asked_to_switch = False
            self._switch()
        return self._enter(self._care.state)

    def _switch(self) -> None:
        for member in self._members:
            member.answers(self._detail)
        master, refusal = pair.can_hand_over(self._views(tuple(self._members)))
        if refusal:
            LOG.warning("switchover.refused router=%s reason=%s", self._resource.id, refusal)
            return
        self._members[master].hand_over()
        self._members[1 - master].answers(self._detail)

    def _relieve(self, member: Member) -> None:
        """Have a master that is to be stopped although it answers hand over first."""
        views = self._views(tuple(self._members))
        if len(views) == 1 or not member.memory.answering or member.memory.role != "master":
            return
        other = self._members[1 - member.index]
        if not views[other.index].well or not other.answers(self._detail):
            return
        if other.memory.role != "backup" or member.hand_over() == "master":
            raise instance_port.Retry(
                f"the other appliance cannot take over: it is in the role {other.memory.role}"
            )
        other.answers(self._detail)

    # -- what is known ----------------------------------------------------------------------------

    def _detail(self) -> topology.RouterDetail | None:
        router = probe.read_detail(self._tools, self._first, self._resource.id)
        for member in self._members[1:]:
            if not member.memory.detail_read:
                member.memory.learn_detail(router)
        return router

    def _is_gone(self) -> bool:
        """Say whether Neutron knows that the router is gone; silence means that it does not."""
        try:
            return self._detail() is None
        except errors.ServiceError as error:
            LOG.warning("router.unknown router=%s reason=%s", self._resource.id, error)
            return False

    def _enter(self, state: InstanceState) -> InstanceState:
        """Remember the state and tell Neutron what changed for the tenant."""
        if state is not self._state:
            level = logging.DEBUG if {state, self._state} == _CHANGING else logging.INFO
            LOG.log(level, "instance.state router=%s from=%s to=%s", self._resource.id,
                    self._state, state)  # fmt: skip
        self._state = state
        if state in (InstanceState.CONFIGURED, InstanceState.DEGRADED):
            self._applied_generation = self.generation
        self._tell_neutron()
        return state

    def _tell_neutron(self) -> None:
        """Send the status if it differs; a failure shows as a difference next time."""
        router = self._first.detail
        if router is None:
            return
        best = pair.best([member.view() for member in self._members])
        state = best.state if len(self._members) > 1 and self._state in _SERVED else self._state
        want = report.wanted(state, router, serving=best.serving, functions=self._functions())
        if want is None:
            return
        seen = self._first.shown or report.shown(router)
        self._owes_report = report.differs(want, seen)
        if not self._owes_report:
            return
        try:
            self._tools.neutron.set_router_status(
                router.id,
                want.status,
                _sorted(want.ports),
                _sorted(want.floatingips),
                want.connections,
                want.prefixes,
            )
        except errors.ServiceError as error:
            LOG.warning("status.not_sent router=%s reason=%s", router.id, error)
            return
        self._first.shown = report.after(want, seen)
        self._owes_report = False

    def _functions(self) -> dict[str, Any] | None:
        """Return what the network functions of the member that serves tell; None if silent."""
        told = [member.memory.status for member in self._members if member.memory.status]
        masters = [status for status in told if status.role in ("master", "single")]
        return masters[0].functions if masters else None

    @contextmanager
    def _verb(self) -> Iterator[None]:
        """Run a verb so that only the errors of the seam leave it."""
        with failures.translated():
            yield


_CHANGING = {InstanceState.UP, InstanceState.CONFIGURED}  # with every push, which is logged
# In all other states the instance itself is gone or given up, whatever a member does.
_SERVED = frozenset(InstanceState) - {InstanceState.GONE, InstanceState.ERROR}


def _sorted(ids: frozenset[str] | None) -> list[str] | None:
    return None if ids is None else sorted(ids)
