"""Show the figures of scale runs as a table, beside the goals; pure but for the machine."""

from collections.abc import Sequence
from typing import Any

from bench import report


def result(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give what is kept as JSON."""
    return {"topic": "scale", "machine": report.machine(), "runs": list(runs)}


def shown(runs: Sequence[dict[str, Any]]) -> str:
    """Give the table."""
    rows = []
    for run in runs:
        for step, figures in run.items():
            if isinstance(figures, dict):
                numbers = {k: v for k, v in figures.items() if isinstance(v, int | float)}
                rows.append((f"{run['routers']} {step}", numbers))
    return "\n".join(f"{name:20} {numbers}" for name, numbers in rows)
