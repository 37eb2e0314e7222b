"""Be `astara-ctl`: read the orchestrator's configuration, know the commands, reach the nodes.

Never opens a connection for `--help`. Commands know nothing of this module: they find the
application as their `app` (`base`).
"""

import argparse
import logging
import os
import sys
import typing
from collections.abc import Sequence
from importlib import metadata

from cliff import app, commandmanager
from oslo_config import cfg

from astara_contract import structs

from ..api import cluster
from ..conf import commandline
from . import browsing, commanding, exits, login, showing


class Shell(app.App):
    """The command line application."""

    def __init__(self) -> None:
        super().__init__(
            description="Watch and command a running astara-orchestrator.",
            version=metadata.version("astara"),
            command_manager=commands(),
            deferred_help=True,
        )
        self._everyone: cluster.Cluster | None = None
        self._conf: cfg.ConfigOpts | None = None

    def build_option_parser(
        self, description: str, version: str, argparse_kwargs: typing.Any = None
    ) -> argparse.ArgumentParser:
        """Add our own options to cliff's."""
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version, {"prog": "astara-ctl", **(argparse_kwargs or {})}
        )
        commandline.add_option(parser)
        parser.add_argument(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="how long a node has to answer (default: command_timeout of the configuration)",
        )
        return parser

    def configure_logging(self) -> None:
        """Log to stderr: warnings, or more with -v, or everything with --debug."""
        levels = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}
        level = levels.get(self.options.verbose_level, logging.DEBUG)
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
        )

    @property
    def configuration(self) -> cfg.ConfigOpts:
        """The parsed configuration; raises `exits.Refused`."""
        if self._conf is None:
            try:
                self._conf = commandline.read(self.options)
            except commandline.Unreadable as fault:
                raise exits.Refused(str(fault), os.EX_CONFIG) from fault
        return self._conf

    @property
    def everyone(self) -> cluster.Cluster:
        """The nodes."""
        if self._everyone is None:
            from ..api import rpc  # heavy: only commands that ask somebody pay for it

            conf = self.configuration
            timeout_s = self.options.timeout or conf.command_timeout
            try:
                self._everyone = cluster.Cluster(rpc.Caller(conf, timeout_s))
            except rpc.NoBroker as fault:
                raise exits.Refused(str(fault), os.EX_CONFIG) from fault
        return self._everyone

    def run(self, argv: list[str]) -> int:
        """Run; cliff would print errors in its own way."""
        if not argv:
            argv = ["help"]
        return int(super().run(argv) or 0)


def commands() -> commandmanager.CommandManager:
    """Give the table of commands."""
    manager = commandmanager.CommandManager("astara.cli.none")
    table: dict[str, typing.Any] = {
        "list": showing.List,
        "show": showing.Show,
        "node list": showing.Nodes,
        "worker list": showing.Workers,
        "debug list": showing.DebugModes,
        "diff": showing.Diff,
        "logs": showing.Logs,
        "ssh": login.Ssh,
        "browse": browsing.Browse,
        "poll": commanding.Poll,
        "workers debug": commanding.WorkersDebug,
        "config reload": commanding.ConfigReload,
        "global debug": commanding.GlobalDebug,
        "tenant debug": commanding.TenantDebug,
        "tenant manage": commanding.TenantManage,
    }
    table |= commanding.about_resources()
    for name, command in table.items():
        manager.add_command(name, command)
    return manager


def main(argv: Sequence[str] | None = None) -> int:
    """Run `astara-ctl`."""
    structs.prepare()
    return Shell().run(list(sys.argv[1:] if argv is None else argv))
