"""A short string that differs whenever the appliance's document could differ.

Called by the view for every router of a page and for a single router, always from the same facts,
so a list and a detail read of an unchanged router agree. It never looks at statuses that our own
reports write (router, its ports, floating IPs): reporting makes no work for the next audit.

Why it cannot miss a change. Everything small is hashed by content: the router, its extra routes,
ports and addresses, the attached networks with subnets, name servers and host routes, floating
IPs, what service plug-ins add (port forwardings, rate limits, conntrack helpers, metering labels)
and other routers' ports on the internal networks. Only the remaining ports of internal
networks, of which there may be thousands, enter as a `PortTally`, computed by the database over
those that have an address to serve:

- every port has a `standardattributes` row whose id only grows and whose revision number Neutron
  raises in the same transaction that changes the port, its addresses, its extra DHCP options or
  its DNS name (`revises_on_change`);
- a set of ports with the same count and the same newest id holds no port that was created since.
  So it is the same set, or a port with an older id took the place of another one (it gained its
  first address while the other lost its last, or its insertion committed late), and then the sum
  of the ids differs;
- over the same set, revisions only grow: an equal sum means that no single one moved.

What remains is several such swaps between two reads whose ids and revisions all cancel exactly. A
port that merely binds or turns ACTIVE moves the tally although the document stays the same: that
costs one detail read and no push, because the document's digest does not move.
"""

import dataclasses
import hashlib
import json
from typing import Any

from . import facts

#: Written by our own reports, hence no reason to look at a router again.
_STATUS = "status"


def generation(view: facts.RouterView) -> str:
    """Return the generation of a router: 32 hex digits, opaque to every caller."""
    content = {
        "router": view.router,
        "routes": sorted(view.routes),
        "ports": _by_id(view.ports),
        "networks": _by_id(view.networks),
        "floatingips": _by_id(view.floatingips),
        "tallies": view.tallies,
        "neighbours": {net: _by_id(ports) for net, ports in view.neighbours.items()},
        "gateway_rate_limits": sorted(view.gateway_rate_limits),
        "conntrack_helpers": sorted(view.conntrack_helpers),
        "metering_labels": _by_id(view.metering_labels),
        "ipsec_site_connections": _by_id(view.ipsec_site_connections),
        "bgp_speakers": _by_id(view.bgp_speakers),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_values)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _by_id(items: tuple[Any, ...]) -> list[Any]:
    return sorted(items, key=lambda item: item.id)


def _values(item: Any) -> list[object]:
    # A list of values is half the text of a dict with field names, and the hash is opaque anyway.
    return [getattr(item, f.name) for f in dataclasses.fields(item) if f.name != _STATUS]
