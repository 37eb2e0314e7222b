"""Sections of network functions that an operator has written down, router by router.

For what Neutron has no object for: a file of JSON, `{"<router id>": {"<function>": {...}}}`, read
once at start. It decides nothing about a section: the appliance's function checks it. Called by
`tools` and by the validation of the configuration.
"""

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec

from astara_contract import types

from ..clients import topology
from ..drivers.router import functions

_Written = dict[types.Identifier, dict[types.FunctionName, dict[str, Any]]]


def read(path: str) -> tuple[functions.Function, ...]:
    """Return a function for each name in the file; none without a file.

    Raises FunctionMissing where it cannot be read or is no such object.
    """
    if not path:
        return ()
    try:
        written = msgspec.convert(json.loads(pathlib.Path(path).read_text()), _Written)
    except (OSError, ValueError) as error:
        told = f"[router] function_sections names {path}, which cannot be used: {error}"
        raise functions.FunctionMissing(told) from error
    names = sorted({name for sections in written.values() for name in sections})
    return tuple(
        functions.Function(name, functools.partial(_written, written, name)) for name in names
    )


def _written(
    written: Mapping[str, Mapping[str, Mapping[str, Any]]],
    name: str,
    router: topology.RouterDetail,
) -> Mapping[str, Any] | None:
    return written.get(router.id, {}).get(name)
