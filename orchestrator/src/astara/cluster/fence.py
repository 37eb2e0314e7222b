"""Give the epoch that this node's writes to an appliance carry.

Decides when the database is asked: once per resource as long as this process keeps it. One that is
away costs nothing where the epoch is known, and a retry where it is not. Must never give the
epoch of another owner. Held by the instance factory of a worker.
"""

import logging
import threading
import typing

from .. import store

LOG = logging.getLogger(__name__)


class Epochs(typing.Protocol):
    """What the fence needs of the store; see `store.ownership`."""

    def claim(self, resource_id: str, owner: str, above: int = 0) -> int:
        """Make an owner the owner and give its epoch."""

    def get(self, resource_id: str) -> store.Ownership | None:
        """Give the owner."""

    def owned_by(self, owner: str) -> dict[str, int]:
        """Give all that an owner owns."""

    def forget(self, resource_id: str, owner: str) -> bool:
        """Forget what is gone."""


class Lost(Exception):
    """Say that another node has claimed the resource."""

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"another node has claimed {resource_id}")


class Fence:
    """The epochs of one process; safe to share between threads."""

    def __init__(self, epochs: Epochs, owner: str) -> None:
        self._epochs = epochs
        self._owner = owner
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}

    def load(self) -> None:
        """Read in one query what this node owns already; raises `store.StoreError`."""
        owned = self._epochs.owned_by(self._owner)
        with self._lock:
            self._known.update(owned)

    def epoch(self, resource_id: str, above: int = 0) -> int:
        """Give the epoch for a write, claiming the resource if this process did not yet.

        `above` is the highest epoch that the appliance has accepted. If it is higher than ours,
        another node has written since, or the database was lost: the database tells. Raises
        `Lost` in the first case, `store.StoreError` if it cannot tell.
        """
        with self._lock:
            known = self._known.get(resource_id)
        if known is not None:
            if known >= above:
                return known
            if not self.still_ours(resource_id):
                raise Lost(resource_id)
        claimed = self._epochs.claim(resource_id, self._owner)
        if claimed < above:
            claimed = self._epochs.claim(resource_id, self._owner, above)
        LOG.info("epoch.claimed resource=%s epoch=%d owner=%s", resource_id, claimed, self._owner)
        with self._lock:
            self._known[resource_id] = claimed
        return claimed

    def still_ours(self, resource_id: str) -> bool:
        """Ask the database whether nobody else has claimed the resource since we did."""
        held = self._epochs.get(resource_id)
        return held is None or held.owner == self._owner

    def drop(self, resource_id: str) -> None:
        """Forget what is known: whoever comes back to the resource claims it anew."""
        with self._lock:
            self._known.pop(resource_id, None)

    def end(self, resource_id: str) -> None:
        """Forget a resource that is gone for good, here and in the database."""
        self.drop(resource_id)
        self._epochs.forget(resource_id, self._owner)
