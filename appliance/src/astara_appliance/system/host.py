"""Figures of this machine: memory, processors, counters of its NICs, versions of programs.

It only reads. Called by facts and metrics.
"""

import os
import pathlib
import re
from collections.abc import Mapping

from . import process

_VERSION = re.compile(r"\d+(?:\.\d+)+|\d{8}")
_COLUMNS = {"rx_bytes": 0, "rx_packets": 1, "rx_dropped": 3}
_COLUMNS |= {"tx_bytes": 8, "tx_packets": 9, "tx_dropped": 11}


def memory_kib() -> tuple[int, int]:
    """Return total and available memory."""
    found = {}
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        found[key] = int(value.split()[0])
    return found["MemTotal"], found.get("MemAvailable", found["MemFree"])


def resident_kib(pid: int | None = None) -> int:
    """Return the resident memory of a process, of ourselves without one; 0 if it is gone."""
    try:
        pages = pathlib.Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") // 1024


def uptime_s() -> float:
    """Return the seconds since the kernel started."""
    return float(pathlib.Path("/proc/uptime").read_text().split()[0])


def traffic() -> Mapping[str, Mapping[str, int]]:
    """Return the counters of each network device (proc(5), /proc/net/dev)."""
    found = {}
    # Not /proc/net: that is the process's, and threads may live elsewhere.
    for line in pathlib.Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]:
        device, _, rest = line.partition(":")
        words = rest.split()
        found[device.strip()] = {name: int(words[at]) for name, at in _COLUMNS.items()}
    return found


def connections() -> tuple[int, int] | None:
    """Return how many connections are tracked and how many may be, None without conntrack."""
    where = pathlib.Path("/proc/sys/net/netfilter")
    try:
        count = (where / "nf_conntrack_count").read_text()
        return int(count), int((where / "nf_conntrack_max").read_text())
    except FileNotFoundError:
        return None


def version(program: str, option: str = "--version") -> str | None:
    """Return the version that an installed program tells, None if there is no such program."""
    try:
        told = process.run([program, option], timeout_s=5)
    except process.CommandFailed:
        return None
    found = _VERSION.search(told.stdout + told.stderr)
    return found[0] if found else ""
