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
