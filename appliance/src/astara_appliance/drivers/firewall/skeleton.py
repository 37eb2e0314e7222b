"""The rules of the appliance: a constant nftables table with named sets and maps.

Everything that differs between two appliances is an element of a set or map (see `elements`), so
that the cost of a packet and of a change does not depend on how much is configured. The rules
decide, in this order:

- sources that cannot be true on their interface are dropped before connection tracking;
- the appliance itself is closed: replies, ping and neighbour discovery, plus per role what it
  serves there (management: ssh and the API,
  for the other one of a pair VRRP and conntrackd; tenants: DHCP, DNS, metadata);
- nothing is ever forwarded from or to the management network: it is in no forward zone;
- networks of different address scopes are not routed to each other;
- IPv4 leaves an external network under an external address or not at all, unless SNAT is off or
  both are of one scope;
- router advertisements leave only where a subnet asks for them;
- packets of public addresses with a rate limit leave in the traffic class of the driver `qos`.

Rules with a lookup and nothing else count: see `COUNTED`.

Pure text; called by `driver`.
"""

from collections.abc import Iterable

from ..links import METADATA_IPV4, METADATA_IPV6

TABLE = "astara"
FAMILY = "inet"
SSH_PORT = 22
METADATA_PROXY_PORT = 9600
CONNTRACKD_PORT = 3780

NEIGHBOUR_DISCOVERY = "{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }"
LISTENER_DISCOVERY = (
    "{ mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }"
)

# Their elements count packets and bytes, each by itself, as long as they are there.
COUNTED = ("floating_in", "floating_out")

WITH_PORTS = "{ tcp, udp, sctp, dccp }"

# name: (type, is it a set of intervals)
SETS: dict[str, tuple[str, bool]] = {
    "management_if": ("ifname", False),
    "external_if": ("ifname", False),
    "internal_if": ("ifname", False),  # routed tenant networks
    "tenant_if": ("ifname", False),  # routed and isolated ones
    "unnatted_if": ("ifname", False),  # external networks that IPv4 crosses untranslated
    "advertising_if": ("ifname", False),
    "management_port": ("inet_service", False),
    "management4": ("ipv4_addr", False),
    "management6": ("ipv6_addr", False),
    "external4": ("ipv4_addr", False),  # the appliance's own addresses outside
    "public4": ("ipv4_addr", False),  # those and the floating ones
    "floating_in": ("ipv4_addr", False),  # the floating ones, as destinations
    "floating_out": ("ipv4_addr", False),
    "connected4": ("ipv4_addr", True),  # tenants' subnets
    "connected6": ("ipv6_addr", True),
    "source4": ("ifname . ipv4_addr", True),  # who may send on which tenant interface
    "source6": ("ifname . ipv6_addr", True),
    "bgp4": ("ipv4_addr", False),  # who may speak BGP and BFD, on external networks
    "bgp6": ("ipv6_addr", False),
    "open_udp4": ("ipv4_addr . inet_service", True),  # for network functions, outside
    "open_udp6": ("ipv6_addr . inet_service", True),
    "open_protocol4": ("ipv4_addr . inet_proto", True),
    "open_protocol6": ("ipv6_addr . inet_proto", True),
    "tunnel_if": ("ifname", False),  # devices of network functions
    "peer4": ("ipv4_addr", False),  # the other one of a pair, on management
    "peer6": ("ipv6_addr", False),
    "apart4": ("ifname . ifname", False),  # in and out by networks of two address scopes
    "apart6": ("ifname . ifname", False),
    "same_scope": ("ifname . ifname", False),  # a tenant's and an external one, IPv4
    "same_link": ("ifname . ifname", False),  # in and out by one tenant interface
}
# Their keys hold ranges, each element by itself.
RANGED = ("ports_to_port", "ports_to_fixed")
MAPS: dict[str, str] = {
    "source_zone": "ifname : verdict",
    "input_zone": "ifname : verdict",
    "forward_zone": "ifname : verdict",
    "floating_to_fixed": "ipv4_addr : ipv4_addr",
    "fixed_to_floating": "ipv4_addr : ipv4_addr",
    "port_to_port": "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "ports_to_port": "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "ports_to_fixed": "ipv4_addr . inet_proto . inet_service : ipv4_addr",  # same ports
    "class_zone": "ifname : verdict",  # where rate limits hold
    "egress_class": "ipv4_addr : classid",  # by public source
    "ingress_class": "ipv4_addr : classid",  # by public destination
    "snat_address": "ifname : ipv4_addr",  # by external interface
    "hairpin_address": "ifname : ipv4_addr",  # by tenant interface
}

