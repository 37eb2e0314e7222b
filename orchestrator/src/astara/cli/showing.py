"""The commands that only look: lists, one resource, nodes, workers, documents, console.

Decides how views are written; must never change anything.
"""

import argparse
import difflib
import sys
import typing
from collections.abc import Iterable, Sequence

import msgspec

from ..api import messages
from ..machine import instance_port
from ..worker import control_protocol as worker
from . import base
from .base import age, short

Row = tuple[typing.Any, ...]
Table = tuple[Sequence[str], Iterable[Row]]
_MACHINE = frozenset({"json", "yaml", "csv"})
ERROR_WIDTH = 60


def warn(faults: Iterable[str]) -> None:
    """Say on stderr what is missing from what was printed."""
    for fault in faults:
        print(f"astara-ctl: incomplete: {fault}", file=sys.stderr)


class List(base.Lister):
    """List all routers and load balancers of all nodes."""

    examples = (
        "list",
        "list --state error --long",
        "list --debug -f json",
        "list --tenant 3f0c... --sort-column Since",
    )
    _columns = (
        "ID",
        "Name",
        "Tenant",
        "Kind",
        "State",
        "Since",
        "Doing",
        "Attempts",
        "Node",
        "Debug",
        "Last error",
    )
    _more = ("Worker", "Active", "Address", "Server", "Generation", "Applied", "Digest")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="more columns")
        parser.add_argument("--state", help="only instances in that state, e.g. error, booting")
        parser.add_argument("--tenant", metavar="ID", help="only resources of that tenant")
        parser.add_argument("--node", metavar="HOST", help="only resources of that node")
        parser.add_argument("--kind", choices=["router", "loadbalancer"], help="only these")
        parser.add_argument("--debug", action="store_true", help="only what is in debug mode")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> Table:
        """Give the table."""
        everything = self.everyone.resources()
        warn(everything.faults)
        wanted = {
            "instance": parsed.state,
            "tenant_id": parsed.tenant,
            "node": parsed.node,
            "driver": parsed.kind,
        }
        lines = [
            line
            for line in everything.resources
            if all(value in (None, getattr(line, key)) for key, value in wanted.items())
            and (line.debug or not parsed.debug)
        ]
        if not lines:
            print("astara-ctl: nothing to list", file=sys.stderr)
        long = parsed.long or parsed.formatter in _MACHINE
        columns = self._columns + (self._more if long else ())
        return columns, [self._row(line, long=long) for line in lines]

    def _row(self, line: worker.ResourceLine, *, long: bool) -> Row:
        row: Row = (
            line.id,
            line.name,
            line.tenant_id,
            line.driver,
            line.instance,
            age(line.since),
            doing(line),
            line.attempts,
            line.node,
            line.debug,
            line.error if long else short(line.error, ERROR_WIDTH),
        )
        if long:
            row += (
                line.worker,
                active_of(line),
                line.address,
                line.server_id,
                line.generation,
                line.applied_generation,
                line.digest,
            )
        return row


def doing(line: worker.ResourceLine) -> str:
    """Say in a few words what is being done to a resource."""
    if line.phase == "idle":
        return "-"
    if line.phase == "held":
        return f"held: {line.held}"
    text = f"{line.action or ','.join(line.pending)} {line.state}".strip()
    if line.wakes_in_s is not None:
        text += f", again in {line.wakes_in_s:.0f}s"
    return text


class Show(base.Command):
    """Show one router or load balancer: state, history of transitions, ports, last error."""

    examples = ("show my-router", "show 8a1f... -f json")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the resource."""
        parser = super().get_parser(prog_name)
        parser.add_argument("resource", help="id, or name where it is unambiguous")
        parser.add_argument("-f", "--format", choices=["text", "json"], default="text")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Print it."""
        detail = self.everyone.resource(self.everyone.resolve(parsed.resource))
        if parsed.format == "json":
            print(as_json(detail))
        else:
            print("\n".join(describe(detail)))
        return 0


