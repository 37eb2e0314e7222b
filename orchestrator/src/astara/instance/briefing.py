"""Read for many walks at once what each would read for itself; see `worker.registry`.

A Neutron that answers for fifty routers does little more than for one, and so do we. Decides
nothing: what could not be read together, or has become old before its walk began, the walk reads
by itself, and only there a router counts as gone. Called by the threads of a worker.
"""

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..clients import errors
from ..clients.neutron import Neutron, Port
from ..clients.topology import RouterDetail

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Briefing:
    """What was read for one walk; `ports` is None for an instance that knows its ports."""

    router: RouterDetail
    ports: tuple[Port, ...] | None


class Briefings:
    """What was read and not taken yet; safe to share between threads."""

    def __init__(self, neutron: Neutron):
        self._neutron = neutron
        self._lock = threading.Lock()
        self._found: dict[str, Briefing] = {}

    def prepare(self, ids: Sequence[str], new: Collection[str]) -> None:
        """Read the details of routers, and the ports of those that are `new` to this process."""
        try:
            wanted = [router_id for router_id in ids if router_id in new]
            ports = self._neutron.ports_of_routers(wanted) if wanted else {}
            found = {
                router.id: Briefing(router, tuple(ports[router.id]) if router.id in new else None)
                for router in self._neutron.routers(ids)
            }
        except errors.ServiceError as error:
            LOG.info("briefing.failed count=%d reason=%s", len(ids), error)
            return
        with self._lock:
            self._found.update(found)

    def forget(self, router_id: str) -> None:
        """Drop what was read for a router."""
        with self._lock:
            self._found.pop(router_id, None)

    def take(self, router_id: str) -> Briefing | None:
        """Give what was read for a router, once; None if there is nothing."""
        with self._lock:
            return self._found.pop(router_id, None)
