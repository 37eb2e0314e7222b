"""Remembers which set-up steps are done, and for what.

A marker holds what its step depended on (versions, names). When that changes, the step runs again.
"""

import pathlib
from collections.abc import Callable

from astara_devcloud import layout


def path_of(where: layout.Layout, name: str) -> pathlib.Path:
    """Return a step's marker file."""
    return where.state / "done" / name.replace(" ", "-")


def once(where: layout.Layout, name: str, wanted: str, make: Callable[[], None]) -> bool:
    """Run a step unless it was done for the same ``wanted``; return whether it ran."""
    marker = path_of(where, name)
    if marker.exists() and marker.read_text() == wanted:
        return False
    make()
    marker.write_text(wanted)
    return True
