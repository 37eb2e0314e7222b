"""Tell this node from all others, also from one that was given the same name.

Decides nothing. Read by the coordinator and by the fence.
"""

import dataclasses
import pathlib
import uuid
from typing import Any

RECORD = "node-id"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A host name, an id that lives in the state directory, and the machine's present boot."""

    host: str
    node_id: str
    boot_id: str

    @property
    def owner(self) -> str:
        """Give the name under which this node owns resources: new after a reboot, not before."""
        return f"{self.host}/{self.node_id[:8]}/{self.boot_id[:8]}"


def this_node(conf: Any) -> Node:
    """Read who we are; the id is made at the first call and kept in `state_path`."""
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Node(conf.host, _node_id(pathlib.Path(conf.state_path)), boot_id)


def _node_id(directory: pathlib.Path) -> str:
    path = directory / RECORD
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    fresh = directory / f"{RECORD}.{uuid.uuid4().hex}"
    fresh.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
    try:
        path.hardlink_to(fresh)  # whole or not at all, and never over that of another process
    except FileExistsError:
        pass  # made before, which is the rule
    finally:
        fresh.unlink()
    return path.read_text(encoding="ascii").strip()
