"""Merge what was asked of a resource, so that a burst of events costs one walk.

Pure. The rule: an action absorbs those whose work its own walk does anyway; what it does not
absorb stays pending for the next walk; nothing else ever disappears. The order of arrival does not
matter, because every walk reads the truth afresh. Called by the automaton alone.
"""

from collections.abc import Iterable

from .vocabulary import Action

# Strongest first: of what is pending, the first of these is walked next.
PRECEDENCE = (
    Action.DELETE,
    Action.REBUILD,
    Action.CREATE,
    Action.UPDATE,
    Action.READ,
    Action.POLL,
)

# What the walk of an action does for others on its way. READ is absorbed by DELETE alone: no other
# walk reads counters. Every walk looks whether the instance is alive, so all absorb POLL.
ABSORBS = {
    Action.DELETE: frozenset(Action),
    Action.REBUILD: frozenset({Action.REBUILD, Action.CREATE, Action.UPDATE, Action.POLL}),
    Action.CREATE: frozenset({Action.CREATE, Action.UPDATE, Action.POLL}),
    Action.UPDATE: frozenset({Action.UPDATE, Action.POLL}),
    Action.READ: frozenset({Action.READ, Action.POLL}),
    Action.POLL: frozenset({Action.POLL}),
}


def collapse(
    current: Action | None, pending: Iterable[Action]
) -> tuple[Action | None, frozenset[Action]]:
    """Choose the action to walk and what remains pending after it.

    `current` is the action of a walk that has not ended (it waits for a boot, say).
    """
    asked = frozenset(pending) | ({current} if current is not None else frozenset())
    chosen = next((action for action in PRECEDENCE if action in asked), None)
    if chosen is None:
        return None, frozenset()
    return chosen, asked - ABSORBS[chosen]
