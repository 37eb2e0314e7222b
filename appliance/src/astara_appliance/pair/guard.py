"""The process that has, or has not, the router's addresses: it runs keepalived and does what that
decides.

    backup -> master    keepalived says MASTER: addresses, routes, lease, connections, neighbours
    master -> backup    keepalived says BACKUP or FAULT, or we slept past our lease: silence first
    master -> leaving   keepalived ends (a planned hand-over, or its death): we go on until the
                        other one is heard, at most as long as our lease
    leaving -> backup   then keepalived starts anew, as backup

It lives on its own, so that the agent's end means nothing; it never reads a document. Between its
rounds the kernel keeps watch over it by a lease (`fence`). Signals: HUP reads the settings anew,
USR1 hands over, TERM ends it with everything left as it is.
"""

import contextlib
import dataclasses
import logging
import os
import pathlib
import select
import signal
import socket
import time
from typing import TYPE_CHECKING

import msgspec

from astara_contract.status import RoleState

from .. import clock
from ..drivers.firewall import nft
from ..system import daemon, files, process
from . import fence, news, settings
from .connections import BECOME_SINK, BECOME_SOURCE, COMMIT, Connections
from .holdings import Holdings
from .neighbours import Crier
from .peer import PeerEar

if TYPE_CHECKING:
    from astara_contract.types import Role

    from ..system.paths import Paths

LOG = logging.getLogger(__name__)

_ROUNDS_PER_LEASE = 10
_SETTLE_AFTER_S = 1.0
_COMMIT_PATIENCE_S = 0.5
_ADVERT_PATIENCE_S = 0.3
_POLL_S = 0.003
_KEEPALIVED_RETRY_S = 1.0


@dataclasses.dataclass(slots=True)
class _Watch:
    """What a round has to look after."""

    renewed_at: float = 0.0
    settle_at: float | None = None
    leave_by: float | None = None
    ear: PeerEar | None = None
    retry_at: float = 0.0


