"""Show the figures of scale runs as a table, beside the goals: `table.py RESULT.json [PAGE]`.

With a page it replaces the table there, between the two marks. Pure but for that and the machine's
description.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- figures: written by make scale -->", "<!-- end of figures -->"

Run = Mapping[str, Any]
# Figure, goal, the step that it comes from, and what is shown of it.
_ROWS: Sequence[tuple[str, str, str, Callable[[Run], str]]] = (
    ("first configuration of all", "", "adopt", lambda f: f"{f['seconds']} s, {f['cpu_s']} CPU s"),
    ("start until all are verified", "60 s, no push", "verify",
     lambda f: f"{f['seconds']} s, {f['cpu_s']} CPU s, {f['pushes']} pushes"),
    ("health cycle (60 s): cores", "0.5", "health", lambda f: str(f["cores"])),
    ("busiest and calmest second of it, CPU s", "even", "health",
     lambda f: f"{f['busiest_second_cpu_s']}, {f['calmest_second_cpu_s']}"),
    ("one audit", "", "audit", lambda f: f"{f['seconds']} s, {f['cpu_s']} CPU s"),
    ("changes of 5 notifications each, per second until applied", "1,000", "bursts",
     lambda f: f"{f['applied_per_s']} ({f['merged']} of {f['notifications']} merged)"),
    ("... by the orchestrator's own CPU alone, per second and core", "", "bursts",
     lambda f: _per_core(f)),
    ("scattered notifications per second until applied", "1,000", "scattered",
     lambda f: f"{f['applied_per_s']} ({f['merged']} merged)"),
    ("... by the orchestrator's own CPU alone, per second and core", "", "scattered",
     lambda f: _per_core(f)),
    ("... CPU of one, ms", "does not grow", "scattered", lambda f: str(f["cpu_ms_per_push"])),
    ("... CPU of one around it, ms", "", "scattered", lambda f: _around(f)),
    ("storm: all routers of 500 tenants", "", "storm",
     lambda f: f"{f['pushes']} routers in {f['seconds']} s, {f['applied_per_s']} per second"),
    ("a node dies: the other one has verified", "", "death",
     lambda f: f"{f['taken_over']} routers after {f['seconds']} s (lease {f['lease_s']} s)"),
    ("memory of a node (PSS), MiB", "", "memory", lambda f: str(round(f["kib"] / 1024))),
)  # fmt: skip


# What a goal asks of a step's figures, by the row that names it.
_MET: Mapping[str, Callable[[Run], bool]] = {
    "start until all are verified": lambda f: f["seconds"] <= 60 and f["pushes"] == 0,
    "health cycle (60 s): cores": lambda f: bool(f["cores"] < 0.5),
    "changes of 5 notifications each, per second until applied": lambda f: _fast(f, 1000),
    "scattered notifications per second until applied": lambda f: _fast(f, 1000),
}


def _fast(figures: Run, per_s: int) -> bool:
    return bool(figures["applied_per_s"] >= per_s)


def _cell(figure: str, text: Callable[[Run], str], figures: Run | None) -> str:
    """Give what is shown of a step, and whether its goal is met."""
    if figures is None:
        return ""
    met = _MET.get(figure)
    return text(figures) + ("" if met is None else ": met" if met(figures) else ": missed")


def _per_core(figures: Run) -> str:
    return str(figures.get("per_core_s", ""))


def _around(figures: Run) -> str:
    """Name what is on other machines in a real cloud, the largest first."""
    used = figures.get("cpu_ms_around", {})
    most = sorted(used.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {ms:.2f}" for name, ms in most if ms >= 0.01)


def result(runs: Sequence[Run]) -> dict[str, Any]:
    """Give what is kept as JSON."""
    from bench import report

    return {"topic": "scale", "machine": report.machine(), "runs": list(runs)}


def shown(kept: Mapping[str, Any]) -> str:
    """Give the table in Markdown, with the machine below it."""
    runs, machine = kept["runs"], kept["machine"]
    lines = [
        "| | goal | " + " | ".join(f"{run['routers']:,} routers" for run in runs) + " |",
        "|---|---|" + "---|" * len(runs),
    ]
    for figure, goal, step, text in _ROWS:
        cells = [_cell(figure, text, run.get(step)) for run in runs]
        lines.append(f"| {figure} | {goal} | " + " | ".join(cells) + " |")
    lines.append(f"| memory per idle router, KiB | 20 | {_per_router(runs)}")
    transport = "mutual TLS" if all(run.get("tls") for run in runs) else "plaintext"
    return "\n".join(
        [
            *lines,
            "",
            f"{transport} to appliances; {machine['taken_at'][:16]}, commit {machine['commit']}; "
            f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
            f"load average at the end {machine['load_average']:.1f}, {machine['system']}, "
            f"Python {machine['python']}.",
        ]
    )


def _per_router(runs: Sequence[Run]) -> str:
    """Compare the largest run with the smallest: what a node needs at rest falls out."""
    weighed = [run for run in runs if "memory" in run]
    if len(weighed) < 2:
        return " | " * len(runs)
    small, large = (f(weighed, key=lambda run: run["routers"]) for f in (min, max))
    more_kib = large["memory"]["kib"] - small["memory"]["kib"]
    each = more_kib / (large["routers"] - small["routers"])
    met = "met" if each < 20 else "missed"
    return " | " * (len(runs) - 1) + f"{each:.1f}: {met} |"


def write(page: pathlib.Path, table: str) -> None:
    """Put the table where the page has its marks."""
    text = page.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}")


if __name__ == "__main__":
    found = shown(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    print(found)
    if len(sys.argv) > 2:
        write(pathlib.Path(sys.argv[2]), found)
