"""Say whether this node may act on a resource now.

Decides from the ring and from how long our membership is certain. Pure but for the clock it is
given. A resource that comes to us from a node that is still there waits a moment, so that a step
that runs there can end. Held by each worker; the coordinator's messages keep it up to date.
"""

import enum
import typing

from . import ring

if typing.TYPE_CHECKING:
    from .. import clock, events


class Standing(enum.StrEnum):
    """What this node may do with a resource."""

    ACT = "act"
    WAIT = "wait"  # it is ours, but not yet, or not for certain: keep it and do nothing
    ELSEWHERE = "elsewhere"  # another node's: forget it


class Placement(typing.Protocol):
    """Where resources belong, as far as this process knows."""

    def standing(self, resource_id: str) -> Standing:
        """Tell what may be done with a resource."""

    def learn(self, news: "events.Membership") -> bool:
        """Take in who is there; tell whether resources may have come or gone."""


class Alone:
    """The placement of a node without coordination: everything is ours."""

    def standing(self, _resource_id: str) -> Standing:
        """Tell that we may act."""
        return Standing.ACT

    def learn(self, _news: "events.Membership") -> bool:
        """Know better."""
        return False


class Shared:
    """The placement of one of several nodes."""

    def __init__(self, host: str, exponent: int, grace_s: float, time: "clock.Clock") -> None:
        self._host = host
        self._exponent = exponent
        self._grace_s = grace_s
        self._clock = time
        self._lease_until = 0.0
        # Replaced as a whole, so that a reader in another thread sees one or the other.
        self._view = (ring.Ring((), exponent), ring.Ring((), exponent), 0.0)

    def standing(self, resource_id: str) -> Standing:
        """Tell what may be done with a resource; nothing is ours before the first news."""
        now = self._clock.monotonic()
        current, former, since = self._view
        if current.owner(resource_id) != self._host:
            return Standing.ELSEWHERE
        if now >= self._lease_until:
            return Standing.WAIT
        before = former.owner(resource_id)
        if before != self._host and before in current.members and now < since + self._grace_s:
            return Standing.WAIT
        return Standing.ACT

    def learn(self, news: "events.Membership") -> bool:
        """Take in who is there; what is too old to act upon changes nothing."""
        now = self._clock.monotonic()
        if news.lease_until <= now:
            self._lease_until = min(self._lease_until, news.lease_until)
            return False
        self._lease_until = news.lease_until
        current, _, _ = self._view
        if current.members == frozenset(news.hosts):
            return False
        if not current.members:
            # We have just come: until now the others shared what is ours now.
            current = ring.Ring(set(news.hosts) - {self._host}, self._exponent)
        self._view = (ring.Ring(news.hosts, self._exponent), current, now)
        return True
