"""Make sure that one orchestrator alone works in a state directory.

The lock is a flock on a file descriptor that the children inherit: it is free only when the last
of them is gone. So an orchestrator that is started right after its predecessor was killed waits
for the predecessor's children, which notice at once and end. Must never take the lock from a
living one.
"""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator
from typing import IO

POLL_S = 0.1
SPARE_S = 5.0


class HeldError(Exception):
    """Say who holds the lock."""


def _alive(pid: str) -> bool:
    return pid.isdigit() and pathlib.Path(f"/proc/{pid}").exists()


def _acquire(held: IO[str], path: pathlib.Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s + SPARE_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            pid = held.read().strip()
            if _alive(pid):
                raise HeldError(f"another orchestrator (process {pid}) holds {path}") from None
            if time.monotonic() > deadline:
                raise HeldError(f"children of a killed orchestrator still hold {path}") from None
            time.sleep(POLL_S)
        else:
            return


@contextlib.contextmanager
def take(state_path: str, timeout_s: float) -> Iterator[IO[str]]:
    """Hold the lock; raises `HeldError`. The descriptor is for the children to inherit."""
    directory = pathlib.Path(state_path)
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = directory / "orchestrator.lock"
    with path.open("a+") as held:
        _acquire(held, path, timeout_s)
        held.seek(0)
        held.truncate()
        held.write(f"{os.getpid()}\n")
        held.flush()
        yield held
