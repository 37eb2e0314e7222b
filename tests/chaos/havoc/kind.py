"""What a kind of fault is, and the table of all kinds.

A kind is a generator over a cloud and a chance of its own: when it yields the fault is there,
afterwards it is mended (a killed node started, a stopped process continued). What heals by itself
is left alone. It yields what exactly it broke and how that shows from outside, so that a fault
that breaks nothing is found out. Decides nothing; the modules beside it fill the table.
"""

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from .cloud import Cloud


class NoTarget(LookupError):
    """There is nothing to break now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Struck:
    """What was broken; `felt` tells how that shows, and nothing as long as it does not."""

    what: str
    felt: Callable[[], str]


Fault = Callable[[Cloud, random.Random], Iterator[Struck]]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A fault, for how long it may last, and whether it shows only while something is made."""

    fault: Callable[[Cloud, random.Random], AbstractContextManager[Struck]]
    shortest_s: float
    longest_s: float
    making: bool


KINDS: dict[str, Kind] = {}


def kind(
    name: str, shortest_s: float = 3.0, longest_s: float = 8.0, *, making: bool = False
) -> Callable[[Fault], Fault]:
    """Enter a fault into the table."""

    def add(fault: Fault) -> Fault:
        KINDS[name] = Kind(contextlib.contextmanager(fault), shortest_s, longest_s, making)
        return fault

    return add


def state_of(pid: int) -> str:
    """Tell what the kernel says of a process: its letter, empty if there is none."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def ended(*pids: int) -> str:
    """Tell that these processes are no more."""
    return "" if any(state_of(pid) not in ("", "Z", "X") for pid in pids) else "ended"


def stopped(*pids: int) -> str:
    """Tell that those of these processes that are left do nothing."""
    states = {state_of(pid) for pid in pids}
    return "stopped" if states <= {"T", "", "Z", "X"} else ""


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
