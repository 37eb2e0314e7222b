"""Bound how long a network function of another package may hold up the agent, and leave out one
that hangs. Functions of this package are trusted: whatever they wait for has a deadline.

A thread that is stuck cannot be ended from outside. So each call of a function is made in a thread
of its own, and who asks waits for it with patience:

    in time         as if there were no thread
    late            who asks is told that the function hangs; further calls fail at once until
                    the late one has returned
    hung            after a while more the function is noted as left out, and the agent ends: its
                    init starts it anew, without the function, and the router goes on
    holds us all    a call that lets no thread run is ended by the kernel (see `api.server`); a
                    function in which three lives of the agent have ended is left out

It counts until the next boot: another version of a package comes with another image. What the
function has brought about stays as it is. Called by `functions` and `stages`.
"""

import contextlib
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec

from ..system import files
from . import base

LOG = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 20.0
REPORT_PATIENCE_S = 1.0
"""The status is asked for with a deadline of seconds, and tells of more than functions."""

HUNG_AFTER_S = 30.0
_DEATHS = 3
_OURS = __name__.partition(".")[0]


class Hung(base.DriverError):
    """A function has not returned in time."""


class Hangs:
    """The calls of all functions; `end` ends the agent, None leaves it to others."""

    def __init__(
        self,
        run_dir: pathlib.Path,
        end: Callable[[], None] | None = None,
        *,
        patience_s: float = PATIENCE_S,
        hung_after_s: float = HUNG_AFTER_S,
    ) -> None:
        self._run_dir = run_dir
        self._end = end
        self._patience_s = patience_s
        self._hung_after_s = hung_after_s
        self._late: dict[str, threading.Thread] = {}
        self._note = run_dir / "functions-left-out.json"
        self._ended_in = run_dir / "functions-ended-in.json"
        self.left_out: Mapping[str, str] = _read(self._note, dict[str, str])
        self._count_deaths()

    def around(
        self, driver: object, what: str, work: Callable[[], T], patience_s: float | None = None
    ) -> T:
        """Return what `work` returns, which is `driver`'s; see `call`."""
        if not is_foreign(driver):
            return work()
        return self.call(str(getattr(driver, "name", driver)), what, work, patience_s)

    def call(
        self, name: str, what: str, work: Callable[[], T], patience_s: float | None = None
    ) -> T:
        """Return what `work` returns, which is of function `name`; raise Hung if it is late."""
        mark = f"{name}.{'report' if what == 'report' else 'work'}"
        stuck = self._late.get(mark)
        if stuck is not None and stuck.is_alive():
            raise Hung(name, f"the function hangs: a former call of it ({stuck.name}) goes on")
        outcome: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            with self._noted(mark, what):
                try:
                    outcome.append(work())
                except BaseException as error:
                    failure.append(error)

        thread = threading.Thread(target=run, name=what, daemon=True)
        thread.start()
        patience = self._patience_s if patience_s is None else patience_s
        thread.join(patience)
        if thread.is_alive():
            self._late[mark] = thread
            self._watch(name, what, thread, self._hung_after_s - patience)
            LOG.error("function.late function=%s verb=%s after_s=%.1f", name, what, patience)
            raise Hung(name, f"the function hangs: no end of its {what} after {patience:g} s")
        if failure:
            raise failure[0]
        return outcome[0]

    def _watch(self, name: str, what: str, thread: threading.Thread, more_s: float) -> None:
        def judge() -> None:
            thread.join(more_s)
            if thread.is_alive():
                self._leave_out(name, f"it hung in its {what}")
                if self._end is not None:
                    self._end()

        threading.Thread(target=judge, name=f"judge of {name}", daemon=True).start()

    def _leave_out(self, name: str, reason: str) -> None:
        LOG.critical("function.hung function=%s reason=%s", name, reason)
        self.left_out = {**self.left_out, name: reason}
        files.write_file(self._note, msgspec.json.encode(self.left_out).decode(), 0o600)

    @contextlib.contextmanager
    def _noted(self, mark: str, what: str) -> Iterator[None]:
        path = self._run_dir / f"{mark}.at-work"
        with contextlib.suppress(OSError):  # a full disk is no reason not to work
            path.write_text(what)
        yield
        with contextlib.suppress(OSError):
            files.remove_file(path)

    def _count_deaths(self) -> None:
        deaths = _read(self._ended_in, dict[str, int])
        left = sorted(self._run_dir.glob("*.at-work"))
        for path in left:
            name = path.name.removesuffix(".at-work").rpartition(".")[0]
            what = files.read_file(path) or "work"
            files.remove_file(path)
            deaths[name] = deaths.get(name, 0) + 1
            if deaths[name] >= _DEATHS and name not in self.left_out:
                self._leave_out(name, f"the agent ended {_DEATHS} times in it, last in its {what}")
        if left:
            files.write_file(self._ended_in, msgspec.json.encode(deaths).decode(), 0o600)


def _read(path: pathlib.Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(files.read_file(path) or "{}", type=kind)
    except msgspec.DecodeError:
        return kind()


def is_foreign(driver: object) -> bool:
    """Tell whether the class of a driver comes from another package."""
    return type(driver).__module__.partition(".")[0] != _OURS