def as_json(value: typing.Any) -> str:
    """Give anything as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def describe(detail: worker.ResourceDetail) -> list[str]:
    """Give a resource as lines of text."""
    line = detail.resource
    current = "yes" if line.generation == line.applied_generation != "" else "no"
    facts = {
        line.driver: f"{line.id}  {line.name}",
        "tenant": line.tenant_id,
        "state": f"{line.instance} since {age(line.since)}",
        "answering": "yes" if line.answering else "no",
        "doing": doing(line),
        "pending": ", ".join(line.pending),
        "owner": f"node {line.node}, worker {line.worker}",
        "debug": f"{line.debug} {line.debug_reason}".strip(),
        "attempts": str(line.attempts),
        "last error": f"{line.error} ({age(line.error_at)} ago)" if line.error else "",
        **({} if line.members else {"server": line.server_id, "address": line.address}),
        "generation": f"{line.generation}, applied: {current}" if line.generation else "",
        "digest": line.digest,
    }
    lines = [f"{name + ':':13}{value}" for name, value in facts.items() if value]
    if line.members:
        lines.append("appliances (a pair):")
    lines.extend(f"  {member_line(member)}" for member in line.members)
    if detail.ports:
        lines.append("ports:")
    for port in detail.ports:
        addresses = " ".join(port.addresses)
        lines.append(
            f"  {port.use:11}{port.id}  {port.mac_address:17}  "
            f"network {port.network_id}  {addresses}".rstrip()
        )
    lines.append("history (oldest first):")
    lines.extend(f"  {move_line(move)}" for move in detail.moves)
    return lines


def member_line(member: instance_port.MemberView) -> str:
    """Give one appliance of a pair as a line: which, role, state, where."""
    silent = "" if member.answering else "  silent"
    note = f"  {member.note}" if member.note else ""
    return (
        f"{member.index}  {member.role or '-':7}{member.state:15}{member.address or '-'}  "
        f"server {member.server_id or '-'}{silent}{note}"
    )


def active_of(line: worker.ResourceLine) -> str:
    """Say which appliance of a pair is active, by its number; empty for one alone."""
    return ",".join(str(each.index) for each in line.members if each.role == "master")


def move_line(move: worker.MoveView) -> str:
    """Give one line of the history."""
    times = f" x{move.count}" if move.count > 1 else ""
    error = f"\n      {move.error}" if move.error else ""
    begun = f"{age(move.at)}-" if age(move.at) != age(move.until) else ""
    return (
        f"{begun + age(move.until):>11} ago  {move.state} -> {move.next}{times}"
        f"  [{move.action}, {move.instance}]  {move.reason}{error}"
    )


class Nodes(base.Lister):
    """List the nodes of the cluster."""

    examples = ("node list", "node list -f json")

    def take_action(self, _parsed: argparse.Namespace) -> Table:
        """Give the table."""
        nodes, faults = self.everyone.nodes()
        warn([*faults, *(fault for node in nodes for fault in node.faults)])
        columns = ("Host", "Version", "Up", "Workers", "Resources", "MiB", "Faults")
        return columns, [_node(node) for node in nodes]


def _node(node: messages.NodeView) -> Row:
    return (
        node.host,
        node.version,
        age(node.started_at),
        len(node.workers),
        sum(each.resources for each in node.workers),
        sum(each.memory_kib for each in node.workers) // 1024,
        "; ".join(node.faults),
    )


class Workers(base.Lister):
    """List the threads of all workers and what they are busy with."""

    examples = ("worker list",)

    def take_action(self, _parsed: argparse.Namespace) -> Table:
        """Give the table."""
        nodes, faults = self.everyone.nodes()
        warn([*faults, *(fault for node in nodes for fault in node.faults)])
        columns = ("Node", "Worker", "PID", "Thread", "Alive", "Busy with", "For")
        rows = [
            (
                node.host,
                each.number,
                each.pid,
                thread.name,
                "yes" if thread.alive else "NO",
                thread.resource_id or "-",
                f"{thread.seconds:.1f}s",
            )
            for node in nodes
            for each in node.workers
            for thread in each.threads
        ]
        return columns, rows


class DebugModes(base.Lister):
    """List what is in debug mode, since when, by whom and why."""

    examples = ("debug list",)

    def take_action(self, _parsed: argparse.Namespace) -> Table:
        """Give the table."""
        modes = self.everyone.debug_modes()
        if not modes:
            print("astara-ctl: nothing is in debug mode", file=sys.stderr)
        columns = ("Scope", "ID", "For", "By", "Reason")
        rows = [(m.scope, m.subject, age(m.since), m.by, m.reason) for m in modes]
        return columns, rows


class Diff(base.Command):
    """Compare the desired configuration with the one its appliance has committed.

    Exit status 0: they are the same; 1: they differ (as `diff` does). Secrets are hidden.
    """

    examples = ("diff my-router", "diff 8a1f... > changes.patch")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the resource."""
        parser = super().get_parser(prog_name)
        parser.add_argument("resource", help="id, or name where it is unambiguous")
        parser.add_argument("--context", type=int, default=3, help="lines around a difference")
        parser.add_argument(
            "--member", type=int, choices=[0, 1], default=0, help="which appliance of a pair"
        )
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Print the difference."""
        found = self.everyone.documents(self.everyone.resolve(parsed.resource), parsed.member)
        if found.committed is None:
            print("the appliance has no committed configuration yet", file=sys.stderr)
        lines = difflib.unified_diff(
            (found.committed or "").splitlines(),
            found.desired.splitlines(),
            f"committed {found.committed_digest}",
            f"desired {found.desired_digest}",
            n=parsed.context,
            lineterm="",
        )
        text = "\n".join(lines)
        if text:
            print(text)
        elif found.committed_digest != found.desired_digest:
            print("only a secret or the spelling of a default differs", file=sys.stderr)
        else:
            print(f"no difference: both are {found.desired_digest}", file=sys.stderr)
        return int(bool(text) or found.committed_digest != found.desired_digest)


class Logs(base.Command):
    """Print the last lines of the console of an appliance's server, by Nova."""

    examples = ("logs my-router", "logs my-router --lines 500")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the resource."""
        parser = super().get_parser(prog_name)
        parser.add_argument("resource", help="id, or name where it is unambiguous")
        parser.add_argument("--lines", type=int, default=100)
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Print it."""
        print(self.everyone.console(self.everyone.resolve(parsed.resource), parsed.lines))
        return 0
