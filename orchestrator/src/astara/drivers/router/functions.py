"""Sections of network functions that other packages bring along.

A package installed beside the orchestrator offers a hook by an entry point in the group
`astara.router.functions`; the operator switches it on by name. The hook is a pure function from
what Neutron says of a router to the section of that name in its document, or None. It decides
nothing else, and never sees another router's section. A hook that does not return is waited for
only so long; a few such calls, which nobody can end, and it is not called any more until one of
them returns. Called by `document` and `instance`.

    Exception
      FunctionMissing    no installed package offers it: told at start, an operator must act
      FunctionFailed     a hook of somebody else broke for one router, which keeps what it has: a
                         document without the section would silently take the function away
"""

import importlib.metadata
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from astara_contract import types

from ...clients import topology

LOG = logging.getLogger(__name__)

GROUP = "astara.router.functions"
_OURS = __name__.partition(".")[0]

HOOK_PATIENCE_S = 5.0
MOST_LATE = 4
"""So many threads of this process may be lost to one hook."""

Hook = Callable[[topology.RouterDetail], Mapping[str, Any] | None]


class FunctionMissing(Exception):
    """A function is switched on that no installed package offers; an operator must act."""


class FunctionFailed(Exception):
    """A hook raised, or returned what is no section; `str()` names function and router."""

    def __init__(self, name: str, router_id: str, reason: str) -> None:
        super().__init__(
            f"network function {name!r} failed for router {router_id}: {reason}; mend it, "
            "or take the name out of [router] functions"
        )


@dataclass(frozen=True, slots=True)
class Function:
    """A hook and the name of its section."""

    name: str
    hook: Hook


def load(names: Iterable[str]) -> tuple[Function, ...]:
    """Return the functions of these names; raise FunctionMissing if one is not installed."""
    offered = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    found = []
    for name in sorted(set(names)):
        if name not in offered:
            there = ", ".join(sorted(offered)) or "none"
            raise FunctionMissing(
                f"[router] functions names {name!r}, but no installed package offers it in the "
                f"entry point group {GROUP} (installed: {there})"
            )
        found.append(Function(name, _hook(offered[name])))
    return tuple(found)


def sections(
    router: topology.RouterDetail, functions: Iterable[Function]
) -> dict[str, dict[str, Any]]:
    """Return the sections that `router` has; raise FunctionFailed for the first hook that breaks.

    What is returned is plain data of its own: a hook that goes on changing what it gave away
    changes no document.
    """
    found = {}
    for function in functions:
        try:
            section = function.hook(router)
            if section is not None:
                found[function.name] = _plain(section)
        except Exception as error:
            # A boundary: whatever foreign code does wrong belongs to this router alone.
            LOG.exception("function.failed function=%s router=%s", function.name, router.id)
            reason = f"{type(error).__name__}: {error}"[:300]
            raise FunctionFailed(function.name, router.id, reason) from error
    return found


def bounded(hook: Hook, patience_s: float = HOOK_PATIENCE_S) -> Hook:
    """Return `hook` as one that raises TimeoutError when it does not return in time."""
    late: list[threading.Thread] = []
    order = threading.Lock()

    def ask(router: topology.RouterDetail) -> Mapping[str, Any] | None:
        with order:
            late[:] = [thread for thread in late if thread.is_alive()]
            if len(late) >= MOST_LATE:
                raise TimeoutError(f"it hangs: {len(late)} calls of it have not returned")
        outcome: list[Mapping[str, Any] | None] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(hook(router))
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(patience_s)
        if failure:
            raise failure[0]
        if not outcome:
            with order:
                late.append(thread)
            raise TimeoutError(f"it hangs: no answer after {patience_s:g} s")
        return outcome[0]

    return ask


def _hook(entry: importlib.metadata.EntryPoint) -> Hook:
    try:
        msgspec.convert(entry.name, types.FunctionName)
        hook: Hook = entry.load()
    except Exception as error:
        # A boundary, too: importing a package runs it.
        LOG.exception("function.not_loaded function=%s", entry.name)
        reason = (
            f"[router] functions names {entry.name!r}, which cannot be loaded from {entry.value}"
        )
        raise FunctionMissing(f"{reason}: {type(error).__name__}: {error}") from error
    return hook if entry.value.startswith(f"{_OURS}.") else bounded(hook)


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(section, Mapping):
        raise TypeError(f"expected an object or None, got {type(section).__name__}")
    copied: dict[str, Any] = json.loads(msgspec.json.encode(dict(section)))
    return copied
