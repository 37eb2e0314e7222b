"""Log in to an appliance over the management network, with the operator's own ssh.

Decides the command line of ssh; the process becomes ssh, so that its exit status is ours.
"""

import argparse
import os
import pathlib
import typing

from . import base, exits

if typing.TYPE_CHECKING:
    from oslo_config import cfg

USER = "astara"


def key_of(conf: "cfg.ConfigOpts") -> list[str]:
    """Give ssh's option for the private key beside `ssh_public_key`, if we may read that."""
    private = pathlib.Path(conf.ssh_public_key).with_suffix("")
    return ["-i", str(private)] if os.access(private, os.R_OK) else []


def command_of(address: str, key: list[str], options: list[str]) -> list[str]:
    """Give the command line; appliances come and go, so their keys are not remembered."""
    return [
        "ssh",
        *key,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
        f"{USER}@{address}",
        *options,
    ]


class Ssh(base.Command):
    """Log in to the appliance of a router or load balancer; run it on a node.

    Your ssh agent's keys are tried, and the private key beside the `ssh_public_key` of the
    configuration where you can read it.
    """

    examples = (
        "ssh my-router",
        "ssh my-router -- ip -6 route",
        "ssh my-router -- sudo nft list ruleset",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the resource and the rest."""
        parser = super().get_parser(prog_name)
        parser.add_argument("resource", help="id, or name where it is unambiguous")
        parser.add_argument("rest", nargs=argparse.REMAINDER, help="handed to ssh")
        return parser

    def take_action(self, parsed: argparse.Namespace) -> int:
        """Become ssh."""
        found = self.everyone.resource(self.everyone.resolve(parsed.resource)).resource
        if not found.address:
            raise exits.Refused(f"{found.driver} {found.id} has no management address yet")
        rest = parsed.rest[1:] if parsed.rest[:1] == ["--"] else parsed.rest
        line = command_of(found.address, key_of(self.configuration), rest)
        os.execvp("ssh", line)  # noqa: S606  # a list, no shell
