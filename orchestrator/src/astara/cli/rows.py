"""Decide what the browser shows of thousands of resources: columns, order, filter.

Pure. Texts are made for the lines that are on the screen alone. Used by `table` and `browser`.
"""

import dataclasses
from collections.abc import Callable, Iterable

from ..worker import control_protocol as worker
from .base import age, short
from .showing import doing

Line = worker.ResourceLine

GOOD, BUSY, BAD, HELD = "green", "yellow", "red", "magenta"
_COLOURS = {"configured": GOOD, "error": BAD, "down": BAD, "gone": BAD, "restart-needed": BAD}
# What needs eyes comes first when sorted by state.
_URGENCY = {
    "error": 0,
    "down": 1,
    "restart-needed": 2,
    "degraded": 3,
    "hotplug-needed": 4,
    "booting": 5,
    "up": 6,
    "gone": 7,
    "configured": 9,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column: how wide, what it says, how it sorts."""

    title: str
    width: int
    text: Callable[[Line], str]
    key: Callable[[Line], tuple[object, ...]]


def _plain(field: str) -> tuple[Callable[[Line], str], Callable[[Line], tuple[object, ...]]]:
    return (lambda line: str(getattr(line, field))), (lambda line: (getattr(line, field),))


COLUMNS = (
    Column("State", 15, lambda line: line.instance, lambda line: (urgency(line), -line.since)),
    Column("Name", 22, *_plain("name")),
    Column("ID", 36, *_plain("id")),
    Column("Kind", 6, *_plain("driver")),
    Column("Since", 7, lambda line: age(line.since), lambda line: (-line.since,)),
    Column("Doing", 24, doing, lambda line: (line.phase == "idle", doing(line))),
    Column("Tries", 5, lambda line: str(line.attempts or ""), lambda line: (-line.attempts,)),
    Column("Debug", 8, *_plain("debug")),
    Column("Tenant", 32, *_plain("tenant_id")),
    Column("Node", 14, *_plain("node")),
    Column("Last error", 60, lambda line: line.error, lambda line: (not line.error, line.error)),
)
WIDTH = sum(column.width + 1 for column in COLUMNS)


def urgency(line: Line) -> int:
    """Give a small number for what needs eyes, a large one for what is well."""
    return _URGENCY.get(line.instance, 8)


def colour(line: Line) -> str:
    """Give the colour of a resource's state."""
    return HELD if line.debug else _COLOURS.get(line.instance, BUSY)


def matches(line: Line, words: Iterable[str]) -> bool:
    """Tell whether all words occur somewhere in a line; `-word` must not."""
    text = " ".join(
        (
            line.id,
            line.name,
            line.tenant_id,
            line.driver,
            line.instance,
            line.state,
            line.node,
            line.phase,
            line.error,
            line.address,
            f"debug:{line.debug}" if line.debug else "",
        )
    ).lower()
    return all(
        (word[1:] not in text) if word.startswith("-") and len(word) > 1 else word in text
        for word in words
    )


def choose(lines: Iterable[Line], text: str, column: int, *, reverse: bool) -> list[Line]:
    """Give the lines that match, in order; equal ones by their id."""
    words = text.lower().split()
    found = [line for line in lines if matches(line, words)] if words else list(lines)
    key = COLUMNS[column].key
    found.sort(key=lambda line: line.id)
    found.sort(key=key, reverse=reverse)
    return found


def summary(lines: Iterable[Line]) -> str:
    """Count instances by state, the urgent first."""
    counts: dict[str, int] = {}
    order: dict[str, int] = {}
    held = 0
    for line in lines:
        counts[line.instance] = counts.get(line.instance, 0) + 1
        order[line.instance] = urgency(line)
        held += bool(line.debug)
    parts = [f"{counts[state]} {state}" for state in sorted(counts, key=lambda s: order[s])]
    if held:
        parts.append(f"{held} in debug mode")
    return ", ".join(parts) or "nothing"


def cell(column: Column, line: Line) -> str:
    """Give a cell's text, cut and padded to the column."""
    return short(column.text(line), column.width).ljust(column.width)
