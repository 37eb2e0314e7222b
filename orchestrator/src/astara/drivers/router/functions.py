"""Sections of network functions that other packages bring along.

A package installed beside the orchestrator offers a hook by an entry point in the group
`astara.router.functions`; the operator switches it on by name. The hook is a pure function from
what Neutron says of a router to the section of that name in its document, or None. It decides
nothing else, and never sees another router's section. Called by `document` and `instance`.
"""

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...clients import topology

GROUP = "astara.router.functions"

Hook = Callable[[topology.RouterDetail], Mapping[str, Any] | None]


class FunctionMissing(Exception):
    """A function is switched on that no installed package offers; an operator must act."""


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
        found.append(Function(name, offered[name].load()))
    return tuple(found)


def sections(
    router: topology.RouterDetail, functions: Iterable[Function]
) -> dict[str, dict[str, Any]]:
    """Return the sections that `router` has."""
    found = {}
    for function in functions:
        section = function.hook(router)
        if section is not None:
            found[function.name] = dict(section)
    return found
