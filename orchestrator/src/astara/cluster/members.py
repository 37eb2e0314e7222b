"""Read from a list of group members which nodes share the work; pure.

Decides who counts: members that carry our mark; others are foreign and ignored. Two nodes that
call themselves by the same name would both own the same resources, so all but one of them count
for nothing, and are told so. Called by the coordinator.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

MARK = "astara-orchestrator"  # the key of our capabilities that foreign members lack


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One process that is a member of the group for a node."""

    host: str
    node_id: str
    points: int  # on the ring, per node


def to_capabilities(member: Member) -> dict[str, Any]:
    """Write what a member tells about itself."""
    return {MARK: 1, "host": member.host, "node": member.node_id, "points": member.points}


def from_capabilities(told: object) -> Member | None:
    """Read what a member tells about itself; None if it is not one of ours."""
    if not isinstance(told, Mapping) or MARK not in told:
        return None
    host, node_id, points = told.get("host"), told.get("node"), told.get("points")
    if isinstance(host, str) and isinstance(node_id, str) and isinstance(points, int):
        return Member(host, node_id, points)
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
    """The nodes that share the work, and what an operator has to put right."""

    hosts: frozenset[str]
    faults: tuple[str, ...]
    counts: bool  # whether this node is one of them


def census(present: Iterable[Member], own: Member) -> Census:
    """Count the nodes, from the point of view of one of them."""
    everyone = set(present)
    namesakes = {each.node_id for each in everyone if each.host == own.host} | {own.node_id}
    faults = []
    counts = own in everyone
    if len(namesakes) > 1:
        faults.append(f"another node calls itself {own.host}: give each its own [DEFAULT] host")
        counts = counts and own.node_id == min(namesakes)
    odd = sorted({each.host for each in everyone if each.points != own.points})
    if odd:
        faults.append(
            f"hash_partition_exponent of {', '.join(odd)} differs from that of this node"
        )
    return Census(frozenset(each.host for each in everyone), tuple(faults), counts)