class Guard:
    """See the module's docstring."""

    def __init__(self, paths: "Paths") -> None:
        self._places = settings.Places(paths.run_dir)
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._nft = nft.connect()
        self._crier = Crier()
        self._lease = fence.Lease()
        self._watch = _Watch()
        self._told = RoleState(role="backup", since=clock.now(), reason="start")
        self._fifo = _open_fifo(self._places)
        self._unread = ""
        self._load()
        self._fenced: dict[str, int] = {}
        self._raise_fence()
        self._holdings.trim(held=False)

    def run(self) -> None:
        """Guard until TERM."""
        wake, told = socket.socketpair()
        for end in (wake, told):
            end.setblocking(False)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        for known in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            signal.signal(known, lambda *_: None)
        self._start_keepalived()
        self._tell()
        while True:
            ear = self._watch.ear
            sources = [self._fifo, wake.fileno(), *([ear.fileno()] if ear else [])]
            ready, _, _ = select.select(sources, [], [], self._pause_s())
            self._mind_the_gap()
            if self._fifo in ready:
                self._read_fifo()
            self._round()
            for number in wake.recv(64) if wake.fileno() in ready else b"":
                if number == signal.SIGTERM:
                    self._daemons.stop(settings.KEEPALIVED)
                    return
                if number == signal.SIGUSR1:
                    self._hand_over()
                if number == signal.SIGHUP:
                    self._reload()

    @property
    def _holds(self) -> bool:
        """Whether the router's addresses are here."""
        return self._told.role == "master"

    def _pause_s(self) -> float:
        pause = self._settings.lease_s / _ROUNDS_PER_LEASE
        soon = [at for at in (self._watch.settle_at, self._watch.leave_by) if at is not None]
        return max(0.0, min([pause, *(at - time.monotonic() for at in soon)]))

    def _mind_the_gap(self) -> None:
        """Step down if we slept so long that another one may be master by now."""
        if self._holds and time.monotonic() - self._watch.renewed_at > self._settings.lease_s:
            self._step_down("backup", "slept past the lease")
            self._restart_keepalived()

    def _round(self) -> None:
        now, watch = time.monotonic(), self._watch
        if watch.leave_by is not None:
            peer_is_there = watch.ear is not None and watch.ear.heard()
            if peer_is_there or now >= watch.leave_by:
                self._step_down("backup", "handed over" if peer_is_there else "nobody took over")
        if self._holds:
            self._renew(now)
        if watch.settle_at is not None and now >= watch.settle_at:
            watch.settle_at = None
            self._settle()
        if watch.leave_by is None and now >= watch.retry_at:
            self._mind_keepalived(now)

    def _renew(self, now: float) -> None:
        if self._lease.renew():
            self._watch.renewed_at = now
        elif self._watch.leave_by is None:
            self._step_down("backup", "keepalived sends no adverts")
            self._restart_keepalived()

    def _mind_keepalived(self, now: float) -> None:
        if self._daemons.is_running(settings.KEEPALIVED):
            return
        self._watch.retry_at = now + _KEEPALIVED_RETRY_S
        if self._holds:
            self._leave("keepalived ended")
        else:
            self._start_keepalived()

    def _read_fifo(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unread += os.read(self._fifo, 4096).decode(errors="replace")
        *lines, self._unread = self._unread.split("\n")
        for line in lines:
            words = line.split()
            if len(words) >= 3 and words[:2] == ["INSTANCE", f'"{settings.INSTANCE}"']:
                self._obey(words[2])

    def _obey(self, word: str) -> None:
        LOG.info("keepalived.says state=%s role=%s", word, self._told.role)
        if word == "MASTER" and not self._holds:
            self._step_up()
        elif word == "BACKUP" and self._watch.leave_by is None:
            self._step_down("backup", "the other one is master")
        elif word == "FAULT":
            self._step_down("fault", "keepalived sees a fault")
        elif word == "STOP" and self._holds and self._watch.leave_by is None:
            self._leave("keepalived stops")

    def _step_up(self) -> None:
        started = time.monotonic()
        commit = self._connections.run(COMMIT)
        self._holdings.take()
        # A former master that hands over lets go when it hears us, which takes a lease: by then
        # we must know its connections.
        if commit is not None:
            commit.join(_COMMIT_PATIENCE_S)
        if not self._open_fence(time.monotonic()):
            self._told = _told("master", "")  # so that everything is dropped again
            self._step_down("backup", "keepalived says master, but sends no adverts")
            self._restart_keepalived()
            return
        self._told = _told("master", "keepalived decided")
        self._crier.cry()
        LOG.info("master.settled after_ms=%d", (time.monotonic() - started) * 1000)
        self._watch.settle_at = time.monotonic() + _SETTLE_AFTER_S
        self._tell()

    def _open_fence(self, now: float) -> bool:
        """Get the first lease; the first advert may be a moment behind the news."""
        while not self._lease.renew():
            if time.monotonic() > now + _ADVERT_PATIENCE_S + 2 * self._advert_s:
                return False
            time.sleep(_POLL_S)
        self._watch.renewed_at = time.monotonic()
        return True

    def _settle(self) -> None:
        """Tell the neighbours once more, and bring in what the other one did until the end."""
        if self._holds:
            self._crier.cry()
            self._connections.run((*COMMIT, *BECOME_SOURCE))
            self._holdings.take()
            self._holdings.trim(held=True)

    def _step_down(self, role: "Role", reason: str) -> None:
        had, self._told = self._holds, _told(role, reason)
        if self._watch.ear is not None:
            self._watch.ear.close()
        self._watch = _Watch(retry_at=self._watch.retry_at)
        if had:
            self._nft.run(fence.closing())
            self._holdings.trim(held=False)
            self._connections.run(BECOME_SINK)
        LOG.info("role.changed role=%s reason=%s", role, reason)
        self._tell()

    def _hand_over(self) -> None:
        if self._holds and self._watch.leave_by is None:
            self._leave("asked to hand over")
            self._daemons.signal(settings.KEEPALIVED, signal.SIGTERM)

    def _leave(self, reason: str) -> None:
        LOG.info("guard.leaving reason=%s", reason)
        self._watch.ear = PeerEar(self._settings.peer)
        self._watch.leave_by = time.monotonic() + self._settings.lease_s

    def _load(self) -> None:
        text = files.read_file(self._places.settings) or ""
        self._settings = settings.decode(text)
        self._digest = settings.digest(text)
        self._advert_s = self._settings.advert_interval_ms / 1000
        self._holdings = Holdings(self._settings)
        self._connections = Connections(self._settings.conntrackd)
        self._crier.prepare(self._settings.addresses)

    def _reload(self) -> None:
        before, known = self._settings, set(self._settings.addresses)
        try:
            self._load()
        except msgspec.DecodeError as error:
            LOG.error("settings.refused reason=%s", error)
            return
        if not fence.is_up(self._nft):
            self._raise_fence()
        commands = fence.changed(self._fenced, self._holdings.indexes)
        if commands:
            self._nft.run(commands)
        self._fenced = dict(self._holdings.indexes)
        if self._settings.keepalived != before.keepalived:
            self._daemons.signal(settings.KEEPALIVED, signal.SIGHUP)
        if self._holds:
            self._holdings.take()
            if not known.issuperset(self._settings.addresses):
                self._crier.cry()
                self._watch.settle_at = time.monotonic() + _SETTLE_AFTER_S
        self._holdings.trim(held=self._holds)
        self._tell()

    def _raise_fence(self) -> None:
        told = self._settings
        self._fenced = dict(self._holdings.indexes)
        self._nft.run(fence.text(told.management, self._fenced, told.lease_s))

    def _start_keepalived(self) -> None:
        own = [f"{self._places.run_dir / 'keepalived'}-{which}" for which in "pv"]
        program = ("keepalived", "--dont-fork", "--log-console", "--vrrp")
        where = (
            f"--use-file={self._places.keepalived}",
            f"--pid={own[0]}",
            f"--vrrp_pid={own[1]}",
        )
        # Without us nobody would do what it decides.
        launcher = ("setpriv", "--pdeathsig", "TERM")
        spec = daemon.DaemonSpec(settings.KEEPALIVED, (*program, *where), launcher)
        # One that was killed leaves them, and does not start while anybody has such a number.
        for path in map(pathlib.Path, own):
            files.remove_file(path)
        try:
            self._daemons.start(spec, settle_s=0.0)
        except daemon.DaemonDied as died:
            LOG.error("keepalived.died reason=%s", died.reason)

    def _restart_keepalived(self) -> None:
        running = self._daemons.find(settings.KEEPALIVED)
        left = process.children(running.pid) if running else ()
        self._daemons.stop(settings.KEEPALIVED, timeout_s=0)
        for pid in left:
            # One that is stopped would not hear of its parent's end.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._start_keepalived()

    def _tell(self) -> None:
        state = settings.State(told=self._told, settings=self._digest, pid=os.getpid())
        files.write_file(self._places.state, msgspec.json.encode(state).decode(), 0o644)
        news.tell(self._places)


def _told(role: "Role", reason: str) -> RoleState:
    return RoleState(role=role, since=clock.now(), reason=reason)


def _open_fifo(places: settings.Places) -> int:
    files.remove_file(places.fifo)
    os.mkfifo(places.fifo, 0o600)
    # Both ways, so that there is always a writer and never an end of file.
    return os.open(places.fifo, os.O_RDWR | os.O_NONBLOCK)
