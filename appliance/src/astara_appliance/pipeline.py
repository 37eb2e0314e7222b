"""Turn a pushed document into the state of this host, all of it or nothing.

    validate -> render -> check -> (diff -> apply, driver by driver) -> verify -> commit | roll
    back

It decides order, when to go back and what is remembered; `stages` does each driver's part. A bad
document changes nothing; a failed apply puts back what ran before and names the driver and the
reason. What is in effect already costs an observation, not an apply. One document at a time: a
second push waits, with a deadline.

A push may ask for a trial: what it brings ends by itself, and what was confirmed last comes back,
unless it is confirmed within that time. Nothing of a trial survives a reboot.

The same steps, without the strictness, bring a restarted agent or a rebooted host back to the
document (`repair`): they find nothing to do when nothing was lost, so daemons and traffic do not
notice a restart of the agent.

Called by the API and by the watch loop.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from astara_contract import document as contract
from astara_contract import errors as contract_errors

from . import clock, errors, facts, ledger, logs, stages, store
from .drivers import base, functions, hangs, registry

LOG = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 20.0
_UNKNOWN = "nobody knows what was committed: the next push decides"


class Pipeline:
    """The one way by which a document takes effect."""

    def __init__(
        self,
        drivers: Sequence[registry.AnyDriver],
        names: facts.NicNames,
        keep: store.Store,
        *,
        watch: hangs.Hangs,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        moment: Callable[[], clock.Moment] = clock.moment,
    ) -> None:
        self._drivers = tuple(drivers)
        self._names = names
        self._store = keep
        self._lock = threading.Lock()
        self._lock_timeout_s = lock_timeout_s
        self._moment = moment
        self._watch = watch
        self._stages = stages.Stages(watch)
        self._committed = keep.load()
        self._is_settled = False
        self._sections: tuple[str | None, frozenset[str]] | None = None
        self.ledger = ledger.Ledger()

    @property
    def driver_names(self) -> tuple[str, ...]:
        """The drivers, in the order in which they are applied."""
        return tuple(driver.name for driver in self._drivers)

    @property
    def committed(self) -> store.Committed:
        """What is committed; never half of an update."""
        return self._committed

    def trial_left_s(self) -> float | None:
        """Return the seconds until what is in effect ends by itself, None if it does not."""
        trial = self._committed.trial
        return None if trial is None else store.left_s(trial, self._moment())

    def put(
        self, source: bytes, epoch: int | None = None, *, confirm_within_s: int | None = None
    ) -> store.Committed:
        """Bring the document in `source` into effect and return what is committed then.

        With `confirm_within_s` it is on trial for that time, unless it is what is committed
        anyway. Raises ContractError for a bad document, else a PushError.
        """
        with self._alone():
            # One at a time also here: what is hostile takes memory until it is refused.
            document = self._parse(source)
            self._accept_epoch(epoch)
            return self._put(document, confirm_within_s)

    def confirm(self, digest: str, epoch: int | None = None) -> store.Committed:
        """Commit what is on trial, if it is `digest`; do nothing if that is committed already.

        Raises NotOnTrial or another PushError.
        """
        with self._alone():
            self._accept_epoch(epoch)
            if digest != self._committed.digest:
                trial = self._committed.trial
                if trial is None or trial.digest != digest or not self.trial_left_s():
                    raise errors.NotOnTrial(digest)
                self._save(_promoted(self._committed, trial.document, digest))
                self.ledger.count(ledger.Event.TRIAL_CONFIRMED)
                LOG.info("trial.confirmed digest=%s", digest[:12])
            return self._committed

    def repair(self, *, wait: bool = False) -> tuple[str, ...]:
        """Undo drift from the document, or a trial whose time is over; return the drivers that had
        to act.

        Networks whose NIC is missing are left out. Before the first push everything but management
        is closed. Does nothing while a push is being applied; with `wait` it stands in line.
        Raises PushFailed, with `wait` also Busy.
        """
        timeout_s = self._lock_timeout_s if wait else 0.0
        try:
            with self._alone(timeout_s):
                return () if self._store.unreadable else self._repair()
        except errors.Busy:
            if wait:
                raise
            return ()

    def drift(self) -> dict[str, tuple[str, ...]]:
        """Return for each driver what differs from the document, in words; nothing is changed."""
        if self._store.unreadable:
            return dict.fromkeys(self.driver_names, (_UNKNOWN,))
        with self._alone():
            present, wanted = self._wanted()
            found: dict[str, tuple[str, ...]] = {}
            for driver in self._drivers:
                try:
                    step = self._stages.plan(driver, stages.pruned(wanted, present), present)
                    found[driver.name] = self._stages.differences(step)
                except errors.PushFailed as failure:
                    found[driver.name] = (failure.reason,)
        unplugged = stages.unplugged(wanted, present)
        return {name: (*unplugged.get(name, ()), *lines) for name, lines in found.items()}

    def reports(self) -> dict[str, object]:
        """Return what the network functions of the document in effect tell of themselves."""
        return functions.reports(self._drivers, self._functions(), self._watch)

    def tend(self) -> None:
        """Let these functions look after what is outside; does nothing while a push goes on."""
        try:
            with self._alone(0.0):
                functions.tend(self._drivers, self._functions(), self._watch)
        except errors.Busy:
            return  # the next round is soon

    def follow(self) -> tuple[str, ...]:
        """Lead those drivers that follow the role in a pair to the document; return the drivers
        that had to act. Waits for a push that is going on. Raises PushFailed or Busy.
        """
        followers = [driver for driver in self._drivers if getattr(driver, "follows_role", False)]
        with self._alone():
            if self._store.unreadable or not self._functions():
                return ()
            changed, failures = self._converge(followers)
        if failures:
            raise failures[0]
        return changed

    def _functions(self) -> frozenset[str]:
        """Return the names of the sections in effect; the document is read once for each."""
        digest, known = self._committed.running_digest, self._sections
        if known is None or known[0] != digest:
            document = store.document_in_effect(self._committed)
            known = self._sections = (digest, frozenset(document.functions))
        return known[1]

    @contextlib.contextmanager
    def _alone(self, timeout_s: float | None = None) -> Iterator[None]:
        if not self._lock.acquire(
            timeout=self._lock_timeout_s if timeout_s is None else timeout_s
        ):
            raise errors.Busy("another document is being applied")
        try:
            yield
        finally:
            self._lock.release()

    def _parse(self, source: bytes) -> contract.Document:
        try:
            document = contract.parse(source)
            functions.check_sections(document, self._drivers, self._watch)
        except contract_errors.ContractError:
            self.ledger.count(ledger.Event.REFUSED)
            raise
        return document

    def _repair(self) -> tuple[str, ...]:
        ended = self._end_overdue_trial()
        changed, failures = self._converge()
        if self._is_settled and not ended:
            self.ledger.count(ledger.Event.REPAIRED, changed)
            failed = [failure.driver for failure in failures]
            self.ledger.count(ledger.Event.REPAIR_FAILED, failed)
        if failures:
            raise failures[0]
        self._is_settled = True
        return changed

    def _put(self, document: contract.Document, confirm_within_s: int | None) -> store.Committed:
        logs.serve(document.router_id or "")
        steps = self._prepare(document)
        digest = contract.digest(document)
        try:
            seconds = self._bring_into_effect(steps)
            self._commit(document, digest, confirm_within_s)
        except errors.PushFailed as failure:
            self.ledger.count(ledger.Event.FAILED)
            rolled_back = not self._converge()[1]
            LOG.error(
                "push.failed driver=%s rolled_back=%s reason=%s",
                failure.driver,
                rolled_back,
                failure.reason,
            )
            raise errors.PushFailed(
                failure.driver, failure.reason, rolled_back=rolled_back
            ) from failure
        self._is_settled = True
        self.ledger.spend(seconds)
        changed = ",".join(f"{name}:{spent:.3f}s" for name, spent in seconds.items())
        LOG.info(
            "push.applied digest=%s changed=%s trial_s=%s",
            digest[:12],
            changed or "nothing",
            confirm_within_s if self._committed.trial else "none",
        )
        return self._committed

    def _prepare(self, document: contract.Document) -> list[stages.Step]:
        """Render and check everything; nothing is changed yet."""
        try:
            present = facts.gather(self._names)
            stages.require_nics(document, present)
            steps = [self._stages.plan(driver, document, present) for driver in self._drivers]
            for step in steps:
                self._stages.check(step)
        except errors.PushFailed as failure:
            self.ledger.count(ledger.Event.REFUSED)
            LOG.warning("push.refused driver=%s reason=%s", failure.driver, failure.reason)
            raise
        return steps

    def _bring_into_effect(self, steps: Sequence[stages.Step]) -> dict[str, float]:
        """Apply and verify; return the seconds of each driver that had to act."""
        seconds = {}
        for step in steps:
            started = clock.monotonic()
            if self._stages.apply(step):
                seconds[step.driver.name] = clock.monotonic() - started
        for step in steps:
            if step.driver.name in seconds:
                self._stages.verify(step)
        return seconds

    def _accept_epoch(self, epoch: int | None) -> None:
        if epoch is None or epoch == self._committed.epoch:
            return
        if epoch < self._committed.epoch:
            self.ledger.count(ledger.Event.STALE)
            raise errors.StaleEpoch(epoch, self._committed.epoch)
        # On disk before anything is done: a former owner is locked out even if this push fails.
        self._save(msgspec.structs.replace(self._committed, epoch=epoch))

    def _commit(
        self, document: contract.Document, digest: str, confirm_within_s: int | None
    ) -> None:
        before = _counted(self._committed, digest)
        raw = msgspec.Raw(contract.encode(document))
        if confirm_within_s is None or digest == before.digest:
            self._save(_promoted(before, raw, digest))
            return
        now = self._moment()
        trial = store.Trial(
            document=raw, digest=digest, boot=now.boot, deadline_s=now.seconds + confirm_within_s
        )
        self._save(msgspec.structs.replace(before, trial=trial))

    def _end_overdue_trial(self) -> bool:
        trial = self._committed.trial
        if trial is None or self.trial_left_s():
            return False
        LOG.warning("trial.over digest=%s back_to=%s", trial.digest, self._committed.digest)
        ended = msgspec.structs.replace(self._committed, trial=None)
        try:
            self._save(ended)
        except errors.PushFailed as failure:
            # Going back matters more; the time of what the file says is over all the same.
            LOG.error("trial.not_forgotten reason=%s", failure.reason)
            self._committed = ended
        self.ledger.count(ledger.Event.TRIAL_ENDED)
        return True

    def _save(self, committed: store.Committed) -> None:
        try:
            self._store.save(committed)
        except OSError as error:
            # What cannot be remembered must not run: the next start would undo it.
            reason = f"cannot keep the document: {error}"
            raise errors.PushFailed("store", reason) from error
        self._committed = committed

    def _wanted(self) -> tuple[base.Facts, contract.Document]:
        wanted = store.document_in_effect(self._committed)
        logs.serve(wanted.router_id or "")
        return facts.gather(self._names), wanted

    def _converge(
        self, drivers: Sequence[registry.AnyDriver] | None = None
    ) -> tuple[tuple[str, ...], list[errors.PushFailed]]:
        """Lead every driver, or those given, to the document, whatever becomes of the others.

        Return the drivers that had to act, and the failures.
        """
        changed: list[str] = []
        failures: list[errors.PushFailed] = []
        present, wanted = self._wanted()
        document = stages.pruned(wanted, present)
        for driver in self._drivers if drivers is None else drivers:
            try:
                step = self._stages.plan(driver, document, present)
                self._stages.check(step)
                if self._stages.apply(step):
                    changed.append(driver.name)
                    self._stages.verify(step)
            except errors.PushFailed as failure:
                failures.append(failure)
                LOG.error("restore.failed driver=%s reason=%s", failure.driver, failure.reason)
        return tuple(changed), failures


def _counted(before: store.Committed, digest: str) -> store.Committed:
    """Return `before` with a push of `digest` counted."""
    if digest == before.running_digest:
        return msgspec.structs.replace(before, pushes_unchanged=before.pushes_unchanged + 1)
    return msgspec.structs.replace(before, pushes_applied=before.pushes_applied + 1)


def _promoted(before: store.Committed, document: msgspec.Raw, digest: str) -> store.Committed:
    """Return `before` with `document` committed and nothing on trial."""
    if digest == before.digest:
        return msgspec.structs.replace(before, trial=None)
    return msgspec.structs.replace(
        before, document=document, digest=digest, applied_at=clock.now(), trial=None
    )
