"""One appliance of a router: its server, its ports, and what it answered.

Decides nothing that ``verdict`` or ``pair`` could: it calls the verbs for its own server and
remembers its state. It is given the router's detail and tells nobody but the log. Owned by
``router_instance``, which has one of them, or two; called by one thread at a time.
"""

import logging
from collections.abc import Callable
from typing import Any

from .. import clock
from ..clients import errors, topology
from ..machine.vocabulary import InstanceState
from . import boot, configure, names, pair, ports, probe, replug, stop, verdict
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

_GROWTH_MAX = 10

Read = Callable[[], topology.RouterDetail | None]


class Member:
    """See the module; every verb leaves the new state in ``state``."""

    def __init__(self, router_id: str, index: int, tools: Tools):
        self.memory = Memory(index=index)
        self.state = InstanceState.DOWN
        self.digest = ""  # of the document that it is known to run
        self.outdated = False  # to be replaced although it may be healthy
        self._router_id = router_id
        self._tools = tools
        self._functions: dict[str, Any] = {}  # what they told when Neutron's view was made
        self._held_until_s = 0.0
        self._holds = 0

    @property
    def index(self) -> int:
        """Which one of a pair it is; 0 for one alone."""
        return self.memory.index

    def view(self, *, surplus: bool = False) -> pair.View:
        """Return what decisions need."""
        return pair.View(
            state=self.state,
            answering=self.memory.answering,
            serving=self.memory.serving,
            role=self.memory.role,
            held=clock.SYSTEM.monotonic() < self._held_until_s,
            outdated=self.outdated,
            surplus=surplus,
        )

    def hold(self) -> float:
        """Leave it alone for a while, each time longer; return the seconds."""
        settings = self._tools.settings
        growing = settings.cooldown_s * 2.0 ** min(self._holds, _GROWTH_MAX)
        pause_s = clock.SYSTEM.jitter(min(growing, settings.cooldown_max_s))
        self._holds += 1
        self._held_until_s = clock.SYSTEM.monotonic() + pause_s
        return pause_s

    def look(self, router: topology.RouterDetail, *, silent: bool = False) -> None:
        """Look at the server and the appliance; `silent`: it has just been asked in vain."""
        probe.look(self._tools, self.memory, router, silent=silent)
        self._enter(self._judge(router))
        self._tidy(router)

    def is_as_before(self) -> bool:
        """Ask the appliance alone whether it is as it was when it was configured."""
        plug = self.memory.ports[1] if self.memory.ports else None
        if plug is None or self.state is not InstanceState.CONFIGURED:
            return False
        role = self.memory.role
        probe.probe(self._tools, self.memory, plug.management)
        status = self.memory.status
        if status is None:
            return False
        as_before = verdict.Desired(macs=plug.macs, digest=self.digest)
        if role != self.memory.role:
            LOG.info("member.role router=%s server=%s from=%s to=%s", *self._names, role,
                     self.memory.role)  # fmt: skip
        as_told = status.functions == self._functions
        return as_told and verdict.answers(status, as_before) is self.state

    def boot(self, router: topology.RouterDetail) -> bool:
        """Make or find a server; return False if a usable one was there already."""
        made = boot.boot(self._tools, self.memory, router)
        if made:
            self.outdated = False
            self._enter(InstanceState.BOOTING)
        return made

    def runs(self, read: Read) -> bool:
        """Ask Nova for the server, and the appliance if it can be there; say if it answered."""
        server = probe.read_server(self._tools, self.memory, self._router_id)
        if server is not None and verdict.running(server) and self.answers(read):
            return True
        silent = verdict.Desired(macs=None, digest=None)
        state = InstanceState.BOOTING
        self._enter(verdict.judge(server, None, silent, state, answered_before=False))
        return False

    def answers(self, read: Read) -> bool:
        """Probe the appliance; `read` gives the router's detail where its ports are not known."""
        known = self.memory.ports
        if known is not None:
            plug = known[1]
        elif (router := read()) is not None:
            plug = probe.read_ports(self._tools, self.memory, router)
        else:
            return False
        return probe.probe(self._tools, self.memory, plug.management, more=True)

    def judge(self, router: topology.RouterDetail) -> None:
        """Name the state by what is known."""
        self._enter(self._judge(router))

    def configure(self, router: topology.RouterDetail) -> None:
        """Push the document if the appliance does not run it."""
        if self.memory.status is None:
            probe.look(self._tools, self.memory, router)
        state = self._judge(router)
        if state not in (InstanceState.UP, InstanceState.CONFIGURED):
            self._enter(state)
            return
        if not self.memory.answering:
            raise errors.Unavailable("appliance", "configure", "no answer")
        plug = probe.read_ports(self._tools, self.memory, router)
        pushed = configure.push_if_needed(self._tools, self.memory, router, plug)
        if pushed and self.memory.pair is not None:
            probe.probe(self._tools, self.memory, plug.management)  # its role is another one now
        self._tidy(router)
        self._enter(InstanceState.CONFIGURED)

    def replug(self, router: topology.RouterDetail) -> None:
        """Ask for missing and superfluous NICs and look at what the appliance sees."""
        server = probe.read_server(self._tools, self.memory, router.id)
        if server is None or not verdict.usable(server):
            self._enter(InstanceState.RESTART_NEEDED)
            return
        try:
            held = replug.request_changes(self._tools, self.memory, router, server.id)
        except errors.Rejected as error:
            LOG.warning("replug.refused router=%s reason=%s", router.id, error)
            self._enter(InstanceState.RESTART_NEEDED)
            return
        self._enter(self._after_replug(router, held=held))

    def stop(self, *, whole: bool) -> bool:
        """Have the server deleted, or all servers of the router; return whether some remain."""
        self.digest = ""
        if stop.servers_remain(self._tools, self.memory, self._router_id, whole=whole):
            self._enter(InstanceState.RESTART_NEEDED)
            return True
        self.outdated = False
        self._enter(InstanceState.DOWN)
        return False

    def remove_ports(self, *, whole: bool) -> bool:
        """Delete its ports, or all of the router; return whether some are still held."""
        held = stop.ports_remain(self._tools, self.memory, self._router_id, whole=whole)
        if held:
            self._enter(InstanceState.RESTART_NEEDED)
        return held

    def hand_over(self) -> str:
        """Have the appliance give the router to the other one; return its role afterwards."""
        plug = self.memory.ports[1] if self.memory.ports else None
        address = self._tools.address_of(plug.management) if plug is not None else None
        if address is None:
            raise errors.Unavailable("appliance", "hand over", "it has no address")
        whose = names.appliance(self._router_id, self.index)
        told = self._tools.appliances.hand_over(address, whose)
        self.memory.role = told.role
        LOG.info("member.handed_over router=%s server=%s role=%s", *self._names, told.role)
        return told.role

    @property
    def _names(self) -> tuple[str, str]:
        return self._router_id, self.memory.server.id if self.memory.server else ""

    def _judge(self, router: topology.RouterDetail) -> InstanceState:
        """Name the state; before saying that NICs are wrong, make sure to know the ports."""
        state = self._verdict(probe.desired(self._tools, self.memory, router))
        if state is not InstanceState.HOTPLUG_NEEDED or self.memory.ports_read:
            return state
        return self._verdict(probe.desired(self._tools, self.memory, router, fresh=True))

    def _verdict(self, desired: verdict.Desired) -> InstanceState:
        memory = self.memory
        server_id = memory.server.id if memory.server else None
        return verdict.judge(
            memory.server,
            memory.status,
            desired,
            self.state,
            answered_before=server_id is not None and memory.answered_by == server_id,
        )

    def _tidy(self, router: topology.RouterDetail) -> None:
        """Delete ports that an unplugged network or an interrupted walk left behind.

        Such a port keeps the tenant from deleting the network.
        """
        if not probe.read_ports(self._tools, self.memory, router).surplus:
            return
        plug = probe.read_ports(self._tools, self.memory, router, fresh=True)
        if ports.remove_idle(self._tools.neutron, plug.surplus) < len(plug.surplus):
            probe.read_ports(self._tools, self.memory, router, fresh=True)

    def _after_replug(self, router: topology.RouterDetail, *, held: bool) -> InstanceState:
        self.answers(lambda: router)
        if held or not self.memory.answering:
            return InstanceState.HOTPLUG_NEEDED
        state = self._judge(router)
        return InstanceState.UP if state is InstanceState.CONFIGURED else state

    def _enter(self, state: InstanceState) -> None:
        if state is not self.state and self.memory.pair is not None:  # alone it is the instance
            LOG.info("member.state router=%s member=%d from=%s to=%s", self._router_id,
                     self.index, self.state, state)  # fmt: skip
        self.state = state
        if state is InstanceState.CONFIGURED:
            self._holds, self._held_until_s = 0, 0.0
            if self.memory.status is not None:
                self.digest = self.memory.status.digest or ""
                self._functions = self.memory.status.functions
