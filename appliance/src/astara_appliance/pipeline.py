"""Turn a pushed document into the state of this host, all of it or nothing.

    validate -> render -> check -> (diff -> apply, driver by driver) -> verify -> commit | roll
    back

It decides order, what is skipped, when to go back and what is remembered. It never knows what a
driver does. A bad document changes nothing; a failed apply puts back what ran before and names the
driver and the reason. What is in effect already costs an observation, not an apply. One document
at a time: a second push waits, with a deadline.

The same steps, without the strictness, bring a restarted agent or a rebooted host back to the
committed document (`repair`): they find nothing to do when nothing was lost, so daemons and
traffic do not notice a restart of the agent.

    PushError
     +- Busy          another push is being applied; try again later
     +- StaleEpoch    the sender no longer owns this appliance
     +- PushFailed    a driver could not bring the document into effect

Called by the API and by the watch loop.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from astara_contract import document as contract

from . import clock, facts, store
from .drivers import base, registry

LOG = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 20.0


class PushError(Exception):
    """A push was not taken."""


class Busy(PushError):
    """Another document is being applied."""


class StaleEpoch(PushError):
    """The push carries a lower epoch than one already accepted."""

    def __init__(self, epoch: int, highest: int) -> None:
        self.epoch = epoch
        self.highest = highest
        super().__init__(f"epoch {epoch} is lower than {highest}")


class PushFailed(PushError):
    """`driver` failed for `reason`; `rolled_back` tells whether what ran before runs again."""

    def __init__(self, driver: str, reason: str, *, rolled_back: bool = True) -> None:
        self.driver = driver
        self.reason = reason
        self.rolled_back = rolled_back
        super().__init__(f"{driver}: {reason}")


class Step(NamedTuple):
    """A driver and what it is to bring about."""

    driver: registry.AnyDriver
    desired: Any


class Pipeline:
    """The one way by which a document takes effect."""

    def __init__(
        self,
        drivers: Sequence[registry.AnyDriver],
        names: facts.NicNames,
        keep: store.Store,
        *,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self._drivers = tuple(drivers)
        self._names = names
        self._store = keep
        self._lock = threading.Lock()
        self._lock_timeout_s = lock_timeout_s
        self._committed = keep.load()
        self._in_effect: dict[str, Any] = {}

    @property
    def committed(self) -> store.Committed:
        """What is committed; never half of an update."""
        return self._committed

    def put(self, source: bytes, epoch: int | None = None) -> store.Committed:
        """Bring the document in `source` into effect and return what is committed then.

        Raises ContractError for a bad document, else a PushError.
        """
        document = contract.parse(source)
        if not self._lock.acquire(timeout=self._lock_timeout_s):
            raise Busy("another document is being applied")
        try:
            self._accept_epoch(epoch)
            return self._put(document)
        finally:
            self._lock.release()

    def repair(self) -> tuple[str, ...]:
        """Undo drift from the committed document; return the drivers that had to act.

        Networks whose NIC is missing are left out. Before the first push everything but management
        is closed. Does nothing while a push is being applied. Raises PushFailed.
        """
        if self._store.unreadable or not self._lock.acquire(blocking=False):
            return ()
        try:
            changed, failures = self._converge()
        finally:
            self._lock.release()
        if failures:
            raise failures[0]
        return changed

    def _put(self, document: contract.Document) -> store.Committed:
        steps = self._prepare(document)
        digest = contract.digest(document)
        try:
            seconds = self._bring_into_effect(steps)
            self._commit(document, digest)
        except PushFailed as failure:
            rolled_back = not self._converge()[1]
            LOG.error(
                "push-failed driver=%s rolled_back=%s reason=%s",
                failure.driver,
                rolled_back,
                failure.reason,
            )
            raise PushFailed(failure.driver, failure.reason, rolled_back=rolled_back) from failure
        changed = ",".join(f"{name}:{spent:.3f}s" for name, spent in seconds.items())
        LOG.info("push-applied digest=%s changed=%s", digest[:12], changed or "nothing")
        return self._committed

    def _prepare(self, document: contract.Document) -> list[Step]:
        """Render and check everything; nothing is changed yet."""
        try:
            present = facts.gather(self._names)
            _require_nics(document, present)
            steps = [_plan(driver, document, present) for driver in self._drivers]
            for step in steps:
                self._check(step)
        except PushFailed as failure:
            LOG.warning("push-refused driver=%s reason=%s", failure.driver, failure.reason)
            raise
        return steps

    def _bring_into_effect(self, steps: Sequence[Step]) -> dict[str, float]:
        """Apply and verify; return the seconds of each driver that had to act."""
        seconds = {}
        for step in steps:
            started = clock.monotonic()
            if self._apply(step):
                seconds[step.driver.name] = clock.monotonic() - started
        for step in steps:
            if step.driver.name in seconds:
                self._verify(step)
        return seconds

    def _accept_epoch(self, epoch: int | None) -> None:
        if epoch is None or epoch == self._committed.epoch:
            return
        if epoch < self._committed.epoch:
            raise StaleEpoch(epoch, self._committed.epoch)
        # On disk before anything is done: a former owner is locked out even if this push fails.
        self._save(msgspec.structs.replace(self._committed, epoch=epoch))

    def _commit(self, document: contract.Document, digest: str) -> None:
        before = self._committed
        if digest == before.digest:
            unchanged = before.pushes_unchanged + 1
            self._save(msgspec.structs.replace(before, pushes_unchanged=unchanged))
            return
        self._save(
            msgspec.structs.replace(
                before,
                document=document,
                digest=digest,
                applied_at=clock.now(),
                pushes_applied=before.pushes_applied + 1,
            )
        )

    def _save(self, committed: store.Committed) -> None:
        try:
            self._store.save(committed)
        except OSError as error:
            # What cannot be remembered must not run: the next start would undo it.
            raise PushFailed("store", f"cannot keep the document: {error}") from error
        self._committed = committed

    def _check(self, step: Step) -> None:
        """Have the tool check the plan, unless exactly this plan is in effect."""
        if self._in_effect.get(step.driver.name) != step.desired:
            with _blamed_on(step.driver):
                step.driver.check(step.desired)

    def _apply(self, step: Step) -> bool:
        """Apply what differs; return whether anything did."""
        driver, desired = step
        with _blamed_on(driver):
            change = driver.diff(driver.observe(), desired)
            if change:
                self._in_effect.pop(driver.name, None)
                driver.apply(change)
                return True
        self._in_effect[driver.name] = desired
        return False

    def _verify(self, step: Step) -> None:
        with _blamed_on(step.driver):
            step.driver.verify(step.desired)
        self._in_effect[step.driver.name] = step.desired

    def _converge(self) -> tuple[tuple[str, ...], list[PushFailed]]:
        """Lead every driver to the committed document, whatever becomes of the others.

        Return the drivers that had to act, and the failures.
        """
        changed: list[str] = []
        failures: list[PushFailed] = []
        present = facts.gather(self._names)
        document = _pruned(self._committed.document or contract.Document(), present)
        for driver in self._drivers:
            try:
                step = _plan(driver, document, present)
                self._check(step)
                if self._apply(step):
                    changed.append(driver.name)
                    self._verify(step)
            except PushFailed as failure:
                failures.append(failure)
                LOG.error("restore-failed driver=%s reason=%s", failure.driver, failure.reason)
        return tuple(changed), failures


def _require_nics(document: contract.Document, present: base.Facts) -> None:
    """Refuse a document whose networks do not each have their own, fitting NIC."""
    used: dict[str, str] = {}
    for network in document.networks:
        named = network.interface.lladdr or network.interface.ifname
        nic = present.find(network.interface)
        reason = None
        if nic is None:
            reason = "is not plugged"
        elif (network.network_type == "management") != (nic.ifname == base.MANAGEMENT):
            reason = f"is {nic.ifname}, and {base.MANAGEMENT} alone is for management"
        elif nic.mac in used:
            reason = f"already carries network {used[nic.mac]}"
        if nic is None or reason:
            raise PushFailed("interfaces", f"NIC {named} of network {network.network_id} {reason}")
        used[nic.mac] = network.network_id


def _pruned(document: contract.Document, present: base.Facts) -> contract.Document:
    """Leave out the networks whose NIC is missing."""
    networks = tuple(n for n in document.networks if present.find(n.interface) is not None)
    if len(networks) == len(document.networks):
        return document
    return msgspec.structs.replace(document, networks=networks)


def _plan(driver: registry.AnyDriver, document: contract.Document, present: base.Facts) -> Step:
    with _blamed_on(driver):
        desired = driver.render(document, present)
    return Step(driver, desired)


@contextlib.contextmanager
def _blamed_on(driver: registry.AnyDriver) -> Iterator[None]:
    """Turn whatever a driver raises into PushFailed with its name."""
    try:
        yield
    except base.DriverError as error:
        raise PushFailed(driver.name, error.reason) from error
    except base.EFFECT_ERRORS as error:
        raise PushFailed(driver.name, str(error)) from error
    except Exception as error:
        # A bug in one driver: the document must be taken back all the same, or half of it stays.
        LOG.exception("driver-bug driver=%s", driver.name)
        raise PushFailed(driver.name, f"internal error ({type(error).__name__})") from error
