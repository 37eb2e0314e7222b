"""`astara-appliance`: the agent. It brings the management NIC up and serves the API on it.

Needs what astara-configure-management left in the state directory. Runs in the foreground until
SIGTERM; daemons that it started live on. Whoever started it starts it again when it ends.
"""

import argparse
import logging
import pathlib
import sys

from .. import assembly
from ..api import server
from ..system import management, management_nic, memory, netlink
from ..system.paths import Paths


def main(argv: list[str] | None = None) -> int:
    """Run the agent; return the exit status."""
    options = _parse(argv)
    memory.settle()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    paths = Paths.under(options.root) if options.root else Paths()
    for directory, mode in (
        (paths.state_dir, 0o700),
        (paths.run_dir, 0o755),
        (paths.log_dir, 0o755),
    ):
        directory.mkdir(parents=True, exist_ok=True, mode=mode)
    settings = management.load(paths.state_dir)
    if settings is None:
        print(
            "astara-appliance: not configured: run astara-configure-management first",
            file=sys.stderr,
        )
        return 2
    try:
        management.check(settings)
        device = management_nic.bring_up(settings)
        listeners = server.open_listeners(settings, device)
    except (management.ManagementError, netlink.NetlinkRefused, OSError) as error:
        print(f"astara-appliance: {error}", file=sys.stderr)
        return 1
    server.serve(listeners, lambda: assembly.assemble(paths, settings.mac))
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="astara-appliance", description=__doc__)
    parser.add_argument(
        "--root", type=pathlib.Path, default=None, help="keep all files below this directory"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