# Two rules are there for speed alone, every packet meets them. A source that is routed back by the
# interface it came from is one that source4 or source6 allows: the kernel's routing table tells
# so in half the time of an interval set. And what connection tracking translates need not be held
# against all public addresses. What the kernel's IPsec is about to encrypt passes the last hook
# twice: on its way into the tunnel's device, and, not encrypted yet, by the external one.
_FORWARD = "type filter hook forward priority filter; policy drop;"
_FLOWTABLE = """\tflowtable established {{
		hook ingress priority filter; devices = {{ {devices} }};
	}}
"""
_OFFER = "\n\t\tmeta l4proto { tcp, udp } ct state established flow add @established"

_CHAINS = f"""
	chain source_tenant {{
		fib saddr . iif oif exists return
		ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67 return
		iifname . ip saddr @source4 return
		ip6 saddr {{ ::, fe80::/10 }} return
		iifname . ip6 saddr @source6 return
		meta nfproto {{ ipv4, ipv6 }} counter drop
	}}
	chain source_external {{
		ip saddr @connected4 counter drop
		ip6 saddr @connected6 counter drop
		ip daddr @floating_in
	}}
	chain source {{
		type filter hook prerouting priority raw; policy accept;
		iifname vmap @source_zone
	}}
	chain input_peer {{
		meta l4proto 112 accept
		udp dport {CONNTRACKD_PORT} accept
	}}
	chain input_management {{
		icmpv6 type nd-router-advert ip6 hoplimit 255 accept
		tcp dport @management_port accept
		ip saddr @peer4 jump input_peer
		ip6 saddr @peer6 jump input_peer
	}}
	chain input_bgp {{
		tcp dport 179 accept
		udp dport 3784 accept
	}}
	chain input_external {{
		ip saddr @bgp4 jump input_bgp
		ip6 saddr @bgp6 jump input_bgp
		ip saddr . udp dport @open_udp4 accept
		ip6 saddr . udp dport @open_udp6 accept
		ip saddr . meta l4proto @open_protocol4 accept
		ip6 saddr . meta l4proto @open_protocol6 accept
		icmpv6 type nd-router-advert ip6 hoplimit 255 accept
	}}
	chain input_tenant {{
		udp dport 67 meta nfproto ipv4 accept
		ip6 saddr fe80::/10 udp dport 547 accept
		meta l4proto {{ tcp, udp }} th dport 53 accept
		tcp dport {METADATA_PROXY_PORT} ct status dnat accept
	}}
	chain input {{
		type filter hook input priority filter; policy drop;
		ct state vmap {{ established : accept, related : accept, invalid : drop }}
		iifname "lo" accept
		iifname != @management_if ip daddr @management4 counter drop
		iifname != @management_if ip6 daddr @management6 counter drop
		icmp type echo-request accept
		icmpv6 type echo-request accept
		icmpv6 type {NEIGHBOUR_DISCOVERY} ip6 hoplimit 255 accept
		icmpv6 type {LISTENER_DISCOVERY} accept
		iifname vmap @input_zone
	}}
	chain scope {{
		ct status dnat return
		meta nfproto ipv4 iifname . oifname @apart4 counter drop
		meta nfproto ipv6 iifname . oifname @apart6 counter drop
	}}
	chain forward_internal {{
		jump scope
		oifname @internal_if accept
		oifname @external_if accept
		oifname @tunnel_if accept
	}}
	chain forward_tunnel {{
		oifname @internal_if accept
	}}
	chain forward_external {{
		oifname != @internal_if drop
		jump scope
		meta nfproto ipv6 accept
		ct status dnat accept
		iifname @unnatted_if accept
		iifname . oifname @same_scope accept
	}}
	chain forward {{
		{_FORWARD}
		ct state vmap {{ established : accept, related : accept, invalid : jump forward_invalid }}
		iifname vmap @forward_zone
	}}
	chain forward_invalid {{
		iifname . oifname @same_link accept
		counter drop
	}}
	chain translate_metadata {{
		ip daddr {METADATA_IPV4} tcp dport 80 redirect to :{METADATA_PROXY_PORT}
		ip6 daddr {METADATA_IPV6} tcp dport 80 \
			dnat ip6 to [{METADATA_IPV6}]:{METADATA_PROXY_PORT}
	}}
	chain translate_port {{
		meta l4proto {WITH_PORTS} \
			dnat ip to ip daddr . meta l4proto . th dport map @port_to_port
		meta l4proto {WITH_PORTS} \
			dnat ip to ip daddr . meta l4proto . th dport map @ports_to_port
		meta l4proto {WITH_PORTS} \
			dnat ip to ip daddr . meta l4proto . th dport map @ports_to_fixed
	}}
	chain translate_destination {{
		type nat hook prerouting priority dstnat; policy accept;
		iifname @tenant_if jump translate_metadata
		dnat ip to ip daddr map @floating_to_fixed
		meta nfproto ipv4 goto translate_port
	}}
	chain translate_outgoing {{
		ip saddr @external4 accept
		snat ip to ip saddr map @fixed_to_floating
		iifname . oifname @same_scope accept
		snat ip to oifname map @snat_address
	}}
	chain translate_hairpin {{
		snat ip to ip saddr map @fixed_to_floating
		snat ip to oifname map @hairpin_address
	}}
	chain translate_source {{
		type nat hook postrouting priority srcnat; policy accept;
		meta nfproto ipv4 oifname @external_if goto translate_outgoing
		meta nfproto ipv4 iifname @internal_if ct status dnat goto translate_hairpin
	}}
	chain class_egress {{
		meta priority set ip saddr map @egress_class
	}}
	chain class_ingress {{
		ct direction original ct status dnat meta priority set \
			ct original ip daddr map @ingress_class return
		ct direction reply ct status snat meta priority set ct reply ip daddr map @ingress_class
	}}
	chain leak_guard {{
		type filter hook postrouting priority 150; policy accept;
		oifname vmap @class_zone
		oifname @external_if ip saddr @floating_out
		ct status snat accept
		ct status dnat ct direction reply accept
		iifname . oifname @same_scope accept
		oifname @external_if oifname != @unnatted_if ip saddr != @public4 \
			rt ipsec missing counter drop
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		icmpv6 type nd-router-advert oifname != @advertising_if drop
	}}
"""


