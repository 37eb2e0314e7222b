"""Connections to appliances that wait for the next call of the same walk.

A walk that pushes has just probed: with TLS a handshake costs ten times what the call itself does,
so the push takes the connection of the probe. Decides how many are kept and for how long: a few,
for moments. Must never keep one from poll to poll: thousands of them would cost more memory than
all else, and each holds a place at its appliance. Called by `clients.appliance`.
"""

import threading
from dataclasses import dataclass

from .. import clock
from . import wire

LIMIT = 64  # more than there are threads; a walk that pauses may leave one behind
LASTS_S = 5.0


@dataclass(frozen=True, slots=True)
class _Kept:
    link: wire.Wire
    until_s: float


class Links:
    """What is kept, by router and address; safe to share between threads."""

    def __init__(self, limit: int = LIMIT, lasts_s: float = LASTS_S) -> None:
        self._limit = limit
        self._lasts_s = lasts_s
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}

    def keep(self, router_id: str, address: str, link: wire.Wire) -> None:
        """Keep a connection on which an answer was read to its end."""
        until_s = clock.SYSTEM.monotonic() + self._lasts_s
        with self._lock:
            replaced = self._kept.pop((router_id, address), None)
            self._kept[router_id, address] = _Kept(link, until_s)
            surplus = list(self._kept)[: -self._limit]
            left = [self._kept.pop(key) for key in surplus]
        for each in (*left, *([replaced] if replaced else [])):
            each.link.close()

    def take(self, router_id: str, address: str) -> wire.Wire | None:
        """Give the connection to an appliance to its caller, who closes it; None without one."""
        with self._lock:
            found = self._kept.pop((router_id, address), None)
        if found is not None and clock.SYSTEM.monotonic() > found.until_s:
            found.link.close()
            return None
        return found.link if found is not None else None

    def release(self, router_id: str) -> None:
        """Close what is kept for a router."""
        with self._lock:
            mine = [key for key in self._kept if key[0] == router_id]
            left = [self._kept.pop(key) for key in mine]
        for each in left:
            each.link.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            left = list(self._kept.values())
            self._kept.clear()
        for each in left:
            each.link.close()
