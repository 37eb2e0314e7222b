"""The only place that looks at a clock, so that what depends on time can be told the time in a
test.
"""

import datetime
import pathlib
import random
import time


def monotonic() -> float:
    """Return seconds that never jump."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; the caller has a deadline."""
    time.sleep(seconds)


def now() -> str:
    """Return the time of day as ISO 8601 in UTC."""
    return _iso(time.time())


def booted_at() -> str:
    """Return when process 1 of our PID namespace started: the boot of this appliance, VM or
    namespace.
    """
    ticks = pathlib.Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return _iso(time.time() - uptime + int(ticks) / 100)


def jittered(seconds: float) -> float:
    """Return `seconds`, up to a fifth more or less, so that many appliances do not act in step."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, protects nothing


def _iso(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")
