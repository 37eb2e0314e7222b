"""Write docs/benchmarks.md from the results that were kept: goals, tables, what was measured on.

Decides whether a goal is met, by the figures alone. Pure but for `write`. Called by `__main__`,
after a run and for `--page`, and by a test that holds the page against the results.
"""

import dataclasses
import importlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from . import report

PAGE = pathlib.Path(__file__).parents[1] / "docs/benchmarks.md"
MANY = 10000
_HEAD = """# Benchmarks

Written by `make bench` from `bench/results/*.json`; `make bench ARGS=--page` writes it again
without measuring. `make bench QUICK=1` takes two minutes and keeps nothing. Root is needed;
everything runs in namespaces that end with it.

All variants of a topic take turns within each round, in one run on one machine. Ratios are
formed within a round and their median is taken, so that what the machine did to a whole round
cancels out. veth pairs have no wire: what is compared is the work of the processor. Neutron is
neutron-l3-agent's own code (PyPI) building the same router in its namespace, without the
message bus, rootwrap and Open vSwitch, which is in its favour.
"""
_TOPICS = {
    "forwarding": """## Forwarding

`bare` forwards and does nothing else: no rule, no connection tracking. `masquerade` is the
least that a router with NAT can do. `astara-N` is what the appliance builds for N floating IPs,
`linear-N` the same policy with two rules for each floating IP instead of maps, `neutron-N` what
Neutron's L3 agent builds.
""",
    "apply": """## Time to apply

Each maker of rules by itself, in one process. "nothing to all": the first configuration of a
router; "one more": a floating IP is added to that; "zero to all, live": all at once on a router
that forwards already.
""",
    "agent": """## The whole appliance

A push through the API of the real agent, from request to answer: validation, dry-run by each
daemon's checker, differences, apply, verification, the file on disk. In plaintext: mutual TLS
adds 2 ms of processor on either side. Memory is what its processes take two seconds after the last
push of that size, when the agent has given back what that needed.
""",
    "dhcp": """## DHCP and DNS

N reservations that all hold leases; beyond 1,500 several dnsmasq share them. Hosts are added one
after the other, while a client asks for names 200 times a second and another renews leases 10
times a second, forty times as often as 10,000 hosts with leases of a day do. An
answer later than 1 s counts as lost.
""",
    "failover": """## Failover

Two appliances of one router with real agents, keepalived and conntrackd. Through each fault of
the active one a machine pings the outside every 10 ms by SNAT and two TCP connections are held;
the kernels take up no connection in its middle. Silence is the longest gap between two answers.
""",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """One promise and what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


def text(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page for the results by topic."""
    parts = [_HEAD, "## Goals\n", _goals(list(goals(results))), ""]
    for topic, told in _TOPICS.items():
        if topic in results:
            parts += [told, *_tables(topic, results[topic]), _machine(results[topic]["machine"])]
    return "\n".join(parts).rstrip() + "\n"


def goals(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Goal]:
    """Give every goal whose topic was measured with as many floating IPs or hosts as it names."""
    if "forwarding" in results:
        yield from _forwarding(results["forwarding"])
    if "apply" in results:
        yield from _apply(results["apply"])
    if "agent" in results:
        yield from _agent(results["agent"])
    if "dhcp" in results:
        yield from _dhcp(results["dhcp"])
    if "failover" in results:
        yield from _failover(results["failover"])


def read(directory: pathlib.Path = report.RESULTS) -> dict[str, Any]:
    """Return the kept results by topic; those that other programs keep are left out."""
    paths = {topic: directory / f"{topic}.json" for topic in _TOPICS}
    return {topic: json.loads(path.read_text()) for topic, path in paths.items() if path.exists()}


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(read()))


def _forwarding(result: Mapping[str, Any]) -> Iterator[Goal]:
    for item in result["variants"]:
        if item["name"] == f"astara-{MANY}":
            share = item["ratio_to_bare"]["tcp_gbits"]
            what = f"throughput of bare forwarding, {MANY:,} floating IPs"
            yield Goal(what, "at least 95 %", f"{share:.1%}", share >= 0.95)


