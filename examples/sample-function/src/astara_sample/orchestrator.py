"""Decide which routers have the function, and with what; runs in the orchestrator.

The orchestrator calls this with what it read of a router from Neutron, each time it builds the
router's document. It must be pure and quick, and give the same answer for the same router: else
each health check finds another document and pushes it. It does no I/O.
"""

from typing import Any


def section(router: Any) -> dict[str, Any] | None:
    """Return the section for `router`, None to leave it out.

    Here: routers whose name ends in "-quiet" drop what documentation prefixes are the source or
    the destination of. A real function would look at ids, projects or flavors.
    """
    if not router.name.endswith("-quiet"):
        return None
    return {"blackholes": ["192.0.2.0/24", "2001:db8:dead::/48"]}
