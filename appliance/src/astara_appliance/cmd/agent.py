"""`astara-appliance`: the agent. It has the management NIC brought up and serves the API on it.

This process stays the arbiter of gunicorn for good, so it imports little: a child does the netlink
part, the worker has the drivers.

Needs what astara-configure-management left in the state directory. Runs in the foreground until
SIGTERM; daemons that it started live on.
"""

import argparse
import logging
import pathlib
import sys

from ..api import server
from ..system import management, process
from ..system.paths import Paths


def main(argv: list[str] | None = None) -> int:
    """Run the agent; return the exit status."""
    options = _parse(argv)
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
        device = _bring_up(options.root)
        listeners = server.open_listeners(settings, device)
    except (process.CommandFailed, OSError) as error:
        print(f"astara-appliance: {error}", file=sys.stderr)
        return 1
    server.Server(paths, listeners, settings.mac).run()
    return 0


def _bring_up(root: pathlib.Path | None) -> str:
    """Bring the management NIC up and return its device name."""
    module = "astara_appliance.cmd.configure_management"
    where = ["--root", str(root)] if root else []
    shown = process.run([sys.executable, "-m", module, "--again", *where], timeout_s=30)
    return shown.stdout.split()[0]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="astara-appliance", description=__doc__)
    parser.add_argument(
        "--root", type=pathlib.Path, default=None, help="keep all files below this directory"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
