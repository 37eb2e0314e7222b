"""What else uses the cores during a measurement: simulators, broker, database, the meter itself.

In a real cloud these are on other machines, so what they use is told apart from what the
orchestrator uses. Knows them by their command lines, within the run's own PID namespace.
"""

import collections
import os
import pathlib

OTHERS = "other"
_BY_WORD = (
    (b"appliances.py", "appliances"),
    (b"cloud.py", "cloud"),
    (b"beam.smp", "broker"),
    (b"mariadbd", "database"),
    (b"zookeeper", "coordination"),
)
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(without: set[int]) -> dict[str, float]:
    """Give the CPU seconds that all processes but some have used so far, by what they are."""
    found: collections.Counter[str] = collections.Counter()
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if pid not in without:
            try:
                found[_name(pid, (path / "cmdline").read_bytes())] += cpu_of(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    return dict(found)


def cpu_of(pid: int) -> float:
    """Give the CPU seconds of one process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _name(pid: int, command: bytes) -> str:
    if pid == os.getpid():
        return "measuring"
    return next((name for word, name in _BY_WORD if word in command), OTHERS)
