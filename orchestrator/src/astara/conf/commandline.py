"""Which configuration a tool reads: the files named, else `$ASTARA_CONFIG`, else the usual place.

Used by every tool beside the orchestrator itself, which takes oslo.config's own command line.
"""

import argparse
import os

from oslo_config import cfg

from .. import conf as options
from . import validation


class Unreadable(Exception):
    """The configuration cannot be read; the text says why. Exit with `os.EX_CONFIG`."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a tool be told its configuration."""
    parser.add_argument(
        "--config-file",
        action="append",
        metavar="FILE",
        help="configuration of the orchestrator; may be repeated (default: $ASTARA_CONFIG or "
        f"{options.DEFAULT_FILE})",
    )


def read(arguments: argparse.Namespace) -> cfg.ConfigOpts:
    """Parse what `arguments` name. Raises `Unreadable`."""
    usual = os.environ.get("ASTARA_CONFIG") or options.DEFAULT_FILE
    try:
        return options.parse(arguments.config_file or [usual])
    except (cfg.Error, OSError, validation.InvalidConfiguration) as fault:
        raise Unreadable(str(fault)) from fault
