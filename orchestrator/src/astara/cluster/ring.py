"""Place resources on nodes by a hash ring; pure.

Decides which node owns a resource, from the names of the live nodes alone: every node that sees
the same names comes to the same answer. A node that joins or leaves moves only what it gains or
held. Read by `placement` and by the operator's views.
"""

import bisect
import hashlib
from collections.abc import Iterable


def _point(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


class Ring:
    """The points of some nodes; immutable."""

    __slots__ = ("_owners", "_points", "members")

    def __init__(self, members: Iterable[str], exponent: int) -> None:
        self.members = frozenset(members)
        points = sorted(
            (_point(f"{member}#{number}"), member)
            for member in self.members
            for number in range(2**exponent)
        )
        self._points = [point for point, _ in points]
        self._owners = [member for _, member in points]

    def owner(self, resource_id: str) -> str | None:
        """Give the node that owns a resource; None if there is no node."""
        if not self._points:
            return None
        # The first point after that of the resource, and after the last the first again.
        index = bisect.bisect(self._points, _point(resource_id)) % len(self._points)
        return self._owners[index]
