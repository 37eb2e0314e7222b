"""The command that opens the browser; the browser itself is in `browser`."""

import argparse

from . import base, exits, login


class Browse(base.Command):
    """Watch all routers and load balancers of all nodes, live; rebuild, debug, log in by key."""

    examples = ("browse", "browse --interval 5", "browse --filter error")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the interval."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--interval", type=float, default=2.0, help="seconds between looks")
        parser.add_argument("--filter", default="", help="show only lines with these words")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Run it until the user leaves."""
        from .browser import run  # textual is heavy

        key = login.key_of(self.configuration)
        return run(self.everyone, exits.who(), parsed.interval, parsed.filter, key)