def _apply(result: Mapping[str, Any]) -> Iterator[Goal]:
    spent = {(i["what"], i["floating_ips"], i["change"]): i["median"] for i in result["figures"]}
    for change, most in (("nothing to all", 1000), ("one more", 50)):
        parts = [
            spent.get((f"{name} driver", MANY, change)) for name in ("firewall", "interfaces")
        ]
        if None not in parts:
            total = sum(part for part in parts if part is not None)
            what = f"{change}, {MANY:,} floating IPs: rules and addresses"
            yield Goal(what, f"< {most} ms", f"{total:.0f} ms", total < most)


def _agent(result: Mapping[str, Any]) -> Iterator[Goal]:
    spent = {(item["floating_ips"], item["change"]): item["median"] for item in result["figures"]}
    for count, change, most in (
        (MANY, "nothing to all", 1000),
        (1000, "one more", 50),
        (MANY, "one more", 50),
    ):
        if (count, change) in spent:
            value = spent[count, change]
            what = f"{change}, {count:,} floating IPs: a whole push"
            yield Goal(what, f"< {most} ms", f"{value:.0f} ms", value < most)
    for item in result["memory"]:
        if item["floating_ips"] == MANY:
            size = item["agent_rss_mib"]
            what = f"agent resident, {MANY:,} floating IPs"
            yield Goal(what, "< 60 MiB", f"{size:.1f} MiB", size < 60)


def _dhcp(result: Mapping[str, Any]) -> Iterator[Goal]:
    for item in result["figures"]:
        if item["hosts"] == MANY:
            took = item["one_more_until_answered"]["median"]
            what = f"DHCP and DNS reloaded and answering, {MANY:,} hosts"
            yield Goal(what, "< 1000 ms", f"{took:.0f} ms", took < 1000)
            lost = item["dns"]["lost"] + item["renewals"]["lost"]
            lost += item["leases_before"] - item["leases_after"]
            asked = item["dns"]["asked"] + item["renewals"]["asked"]
            what = "queries, renewals and leases lost meanwhile"
            yield Goal(what, "none", f"{lost} of {asked}", lost == 0)


def _failover(result: Mapping[str, Any]) -> Iterator[Goal]:
    faults, rounds = result["faults"], result["rounds"]
    for name in ("crash, links go down", "all processes killed"):
        worst = faults[name]["silence_ms"]["p99"]
        yield Goal(f"silence at p99, {name}", "< 1000 ms", f"{worst:.0f} ms", worst < 1000)
    lost = faults["planned switchover"]["lost"]["max"]
    yield Goal("packets lost by a switchover", "at most 1", f"{lost:.0f}", lost <= 1)
    held, all_of = sum(f["connections_held"] for f in faults.values()), rounds * len(faults)
    yield Goal("connections held in all faults", "all", f"{held} of {all_of}", held == all_of)


def _goals(found: list[Goal]) -> str:
    rows = [
        f"| {goal.what} | {goal.wanted} | {goal.measured} | {'met' if goal.met else 'missed'} |"
        for goal in found
    ]
    return "\n".join(["| what | goal | measured | |", "| --- | --- | --- | --- |", *rows])


def _tables(topic: str, result: Mapping[str, Any]) -> Iterator[str]:
    for shown in importlib.import_module(f"bench.{topic}").shown(result):
        yield f"```\n{shown}\n```\n"
    told = result.get("units") or result.get("rows")
    if told:
        yield "\n".join(f"- `{name}`: {meaning}" for name, meaning in told.items()) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    keys = ("system", "kernel", "processor", "memory_gib", "commit", "taken_at", "load_average")
    told = ", ".join(f"{key.replace('_', ' ')} {machine[key]}" for key in keys)
    return f"Measured on {machine['cores']} cores: {told}.\n"
