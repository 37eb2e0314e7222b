"""Give the epoch that this node's writes to an appliance carry.

Decides when the database is asked: once per resource as long as this process keeps it. One that is
away costs nothing where the epoch is known, and a retry where it is not. Must never give the
epoch of another owner. Held by the instance factory of a worker.
"""

import logging
import threading
import typing

from .. import store
from ..machine import instance_port

LOG = logging.getLogger(__name__)


class Epochs(typing.Protocol):
    """What the fence needs of the store; see `store.ownership`."""

    def claim(self, resource_id: str, owner: str, above: int = 0) -> int:
        """Make an owner the owner and give its epoch."""

    def get(self, resource_id: str) -> store.Ownership | None:
        """Give the owner."""

    def forget(self, resource_id: str, owner: str) -> bool:
        """Forget what is gone."""


class Fence:
    """The epochs of one process; safe to share between threads.

    Its methods raise `instance_port.Fenced` if another node has claimed the resource since, and
    `instance_port.Retry` if the database is needed and away.
    """

    def __init__(self, epochs: Epochs, owner: str) -> None:
        self._epochs = epochs
        self._owner = owner
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}

    def epoch(self, resource_id: str, above: int = 0) -> int:
        """Give the epoch for a write, claiming the resource if this process did not yet.

        `above` is the highest epoch that the appliance has accepted. If it is higher than ours,
        another node has written since, or the database was lost: the database tells.
        """
        known = self._known_epoch(resource_id)
        if known is not None and known >= above:
            return known
        try:
            if known is not None:
                self._check(resource_id)
            claimed = self._epochs.claim(resource_id, self._owner)
            if claimed < above:
                claimed = self._epochs.claim(resource_id, self._owner, above)
        except store.StoreError as reason:
            raise instance_port.Retry(f"no epoch for {resource_id}: {reason}") from reason
        LOG.info("epoch.held resource=%s epoch=%d owner=%s", resource_id, claimed, self._owner)
        with self._lock:
            self._known[resource_id] = claimed
        return claimed

    def confirm(self, resource_id: str) -> None:
        """Make sure that we own a resource before something is made that has no epoch."""
        if self._known_epoch(resource_id) is None:
            self.epoch(resource_id)
            return
        try:
            self._check(resource_id)
        except store.StoreError as reason:
            # What we own we go on serving: nobody can claim it without the database either.
            LOG.warning("ownership.unconfirmed resource=%s reason=%s", resource_id, reason)

    def refused(self, resource_id: str) -> None:
        """Learn that an appliance refused our epoch: raise `Fenced`, or return if it is ours."""
        try:
            self._check(resource_id)
        except store.StoreError as reason:
            raise instance_port.Fenced(f"stale epoch, owner unknown: {reason}") from reason

    def drop(self, resource_id: str) -> None:
        """Forget what is known: whoever comes back to the resource claims it anew."""
        with self._lock:
            self._known.pop(resource_id, None)

    def end(self, resource_id: str) -> None:
        """Forget a resource that is gone for good, here and in the database."""
        self.drop(resource_id)
        try:
            self._epochs.forget(resource_id, self._owner)
        except store.StoreError as reason:
            # A line too many in a table that nobody reads by itself.
            LOG.info("ownership.not_forgotten resource=%s reason=%s", resource_id, reason)

    def _known_epoch(self, resource_id: str) -> int | None:
        with self._lock:
            return self._known.get(resource_id)

    def _check(self, resource_id: str) -> None:
        held = self._epochs.get(resource_id)
        if held is not None and held.owner != self._owner:
            raise instance_port.Fenced(f"{held.owner} has claimed it by epoch {held.epoch}")
