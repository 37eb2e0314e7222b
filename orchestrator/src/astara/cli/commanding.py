"""The commands that have something done: poll, update, rebuild, debug, manage, reload.

Decides how reports are printed; each is, also one that says why nothing was done.
"""

import argparse
import sys
import typing

from .. import clock
from ..api import messages
from ..worker import control_protocol as worker
from . import base, exits, showing

SWITCHED_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.5
_KINDS = {"router": "router", "loadbalancer": "loadbalancer", "resource": ""}


def tell(reports: tuple[messages.Report, ...]) -> int:
    """Print reports; give the exit status: the worst of them."""
    status = 0
    for report in reports:
        where = f"{report.node}: " if report.node else ""
        if report.done:
            print(f"{where}{report.text}")
        else:
            print(f"astara-ctl: {where}{report.text} [{report.code}]", file=sys.stderr)
            status = max(status, exits.status_of(report))
        for detail in report.details:
            print(f"  {detail}")
    return status


class _Telling(base.Command):
    """A command whose reports are printed."""

    def _tell(self, command: messages.Command, driver: str = "") -> int:
        return tell(self.everyone.command(command, driver))


class Poll(_Telling):
    """Look at every router and load balancer now."""

    examples = ("poll",)

    def take_action(self, _parsed: argparse.Namespace) -> int:
        """Send it."""
        return self._tell(messages.Command("poll", by=exits.who()))


class WorkersDebug(_Telling):
    """Have every worker write a report to its log; prints a summary of each."""

    examples = ("workers debug",)

    def take_action(self, _parsed: argparse.Namespace) -> int:
        """Send it."""
        return self._tell(messages.Command("workers-debug", by=exits.who()))


class ConfigReload(_Telling):
    """Have every node read its configuration files again; says which options changed."""

    examples = ("config reload",)

    def take_action(self, _parsed: argparse.Namespace) -> int:
        """Send it."""
        return self._tell(messages.Command("config-reload", by=exits.who()))


class GlobalDebug(_Telling):
    """Enable or disable the global debug mode: while it holds, nothing is done to anything."""

    examples = (
        'global debug enable --reason "moving the management network"',
        "global debug disable",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the word and the reason."""
        parser = super().get_parser(prog_name)
        parser.add_argument("status", choices=["enable", "disable"])
        parser.add_argument("--reason", default="", help="why, for your colleagues")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Send it."""
        name = f"global-debug-{parsed.status}"
        return self._tell(messages.Command(name, reason=parsed.reason, by=exits.who()))


class TenantDebug(_Telling):
    """Put all resources of a tenant into debug mode: nothing is done to them."""

    examples = ('tenant debug 3f0c... --reason "case 4711"',)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the tenant and the reason."""
        parser = super().get_parser(prog_name)
        parser.add_argument("tenant", help="id of the project")
        parser.add_argument("--reason", default="", help="why, for your colleagues")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Send it."""
        command = messages.Command("tenant-debug", parsed.tenant, None, parsed.reason, exits.who())
        return self._tell(command)


class TenantManage(_Telling):
    """End the debug mode of a tenant; resources in debug mode of their own stay in it."""

    examples = ("tenant manage 3f0c...",)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the tenant."""
        parser = super().get_parser(prog_name)
        parser.add_argument("tenant", help="id of the project")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Send it."""
        return self._tell(messages.Command("tenant-manage", parsed.tenant, by=exits.who()))


class _About(_Telling):
    """A command about one resource."""

    kind: str
    verb: str
    many = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the resource, and what the verb needs."""
        parser = super().get_parser(prog_name)
        also = "; '*' means all, 'error' all that are in error" if self.many else ""
        parser.add_argument("id", help=f"id, or name where it is unambiguous{also}")
        if self.verb == "debug":
            parser.add_argument("--reason", default="", help="why, for your colleagues")
        if self.verb == "rebuild":
            parser.add_argument(
                "--image",
                "--image_uuid",
                "--router_image_uuid",
                metavar="ID",
                help="Glance image to boot in place of the configured one; it is used until the "
                "next rebuild command or the restart of the worker",
            )
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Send it."""
        command = messages.Command(
            f"resource-{self.verb}",
            parsed.id,
            getattr(parsed, "image", None),
            getattr(parsed, "reason", ""),
            exits.who(),
        )
        if self.verb != "switchover":
            return self._tell(command, _KINDS[self.kind])
        reports = self.everyone.command(command, _KINDS[self.kind])
        return tell(reports) or self._await_switch(reports[0].resource)

    def _await_switch(self, before: worker.ResourceLine | None) -> int:
        """Wait until another appliance than before says that it is active."""
        if before is None:
            return 0
        deadline = clock.SYSTEM.monotonic() + SWITCHED_WITHIN_S
        while clock.SYSTEM.monotonic() < deadline:
            active = showing.active_of(self.everyone.resource(before.id).resource)
            if active not in ("", showing.active_of(before)):
                print(f"appliance {active} is active now")
                return 0
            clock.SYSTEM.sleep(_LOOK_EVERY_S)
        text = f"the same appliance is active after {SWITCHED_WITHIN_S:g} s: see show {before.id}"
        print(f"astara-ctl: {text}", file=sys.stderr)
        return exits.EXIT_REFUSED


_TEXTS = {
    "update": "Bring a {} to what Neutron wants now, as after an event.",
    "rebuild": "Replace the server of a {}, healthy or not; its traffic stops meanwhile, but that "
    "of a pair, whose servers are replaced one after the other.",
    "switchover": "Have the active appliance of a {} with ha=True hand over to the other one.",
    "debug": "Put a {} into debug mode: nothing is done to it until it is managed again.",
    "manage": "End the debug mode of a {} and reconcile it.",
}
_EXAMPLES = {
    "update": ("{} update my-{}", "{} update '*'"),
    "rebuild": ("{} rebuild my-{}", "{} rebuild error", "{} rebuild my-{} --image 0f3a..."),
    "switchover": ("{} switchover my-{}", "show my-router"),
    "debug": ('{} debug my-{} --reason "looking at its BGP"',),
    "manage": ("{} manage my-{}",),
}


def about_resources() -> dict[str, typing.Any]:
    """Give the classes of `router rebuild`, `resource debug` and so on, by command."""
    table: dict[str, typing.Any] = {}
    for kind in _KINDS:
        for verb, text in _TEXTS.items():
            table[f"{kind} {verb}"] = type(
                f"{kind}_{verb}",
                (_About,),
                {
                    "__doc__": text.format(kind),
                    "kind": kind,
                    "verb": verb,
                    "many": verb in ("update", "rebuild"),
                    "examples": tuple(line.format(kind, kind) for line in _EXAMPLES[verb]),
                },
            )
    return table
