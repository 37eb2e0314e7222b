"""The appliance of one router, as the automaton drives it.

Decides nothing that ``verdict`` or the automaton could: it calls the verbs, remembers the state,
keeps Neutron informed. Called by one thread at a time; see ``machine.instance_port``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .. import clock, events
from ..clients import errors, topology
from ..machine import instance_port
from ..machine.vocabulary import InstanceState
from . import (
    boot,
    configure,
    counters,
    describe,
    failures,
    ports,
    probe,
    replug,
    report,
    stop,
    verdict,
)
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

# How long an instance may be polled by its appliance's answers alone: a router's status that
# somebody else has written in Neutron is no part of its generation and is put right after that.
GLANCES_S = 900.0


class RouterInstance:
    """Serves one router with one server."""

    def __init__(self, resource: events.Resource, tools: Tools):
        self._resource = resource
        self._tools = tools
        self._memory = Memory()
        self._state = InstanceState.DOWN
        self._applied_generation: str | None = None
        self._applied_digest = ""
        self._told_about_ha = False
        self._owes_report = False  # whether Neutron does not show what it should
        self._look_by_s = 0.0

    @property
    def resource(self) -> events.Resource:
        """The resource as it was named at creation."""
        return self._resource

    @property
    def tenant_id(self) -> str:
        """The tenant that owns the router; what the resource said until Neutron was asked."""
        last = self._memory.known
        return last.project_id if last is not None else self._resource.tenant_id

    @property
    def state(self) -> InstanceState:
        """The state after the last call."""
        return self._state

    @property
    def answering(self) -> bool:
        """Whether the last probe was answered."""
        return self._memory.answering

    @property
    def serving(self) -> bool:
        """Whether the appliance said that it runs some document."""
        return self._memory.serving

    @property
    def boot_age_s(self) -> float | None:
        """Seconds since Nova made or started the server."""
        return verdict.age_s(self._memory.server) if self._memory.server else None

    @property
    def generation(self) -> str | None:
        """The generation that Neutron told at the last read."""
        last = self._memory.known
        return last.generation if last is not None else None

    @property
    def applied_generation(self) -> str | None:
        """The generation that the appliance is known to run."""
        return self._applied_generation

    @property
    def networks(self) -> frozenset[str]:
        """The networks that the router is attached to."""
        last = self._memory.known
        return last.networks if last is not None else frozenset()

    @property
    def port_networks(self) -> frozenset[str]:
        """Those of ``networks`` whose ports are part of the document: the internal ones."""
        last = self._memory.known
        return last.port_networks if last is not None else frozenset()

    def describe(self, *, ports: bool = False) -> instance_port.Description:
        """What is known, for people; reads references that another thread may be replacing."""
        return describe.describe(
            self._tools, self._memory, digest=self._applied_digest, ports=ports
        )

    def use_image(self, image_id: str | None) -> None:
        """Boot the next servers from that image."""
        self._memory.image_id = image_id

    def begin_walk(self) -> None:
        """Forget what belongs to the walk before."""
        self._memory.forget_walk()
        found = self._tools.briefings.take(self._resource.id)
        if found is not None:
            probe.learn(self._tools, self._memory, found)

    def end_walk(self) -> None:
        """Forget the detail and what was made of it."""
        self._memory.forget_walk()
        self._tools.appliances.release(self._resource.id)

    def update_state(self) -> InstanceState:
        """Look at Neutron, the server and the appliance."""
        return self._look(silent=False)

    def glance(self) -> InstanceState:
        """Ask the appliance alone; look at everything if it does not say what it said before."""
        plug = self._memory.ports[1] if self._memory.ports else None
        overdue = clock.SYSTEM.monotonic() >= self._look_by_s
        settled = self._state is InstanceState.CONFIGURED and not self._owes_report
        if plug is None or overdue or not settled or self._memory.detail_read:
            return self.update_state()
        with self._verb():
            silent = not probe.probe(self._tools, self._memory, plug.management)
        status = self._memory.status
        as_before = verdict.Desired(macs=plug.macs, digest=self._applied_digest)
        if status is not None and verdict.answers(status, as_before) is self._state:
            return self._state
        return self._look(silent=silent)

    def _look(self, *, silent: bool) -> InstanceState:
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            probe.look(self._tools, self._memory, router, silent=silent)
            state = self._judge(router)
            self._tidy(router)
            self._look_by_s = clock.SYSTEM.monotonic() + clock.SYSTEM.jitter(GLANCES_S)
            return self._enter(state)

    def boot(self) -> InstanceState:
        """Make or find a server."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            if boot.boot(self._tools, self._memory, router):
                return self._enter(InstanceState.BOOTING)
        return self.update_state()

    def check_boot(self) -> InstanceState:
        """Look at a booting server: Nova first, the appliance only when it can be there."""
        with self._verb():
            server = probe.read_server(self._tools, self._memory, self._resource.id)
            if server is not None and verdict.running(server) and self._answers():
                router = self._detail()
                if router is None:
                    return self._enter(InstanceState.GONE)
                return self._enter(self._judge(router))
            silent = verdict.Desired(macs=None, digest=None)
            return self._enter(
                verdict.judge(server, None, silent, InstanceState.BOOTING, answered_before=False)
            )

    def configure(self) -> InstanceState:
        """Push the document if the appliance does not run it."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            if self._memory.status is None:
                probe.look(self._tools, self._memory, router)
            state = self._judge(router)
            if state not in (InstanceState.UP, InstanceState.CONFIGURED):
                return self._enter(state)
            if not self._memory.answering:
                raise errors.Unavailable("appliance", "configure", "no answer")
            plug = probe.read_ports(self._tools, self._memory, router)
            configure.push_if_needed(self._tools, self._memory, router, plug)
            self._tidy(router)
            return self._enter(InstanceState.CONFIGURED)

    def replug(self) -> InstanceState:
        """Ask for missing and superfluous NICs and look at what the appliance sees."""
        with self._verb():
            router = self._detail()
            if router is None:
                return self._enter(InstanceState.GONE)
            server = probe.read_server(self._tools, self._memory, router.id)
            if server is None or not verdict.usable(server):
                return self._enter(InstanceState.RESTART_NEEDED)
            try:
                held = replug.request_changes(self._tools, self._memory, router, server.id)
            except errors.Rejected as error:
                LOG.warning("replug.refused router=%s reason=%s", router.id, error)
                return self._enter(InstanceState.RESTART_NEEDED)
            return self._enter(self._after_replug(router, held=held))

    def stop(self, *, final: bool) -> InstanceState:
        """Delete the server and, if this is the end, the ports."""
        with self._verb():
            router_id = self._resource.id
            self._applied_generation = None
            self._applied_digest = ""
            if stop.servers_remain(self._tools, self._memory, router_id):
                return self._enter(InstanceState.RESTART_NEEDED)
            if not final:
                gone = self._is_gone()
                return self._enter(InstanceState.GONE if gone else InstanceState.DOWN)
            if stop.ports_remain(self._tools, self._memory, router_id):
                return self._enter(InstanceState.RESTART_NEEDED)
            if self._tools.appliances.trust is not None:
                self._tools.appliances.trust.end(router_id)
            self._tools.fence.end(router_id)
            return self._enter(InstanceState.GONE)

    def read_stats(self) -> InstanceState:
        """Read the traffic counters."""
        counters.read(self._tools, self._memory, self._resource.id, self.tenant_id)
        return self._state

    def set_error(self, reason: str) -> InstanceState:
        """Enter ERROR and tell Neutron; what runs keeps running."""
        LOG.error("instance.error router=%s reason=%s", self._resource.id, reason)
        try:
            self._detail()
        except errors.ServiceError as error:
            LOG.warning("status.not_sent router=%s reason=%s", self._resource.id, error)
        return self._enter(InstanceState.ERROR)

    def clear_error(self) -> InstanceState:
        """Leave ERROR by looking again."""
        self._state = InstanceState.DOWN
        self.begin_walk()
        return self.update_state()

    def let_go(self) -> None:
        """Forget what this process holds for the router: another node serves it."""
        self._tools.fence.drop(self._resource.id)
        self._tools.appliances.release(self._resource.id)
        if self._tools.appliances.trust is not None:
            self._tools.appliances.trust.drop(self._resource.id)

    def _detail(self) -> topology.RouterDetail | None:
        router = probe.read_detail(self._tools, self._memory, self._resource.id)
        if router is not None and router.ha and not self._told_about_ha:
            self._told_about_ha = True
            LOG.warning("router.ha router=%s reason=%s", router.id, "served by one appliance")
        return router

    def _is_gone(self) -> bool:
        """Say whether Neutron knows that the router is gone; silence means that it does not."""
        try:
            return self._detail() is None
        except errors.ServiceError as error:
            LOG.warning("router.unknown router=%s reason=%s", self._resource.id, error)
            return False

    def _answers(self) -> bool:
        """Probe the appliance without reading the router's detail again."""
        known = self._memory.ports
        if known is None and (router := self._detail()) is not None:
            plug = probe.read_ports(self._tools, self._memory, router)
        elif known is not None:
            plug = known[1]
        else:
            return False
        return probe.probe(self._tools, self._memory, plug.management, more=True)

    def _judge(self, router: topology.RouterDetail) -> InstanceState:
        """Name the state; before saying that NICs are wrong, make sure to know the ports."""
        state = self._verdict(router, probe.desired(self._tools, self._memory, router))
        if state is not InstanceState.HOTPLUG_NEEDED or self._memory.ports_read:
            return state
        fresh = probe.desired(self._tools, self._memory, router, fresh=True)
        return self._verdict(router, fresh)

    def _tidy(self, router: topology.RouterDetail) -> None:
        """Delete ports that an unplugged network or an interrupted walk left behind.

        Such a port keeps the tenant from deleting the network.
        """
        if not probe.read_ports(self._tools, self._memory, router).surplus:
            return
        plug = probe.read_ports(self._tools, self._memory, router, fresh=True)
        if ports.remove_idle(self._tools.neutron, plug.surplus) < len(plug.surplus):
            probe.read_ports(self._tools, self._memory, router, fresh=True)

    def _verdict(self, router: topology.RouterDetail, desired: verdict.Desired) -> InstanceState:
        memory = self._memory
        server_id = memory.server.id if memory.server else None
        return verdict.judge(
            memory.server,
            memory.status,
            desired,
            self._state,
            answered_before=server_id is not None and memory.answered_by == server_id,
        )

    def _after_replug(self, router: topology.RouterDetail, *, held: bool) -> InstanceState:
        self._answers()
        if held or not self._memory.answering:
            return InstanceState.HOTPLUG_NEEDED
        state = self._judge(router)
        return InstanceState.UP if state is InstanceState.CONFIGURED else state

    def _enter(self, state: InstanceState) -> InstanceState:
        """Remember the state and tell Neutron what changed for the tenant."""
        if state is not self._state:
            LOG.info(
                "instance.state router=%s from=%s to=%s", self._resource.id, self._state, state
            )
        self._state = state
        if state is InstanceState.CONFIGURED:
            self._applied_generation = self.generation
            if self._memory.status is not None:
                self._applied_digest = self._memory.status.digest or ""
        self._tell_neutron()
        return state

    def _tell_neutron(self) -> None:
        """Send the status if it differs; a failure shows as a difference next time."""
        router = self._memory.detail
        if router is None:
            return
        want = report.wanted(self._state, router, serving=self._memory.serving)
        if want is None:
            return
        seen = self._memory.shown or report.shown(router)
        self._owes_report = report.differs(want, seen)
        if not self._owes_report:
            return
        try:
            self._tools.neutron.set_router_status(
                router.id, want.status, _sorted(want.ports), _sorted(want.floatingips)
            )
        except errors.ServiceError as error:
            LOG.warning("status.not_sent router=%s reason=%s", router.id, error)
            return
        self._memory.shown = report.after(want, seen)
        self._owes_report = False

    @contextmanager
    def _verb(self) -> Iterator[None]:
        """Run a verb so that only the errors of the seam leave it."""
        with failures.translated():
            yield


def _sorted(ids: frozenset[str] | None) -> list[str] | None:
    return None if ids is None else sorted(ids)
