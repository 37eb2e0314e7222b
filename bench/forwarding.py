"""Forwarding: what a router's rules cost its packets, variant by variant, round by round."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from . import loads, report, variants

COUNTS = (1, 100, 1000, 10000)
QUICK_COUNTS = (1, 1000)
_UNITS = {
    "packet_ns": "ns for one 64 byte datagram of a known flow, sender and receiver included",
    "tcp_gbits": "Gbit/s of one TCP stream, tenant to outside, source translated",
    "udp_kpps": "thousand 64 byte datagrams a second that arrive, tenant to outside",
    "snat_conns": "new TCP connections a second, tenant without floating IP to outside",
    "floating_conns": "new TCP connections a second, outside to the floating IP in the middle",
    "ping_us": "median round trip in us, tenant to outside, 500 a second",
    "ping_p99_us": "its 99th percentile",
}


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Build every variant, load each in turn, return figures and ratios to bare forwarding."""
    counts, rounds, seconds = (QUICK_COUNTS, 2, 1.0) if quick else (COUNTS, 5, 1.0)
    planned = [("bare", 0), ("masquerade", 0)]
    planned += [(kind, count) for count in counts for kind in ("astara", "linear", "neutron")]
    built = []
    for kind, count in planned:
        print(f"building {kind} {count or ''}", file=sys.stderr)
        built.append(variants.build(kind, count))
        loads.start_servers(built[-1].site)
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for variant in built:
            for what, value in _one(variant, seconds).items():
                figures[variant.name][what].append(value)
    return {
        "machine": report.machine(),
        "units": _UNITS,
        "rounds": rounds,
        "seconds_each": seconds,
        "variants": [_described(variant.name, figures) for variant in built],
    }


def _one(variant: variants.Variant, seconds: float) -> dict[str, float]:
    site = variant.site
    median, high = loads.ping_us(site, seconds)
    return {
        "packet_ns": loads.packet_ns(site, seconds / 2),
        "tcp_gbits": loads.tcp_gbits(site, seconds),
        "udp_kpps": loads.udp_kpps(site, seconds),
        "snat_conns": loads.snat_connections(site, seconds),
        "floating_conns": loads.floating_connections(site, seconds, variant.floating),
        "ping_us": median,
        "ping_p99_us": high,
    }


def _described(name: str, figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    own, bare = figures[name], figures["bare"]
    return {
        "name": name,
        "figures": {what: report.summary(values) for what, values in own.items()},
        "ratio_to_bare": {what: report.ratio(own[what], bare[what]) for what in own},
    }


def shown(result: dict[str, Any]) -> Sequence[str]:
    """Return the tables of a result: medians, then ratios to bare forwarding."""
    medians = [
        {"median": item["name"]} | {what: item["figures"][what]["median"] for what in _UNITS}
        for item in result["variants"]
    ]
    ratios = [
        {"ratio to bare": item["name"]} | {what: item["ratio_to_bare"][what] for what in _UNITS}
        for item in result["variants"]
    ]
    return [report.table(medians), report.table(ratios)]
