"""Names and marks of what we make in Nova and Neutron; pure.

Names are for people; trust comes from the service project and the mark.
"""


def resource(router_id: str) -> str:
    """Return the mark of a server, the value of its metadata key ``astara_resource``."""
    return f"router:{router_id}"


def router_of(mark: str) -> str | None:
    """Return the router that a mark names, None if it names something else."""
    kind, _, router_id = mark.partition(":")
    return router_id if kind == "router" and router_id else None


def server_prefix(router_id: str) -> str:
    """Return what the names of a router's servers begin with."""
    return f"ak-router-{router_id}_"


def server(router_id: str, index: int = 0) -> str:
    """Return the name of a router's server; ``index`` counts the members of a pair."""
    return f"{server_prefix(router_id)}{index}"


def port(label: str, router_id: str, index: int = 0) -> str:
    """Return the name of a port; that of the second member of a pair says so."""
    return f"ASTARA:{label}:{router_id}" + (f":{index}" if index else "")


def of_router(name: str, router_id: str) -> bool:
    """Tell whether a name is one that we give to the servers of a router."""
    return name in (server(router_id, 0), server(router_id, 1))


def server_index(name: str) -> int:
    """Tell which member of a pair a server of ours is, by the name that we gave it."""
    return _index(name.rpartition("_")[2])


def port_index(name: str) -> int:
    """Tell which member of a pair a port of ours serves, by the name that we gave it."""
    return _index(name.rpartition(":")[2]) if name.count(":") > 2 else 0


def appliance(router_id: str, index: int = 0) -> str:
    """Return what tells one appliance from all others: its certificate is issued to that."""
    return router_id + (f"-{index}" if index else "")


def group(router_id: str) -> str:
    """Return the name of the server group of a pair."""
    return f"ak-router-{router_id}"


def _index(text: str) -> int:
    return int(text) if text in ("0", "1") else 0
