"""Answer questions of operators about this worker, and take their commands, over a Unix socket.

Decides nothing: what is asked goes to the registry like any event. Must never hold up the work:
two threads answer, each question has a deadline, and lines are made from what is in memory
without the registry's lock. Started by `worker.process`.
"""

import contextlib
import heapq
import logging
import os
import pathlib
import selectors
import socket
import threading
import typing

from .. import clock, events
from ..machine.vocabulary import Action, InstanceState
from . import control_protocol as protocol
from . import figures, pool, registry

if typing.TYPE_CHECKING:
    from ..machine import instance_port

LOG = logging.getLogger(__name__)

THREADS = 2
BACKLOG = 32
DEADLINE_S = 5.0
_POLL_EVERYTHING = events.PollSlice(0, 1)


class Desk:
    """Answers questions from what the worker has in memory."""

    def __init__(
        self,
        node: str,
        number: int,
        slots: registry.Registry,
        threads: pool.Pool,
        factory: typing.Any,
        rebuilds_left: "typing.Callable[[], int]" = int,
    ) -> None:
        self._node = node
        self._number = number
        self._slots = slots
        self._threads = threads
        self._factory = factory
        self._rebuilds_left = rebuilds_left

    def answer(self, question: protocol.Question) -> protocol.Answer:
        """Answer one question."""
        match question:
            case protocol.ListResources(after, limit):
                return self._list(after, limit)
            case protocol.ShowResource(resource_id):
                slot = self._slots.slot(resource_id)
                return protocol.Unknown(resource_id) if slot is None else self._detail(slot)
            case protocol.ShowWorker(log):
                return self._worker(log=log)
            case protocol.ShowFigures(routers):
                left = self._rebuilds_left()
                certificates = getattr(self._factory, "certificates", None)
                return figures.of(self._number, self._slots, certificates, left, routers=routers)
            case protocol.Submit():
                return self._submit(question)
            case protocol.SwitchOver(resource_id):
                return self._switch_over(resource_id)
            case protocol.PollAll():
                self._slots.handle(_POLL_EVERYTHING)
                return protocol.Submitted(len(self._slots.all_slots()))

    def _list(self, after: str, limit: int) -> protocol.Lines:
        later = (slot for slot in self._slots.all_slots() if slot.resource.id > after)
        chosen = heapq.nsmallest(limit + 1, later, key=lambda slot: slot.resource.id)
        lines = tuple(self._line(slot) for slot in chosen[:limit])
        return protocol.Lines(lines, more=len(chosen) > limit)

    def _submit(self, question: protocol.Submit) -> protocol.Answer:
        slot = self._slots.slot(question.id)
        if slot is None:
            return protocol.Unknown(question.id)
        if question.action is Action.REBUILD:
            slot.automaton.instance.use_image(question.image_id)
        if not self._slots.submit(question.id, question.action):
            return protocol.Unknown(question.id)
        LOG.info("command.taken %s=%s action=%s", slot.resource.driver, question.id, question)
        return protocol.Submitted(1, self._line(slot))

    def _switch_over(self, resource_id: str) -> protocol.Answer:
        slot = self._slots.slot(resource_id)
        if slot is None:
            return protocol.Unknown(resource_id)
        refusal = slot.automaton.instance.ask_to_switch()
        if refusal:
            return protocol.Submitted(0, self._line(slot), refusal)
        if not self._slots.submit(resource_id, Action.UPDATE):
            return protocol.Unknown(resource_id)
        LOG.info("command.taken %s=%s action=switchover", slot.resource.driver, resource_id)
        return protocol.Submitted(1, self._line(slot))

    def _line(self, slot: registry.Slot) -> protocol.ResourceLine:
        machine = slot.automaton
        instance, history = machine.instance, machine.history
        known = instance.describe()
        now, wall = clock.SYSTEM.monotonic(), clock.SYSTEM.wall()
        phase, action = slot.phase, machine.action
        waits = phase is registry.Phase.WAITING
        return protocol.ResourceLine(
            id=slot.resource.id,
            driver=slot.resource.driver,
            tenant_id=instance.tenant_id or slot.resource.tenant_id,
            node=self._node,
            worker=self._number,
            name=known.name,
            phase=phase.value,
            state=machine.state,
            instance=_shown(instance.state, known.members),
            action=action or "",
            pending=tuple(sorted(machine.pending)),
            since=wall - (now - history.since_s),
            wakes_in_s=max(0.0, slot.wake_s - now) if waits else None,
            attempts=machine.attempts,
            error=history.error,
            error_at=wall - (now - history.error_s) if history.error else None,
            generation=instance.generation or "",
            applied_generation=instance.applied_generation or "",
            digest=known.digest,
            server_id=known.server_id,
            address=known.address,
            answering=instance.answering,
            held=slot.held,
            members=known.members,
        )

    def _detail(self, slot: registry.Slot) -> protocol.ResourceDetail:
        instance = slot.automaton.instance
        offset_s = clock.SYSTEM.wall() - clock.SYSTEM.monotonic()
        moves = tuple(
            protocol.MoveView(
                at=move.first_s + offset_s,
                until=move.last_s + offset_s,
                count=move.count,
                state=move.row.state,
                next=move.row.next,
                action=move.action,
                instance=move.instance,
                reason=move.row.reason,
                pause=move.row.pause,
                error=move.said,
            )
            for move in tuple(slot.automaton.history.moves)
        )
        ports = instance.describe(ports=True).ports
        networks = tuple(sorted(instance.networks))
        return protocol.ResourceDetail(self._line(slot), moves, ports, networks)

    def _worker(self, *, log: bool) -> protocol.WorkerView:
        phases = self._slots.census()
        view = protocol.WorkerView(
            node=self._node,
            number=self._number,
            pid=os.getpid(),
            resources=sum(phases.values()),
            phases=phases,
            threads=tuple(protocol.ThreadView(*line) for line in self._threads.doing()),
            memory_kib=_memory_kib(),
            calls=dict(getattr(self._factory, "calls", {})),
        )
        if log:
            LOG.info("worker.report number=%d phases=%s", self._number, phases)
            for thread in view.threads:
                LOG.info("worker.thread text=%s", thread)
        return view