def text(fast: Iterable[str] = ()) -> str:
    """Return the commands that replace the table by one without elements, in one transaction.

    Established flows between the devices `fast` bypass the rules by a flowtable.
    """
    devices = ", ".join(f'"{device}"' for device in sorted(fast))
    chains, flowtable = _CHAINS, ""
    if devices:
        chains = chains.replace(_FORWARD, _FORWARD + _OFFER)
        flowtable = _FLOWTABLE.format(devices=devices)
    sets = "".join(_set(name, kind, interval) for name, (kind, interval) in SETS.items())
    maps = "".join(_map(name, kind) for name, kind in MAPS.items())
    return (
        # "add" first: deleting what is not there would fail the whole transaction.
        f"add table {FAMILY} {TABLE}\n"
        f"delete table {FAMILY} {TABLE}\n"
        f"table {FAMILY} {TABLE} {{\n{sets}{maps}{flowtable}{chains}}}\n"
    )


def _set(name: str, kind: str, interval: bool) -> str:
    flags = "\t\tflags interval\n" if interval else ""
    counted = "\t\tcounter\n" if name in COUNTED else ""
    return f"\tset {name} {{\n\t\ttype {kind}\n{flags}{counted}\t}}\n"


def _map(name: str, kind: str) -> str:
    flags = "\t\tflags interval\n" if name in RANGED else ""
    return f"\tmap {name} {{\n\t\ttype {kind}\n{flags}\t}}\n"
