"""Read and change debug modes on behalf of operators; say which of them covers a resource.

Decides which mode is named when several hold: the widest. Must never keep a mode in memory: other
nodes change them. Raises `store.StoreError`. Used by `node`.
"""

import threading

import msgspec
from oslo_config import cfg

from .. import store
from ..worker import control_protocol as worker
from . import messages


class Debugging:
    """The debug modes of the cluster; the database is opened at the first need."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._opened: store.Store | None = None

    def _store(self) -> store.Store:
        with self._lock:
            if self._opened is None:
                self._opened = store.open_store(self._conf)
            return self._opened

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()

    def all(self) -> tuple[store.DebugMode, ...]:
        """Give all modes, the widest first."""
        return self._store().debug.all()

    def enter(
        self, scope: store.Scope, subject: str, reason: str, by: str
    ) -> tuple[store.DebugMode, bool]:
        """Enter a mode; give the one that holds now and whether it is this one."""
        before = self._store().debug.get(scope, subject)
        if before is not None:
            return before, False
        return self._store().debug.enter(scope, subject, reason=reason, by=by), True

    def leave(self, scope: store.Scope, subject: str) -> store.DebugMode | None:
        """Leave a mode and give it; None if there was none."""
        return self._store().debug.leave(scope, subject)


def covering(
    modes: tuple[store.DebugMode, ...], resource_id: str, tenant_id: str
) -> store.DebugMode | None:
    """Give the widest mode that covers a resource."""
    for mode in modes:
        if (
            mode.scope is store.Scope.GLOBAL
            or (mode.scope is store.Scope.TENANT and mode.subject == tenant_id)
            or (mode.scope is store.Scope.RESOURCE and mode.subject == resource_id)
        ):
            return mode
    return None


def view(mode: store.DebugMode) -> messages.DebugView:
    """Give a mode as it is shown."""
    since = mode.since.timestamp()
    return messages.DebugView(mode.scope.value, mode.subject, mode.reason, mode.by, since)


def sentence(mode: store.DebugMode) -> str:
    """Say of a mode what it covers, who entered it when and why."""
    what = "everything" if mode.scope is store.Scope.GLOBAL else f"{mode.scope} {mode.subject}"
    why = f": {mode.reason}" if mode.reason else ""
    return f"{what} is in debug mode since {mode.since:%Y-%m-%d %H:%M:%S} UTC by {mode.by}{why}"


class Overlay:
    """Marks lines of resources with the mode that covers them."""

    def __init__(self, modes: tuple[store.DebugMode, ...]) -> None:
        self._global = next((mode for mode in modes if mode.scope is store.Scope.GLOBAL), None)
        self._by_subject = {(mode.scope, mode.subject): mode for mode in modes}

    def mark(self, line: worker.ResourceLine) -> worker.ResourceLine:
        """Give the line with `debug` and `debug_reason`."""
        mode = (
            self._global
            or self._by_subject.get((store.Scope.TENANT, line.tenant_id))
            or self._by_subject.get((store.Scope.RESOURCE, line.id))
        )
        if mode is None:
            return line
        return msgspec.structs.replace(line, debug=mode.scope.value, debug_reason=mode.reason)