def _shown(
    state: InstanceState, members: "typing.Sequence[instance_port.MemberView]"
) -> InstanceState:
    """Call a pair degraded while one half is well, whatever is being done to the other one."""
    well = [each for each in members if each.state == InstanceState.CONFIGURED and each.answering]
    return InstanceState.DEGRADED if members and len(well) == 1 else state


def _memory_kib() -> int:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Server:
    """The socket, and the threads that answer on it."""

    def __init__(
        self,
        path: pathlib.Path,
        answer: "typing.Callable[[protocol.Question], protocol.Answer]",
    ) -> None:
        self._path = path
        self._answer = answer
        self._closed = threading.Event()
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        path.chmod(0o600)
        self._inode = path.stat().st_ino
        self._listening.listen(BACKLOG)
        self._listening.setblocking(False)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._threads = [
            threading.Thread(target=self._run, name=f"control-{number}", daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; a question that is being answered gets its answer."""
        self._closed.set()
        self._wake_writer.close()  # readable for ever, so that every thread sees it
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self._listening.close()
        self._wake_reader.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:  # and not that of a successor
                self._path.unlink()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not self._closed.is_set():
                selector.select()
                self._take()

    def _take(self) -> None:
        try:
            link, _ = self._listening.accept()
        except BlockingIOError:
            return  # the other thread was quicker, or it is time to end
        with link:
            try:
                deadline = clock.SYSTEM.monotonic() + DEADLINE_S
                question = protocol.receive_question(link, deadline)
                link.settimeout(DEADLINE_S)
                protocol.send(link, self._guarded(question))
            except (OSError, EOFError, ValueError) as fault:
                LOG.warning("control.broken reason=%s", fault)

    def _guarded(self, question: protocol.Question) -> protocol.Answer:
        try:
            return self._answer(question)
        except Exception as fault:  # the boundary of one question: the worker goes on
            LOG.exception("control.failed question=%s", type(question).__name__)
            return protocol.Failed(f"{type(fault).__name__}: {fault}")
