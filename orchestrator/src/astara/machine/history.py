"""Remember the last moves of one resource for the people who ask what happened to it.

Decides what is worth a line: repetitions become a count, and the routine of polls that find all
well is left out, so that a few lines reach far back. Must stay small: there is one per resource
(a full one takes about 3 KiB). Written by the thread that walks; read by any, who may miss the
move that is just being made.
"""

import dataclasses
import typing

from .vocabulary import Action, InstanceState, WalkState

if typing.TYPE_CHECKING:
    from .. import clock
    from . import table

MOVES = 16
CYCLE = 3  # moves that repeat in turn become counts as well
_ROUTINE = (WalkState.CALC_ACTION, WalkState.ALIVE, WalkState.STATS)


@dataclasses.dataclass(slots=True)
class Move:
    """One move of the walk, made `count` times; seconds of the monotonic clock."""

    row: "table.Row"
    action: Action
    instance: InstanceState
    said: str  # what a failing step said; empty if it did not fail
    first_s: float
    last_s: float
    count: int = 1

    def repeats(self, row: "table.Row", view: "table.View", said: str) -> bool:
        """Tell whether a new move is this one again."""
        return (
            self.row is row
            and self.action is view.action
            and self.instance is view.instance
            and self.said == said
        )


class History:
    """The last moves, the last error, and since when the instance is in its state."""

    __slots__ = ("_clock", "_instance", "error", "error_s", "moves", "since_s")

    def __init__(self, time: "clock.Clock") -> None:
        self._clock = time
        self._instance: InstanceState | None = None
        self.moves: list[Move] = []  # a deque takes 700 bytes for the first
        self.since_s = time.monotonic()
        self.error = ""  # why the last step failed; empty again after a success
        self.error_s = 0.0

    def note(self, row: "table.Row", view: "table.View", said: str) -> None:
        """Take in one move; `said` is why its step failed, or empty."""
        now = self._clock.monotonic()
        if view.instance is not self._instance:
            self._instance = view.instance
            self.since_s = now
        if said or row.gives_up:
            self.fail(said or row.reason)
        if row.state in _ROUTINE and row.next in _ROUTINE and not view.facts and not said:
            return
        for move in self.moves[-CYCLE:]:
            if move.repeats(row, view, said):
                move.count += 1
                move.last_s = now
                return
        self.moves.append(Move(row, view.action, view.instance, said, now, now))
        del self.moves[:-MOVES]

    def fail(self, reason: str) -> None:
        """Keep why something failed."""
        self.error, self.error_s = reason, self._clock.monotonic()

    def succeed(self) -> None:
        """Forget the last error: all is as it ought to be. The moves stay."""
        self.error = ""
