"""Leave the names of the live nodes where any process of this node can read them.

Decides nothing. Written by the coordinator when they change, read by the tools and the API, which
ask every node. What is read may be old while the coordination service is away.
"""

import os
import pathlib
from typing import Any

import msgspec

NAME = "nodes.json"


class _Roster(msgspec.Struct, frozen=True):
    hosts: tuple[str, ...]


def _path(state_path: str) -> pathlib.Path:
    return pathlib.Path(state_path) / "run" / NAME


def write(state_path: str, hosts: tuple[str, ...]) -> None:
    """Leave the names, in one step."""
    path = _path(state_path)
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(_Roster(hosts)))
    os.replace(fresh, path)


def hosts(conf: Any) -> tuple[str, ...]:
    """Give the names of the live nodes, sorted; without coordination, or news, just our own."""
    if not conf.coordination.enabled:
        return (conf.host,)
    try:
        return msgspec.json.decode(_path(conf.state_path).read_bytes(), type=_Roster).hosts
    except (OSError, msgspec.MsgspecError):
        return (conf.host,)
