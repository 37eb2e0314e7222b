"""Whether an instance really lives behind a router, according to Neutron; remembered for a while.

Decides how long an answer is believed. Must never say yes without Neutron having said so: an
appliance that is taken over can speak for the instances of its own router alone. Called by the
proxy from many threads.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .. import clock
from ..clients.topology import RouterDetail

BELIEVED_S = 15.0
# An instance that is not in what we remember may be younger than that: Neutron is asked again,
# but not more often than this for one router.
DISBELIEVED_S = 1.0
REMEMBERED_ROUTERS = 2000

Owner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    owners: frozenset[Owner]


class Ownership:
    """Remembers which (instance, tenant) pairs live behind each router."""

    def __init__(
        self,
        read: Callable[[str], RouterDetail | None],
        now: Callable[[], float] = clock.SYSTEM.monotonic,
    ):
        self._read = read
        self._now = now
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def confirms(self, router_id: str, instance_id: str, tenant_id: str) -> bool:
        """Say whether the instance has a port on an internal network of the router.

        Raises what ``read`` raises.
        """
        owner = (instance_id, tenant_id)
        with self._lock:
            seen = self._seen.get(router_id)
        if seen is not None:
            age_s = self._now() - seen.at
            known = owner in seen.owners
            if age_s < (BELIEVED_S if known else DISBELIEVED_S):
                return known
        return owner in self._refresh(router_id).owners

    def _refresh(self, router_id: str) -> _Seen:
        asked_at = self._now()
        seen = _Seen(asked_at, owners(self._read(router_id)))
        with self._lock:
            self._seen[router_id] = seen
            self._seen.move_to_end(router_id)
            while len(self._seen) > REMEMBERED_ROUTERS:
                self._seen.popitem(last=False)
        return seen


def owners(router: RouterDetail | None) -> frozenset[Owner]:
    """Return the instances behind a router, each with the tenant of its port."""
    if router is None:
        return frozenset()
    return frozenset(
        (allocation.device_id, allocation.project_id)
        for network in router.networks
        if not network.external
        for allocation in network.allocations
        if allocation.device_id and allocation.device_owner.startswith("compute:")
    )
