"""Say whether anything may be done to a resource now; pure.

Decides nothing: the worker's gate gives a ruling from the debug modes and from who owns the
resource, and the automaton asks for it before every step.
"""

import dataclasses
import enum


class Permit(enum.StrEnum):
    """What an automaton may do."""

    GO = "go"
    HOLD = "hold"  # nothing, and forget nothing: what is asked meanwhile is kept
    LEAVE = "leave"  # nothing, and forget it: the resource is another node's


@dataclasses.dataclass(frozen=True, slots=True)
class Ruling:
    """A permit, and the reason of one that is not GO, for the log and the operator."""

    permit: Permit
    reason: str = ""


GO = Ruling(Permit.GO)


def always(_tenant_id: str) -> Ruling:
    """Let everything pass."""
    return GO
