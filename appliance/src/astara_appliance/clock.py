"""The only place that looks at a clock, so that what depends on time can be told the time in a
test.
"""

import datetime
import pathlib
import random
import time
from typing import NamedTuple


class Moment(NamedTuple):
    """A point in the life of one boot; those of different boots cannot be compared."""

    boot: str
    seconds: float


def monotonic() -> float:
    """Return seconds that never jump."""
    return time.monotonic()


def moment() -> Moment:
    """Return the present as seconds since boot, by a clock that no change of the time of day
    moves and that runs on while the machine is suspended (CLOCK_BOOTTIME).
    """
    kernel = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    return Moment(f"{kernel}/{_first_process_ticks()}", seconds)


def sleep(seconds: float) -> None:
    """Wait; the caller has a deadline."""
    time.sleep(seconds)


def wall() -> float:
    """Return the time of day in seconds since 1970."""
    return time.time()


def now() -> str:
    """Return the time of day as ISO 8601 in UTC."""
    return _iso(time.time())


def booted_at() -> str:
    """Return when process 1 of our PID namespace started: the boot of this appliance, VM or
    namespace.
    """
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return _iso(time.time() - uptime + _first_process_ticks() / 100)


def jittered(seconds: float) -> float:
    """Return `seconds`, up to a fifth more or less, so that many appliances do not act in step."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, protects nothing


def _first_process_ticks() -> int:
    """Return the start of process 1 of our PID namespace in clock ticks since the kernel's."""
    text = pathlib.Path("/proc/1/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


def _iso(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")
