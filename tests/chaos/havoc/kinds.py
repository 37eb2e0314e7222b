"""All kinds of faults; the modules imported here enter them into the table."""

from . import appliance_kinds, base_kinds, node_kinds, schedule, service_kinds
from .base_kinds import queues
from .kind import KINDS

__all__ = ["KINDS", "appliance_kinds", "base_kinds", "node_kinds", "queues", "service_kinds"]


def spans(names: list[str] | None = None) -> list[schedule.Span]:
    """Return the kinds for a schedule, all or those of these names."""
    return [
        schedule.Span(name, KINDS[name].shortest_s, KINDS[name].longest_s)
        for name in (names or list(KINDS))
    ]
