"""Figures, tables and files of a benchmark: medians, ratios within a round, machine description.

Ratios are formed inside one round and then their median is taken, so that what the machine did
to a whole round cancels out. Pure but for `machine` and `write`.
"""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, lowest, highest and number of `values`."""
    return {
        "median": rounded(statistics.median(values)),
        "min": rounded(min(values)),
        "max": rounded(max(values)),
        "n": len(values),
    }


def rounded(value: float) -> float:
    """Keep four digits that count."""
    return float(f"{value:.4g}")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios round by round."""
    return rounded(statistics.median(a / b for a, b in zip(values, base, strict=True) if b))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `rows` as text in columns, headed by the keys of the first."""
    head = list(rows[0])
    cells = [head, *([_shown(row.get(name)) for name in head] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join((lines[0], "-" * len(lines[0]), *lines[1:]))


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on."""
    memory = next(
        line.split()[1] for line in _text("/proc/meminfo") if line.startswith("MemTotal")
    )
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _text("/proc/cpuinfo")
            if "model name" in line
        ),
        platform.machine(),
    )
    system = next(
        line.partition("=")[2].strip('"')
        for line in _text("/etc/os-release")
        if line.startswith("PRETTY_NAME")
    )
    return {
        "taken_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": system,
        "kernel": platform.release(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "commit": _commit(),
        "programs": {name: _version(name) for name in ("nft", "iptables", "dnsmasq", "iperf3")},
    }


def write(topic: str, result: Mapping[str, Any], directory: pathlib.Path = RESULTS) -> None:
    """Keep the result of `topic` as JSON."""
    directory.mkdir(exist_ok=True)
    text = json.dumps({"topic": topic, **result}, indent=1, sort_keys=False)
    (directory / f"{topic}.json").write_text(text + "\n")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(path: str) -> list[str]:
    return pathlib.Path(path).read_text().splitlines()


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0][:60]


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False, cwd=RESULTS.parent,
    )  # fmt: skip
    return done.stdout.strip()
