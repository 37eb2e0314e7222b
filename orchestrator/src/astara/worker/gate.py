"""Rule on whether anything may be done to a resource: debug modes and ownership; pure.

Decides which reason counts: ownership first, because what is another node's is none of our
business, then the widest debug mode. As long as the debug modes are unknown nothing is done. Once
known, the last known ones count, however old: forgetting them would act on what an operator has
under his hands. Asked by automata before every step; fed by `worker.watch`.
"""

import typing

from ..cluster.placement import Placement, Standing
from ..machine import permit

if typing.TYPE_CHECKING:
    from collections.abc import Iterable

    from .. import store

UNKNOWN = permit.Ruling(permit.Permit.HOLD, "the debug modes are not known yet")
_UNCERTAIN = permit.Ruling(permit.Permit.HOLD, "ownership is not certain")
_ELSEWHERE = permit.Ruling(permit.Permit.LEAVE, "another node owns it")


class Flags:
    """The debug modes at one moment, ready to be looked up; immutable."""

    __slots__ = ("_rulings", "modes")

    def __init__(self, modes: "Iterable[store.DebugMode]") -> None:
        self.modes = tuple(modes)
        self._rulings = {
            (str(mode.scope), mode.subject): permit.Ruling(permit.Permit.HOLD, _words(mode))
            for mode in self.modes
        }

    def ruling(self, resource_id: str, tenant_id: str) -> permit.Ruling:
        """Rule on a resource; the tenant may be unknown ("")."""
        if not self._rulings:
            return permit.GO
        for key in (("global", ""), ("tenant", tenant_id), ("resource", resource_id)):
            if key in self._rulings:
                return self._rulings[key]
        return permit.GO


def _words(mode: "store.DebugMode") -> str:
    return f"debug mode ({mode.scope}) by {mode.by}: {mode.reason or 'no reason given'}"


class Gate:
    """The rulings of one worker; its parts are replaced as a whole, so reading needs no lock."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._flags: Flags | None = None

    @property
    def flags(self) -> Flags | None:
        """Give the debug modes as they were last read; None before the first time."""
        return self._flags

    def learn(self, modes: "Iterable[store.DebugMode]") -> bool:
        """Take in the debug modes; tell whether they changed."""
        fresh = Flags(modes)
        changed = self._flags is None or self._flags.modes != fresh.modes
        self._flags = fresh
        return changed

    def ruling(self, resource_id: str, tenant_id: str) -> permit.Ruling:
        """Rule on a resource."""
        match self._placement.standing(resource_id):
            case Standing.ELSEWHERE:
                return _ELSEWHERE
            case Standing.WAIT:
                return _UNCERTAIN
        return UNKNOWN if self._flags is None else self._flags.ruling(resource_id, tenant_id)

    def ours(self, resource_id: str) -> bool:
        """Tell whether a resource is to be kept at all."""
        return self._placement.standing(resource_id) is not Standing.ELSEWHERE
