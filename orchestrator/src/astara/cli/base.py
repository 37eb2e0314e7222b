"""What commands share: the nodes, times for people, the help texts with examples.

Decides nothing. Used by the commands beside it.
"""

import argparse
import sys
import typing

from cliff import command, lister

from .. import clock
from ..api import cluster
from . import exits

if typing.TYPE_CHECKING:
    from oslo_config import cfg

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"))


def age(since: float | None) -> str:
    """Give the time since a moment in at most two units, `3d4h`, `5m20s`, `7s`."""
    if not since:
        return ""
    left = max(0, int(clock.SYSTEM.wall() - since))
    parts: list[str] = []
    for size, unit in _STEPS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    if left or not parts:
        parts.append(f"{left}s")
    return "".join(parts[:2])


def short(text: str, width: int) -> str:
    """Cut a text to a width."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


class _Common:
    app: typing.Any
    examples: tuple[str, ...] = ()

    @property
    def everyone(self) -> cluster.Cluster:
        """The nodes."""
        everyone: cluster.Cluster = self.app.everyone
        return everyone

    @property
    def configuration(self) -> "cfg.ConfigOpts":
        """The orchestrator's configuration; raises `exits.Refused`."""
        configuration: cfg.ConfigOpts = self.app.configuration
        return configuration

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; what cannot be done is one line on stderr and an exit status."""
        try:
            return int(super().run(parsed_args) or 0)  # type: ignore[misc]
        except exits.Refused as refusal:
            print(f"astara-ctl: {refusal}", file=sys.stderr)
            return refusal.status
        except cluster.Refused as refusal:
            print(f"astara-ctl: {refusal} [{refusal.report.code}]", file=sys.stderr)
            return exits.status_of(refusal.report)

    def get_epilog(self) -> str:
        """Give the examples for --help."""
        if not self.examples:
            return ""
        return "examples:\n" + "\n".join(f"  astara-ctl {line}" for line in self.examples)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give the parser; examples keep their lines."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)  # type: ignore[misc]
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser


class Command(_Common, command.Command):
    """A command that prints by itself."""


class Lister(_Common, lister.Lister):
    """A command that prints a table, or JSON, YAML, CSV by -f."""
