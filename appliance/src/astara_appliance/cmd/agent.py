"""`astara-appliance`: the agent. It brings the management NIC up and serves the API on it.

Needs what astara-configure-management left in the state directory, or a config drive. Runs in the
foreground until SIGTERM; daemons that it started live on. Whoever started it starts it again when
it ends.
"""

import argparse
import logging
import pathlib
import sys
from typing import TYPE_CHECKING

from .. import assembly, logs
from ..api import server
from ..system import config_drive, management, management_nic, memory, netlink, privileges, tls
from ..system.paths import Paths

if TYPE_CHECKING:
    from astara_contract import tls as contract

LOG = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the agent; return the exit status."""
    options = _parse(argv)
    memory.settle()
    logs.start("agent")
    paths = Paths.under(options.root) if options.root else Paths()
    for directory, mode in (
        (paths.state_dir, 0o700),
        (paths.run_dir, 0o755),
        (paths.log_dir, 0o755),
    ):
        directory.mkdir(parents=True, exist_ok=True, mode=mode)
    try:
        settings = _settings(paths)
        if settings is None:
            print(
                "astara-appliance: not configured: run astara-configure-management first",
                file=sys.stderr,
            )
            return 2
        logs.start("agent", as_json=settings.log_json, router_id=settings.router_id)
        management.check(settings)
        keeper = tls.Gatekeeper(paths.run_dir, _bundle(paths, required=settings.tls))
        # From here on no drive is mounted, and nothing else is done that is not a driver's.
        privileges.give_up()
        device = management_nic.bring_up(settings)
        listeners = server.open_listeners(settings, device)
    except (
        management.ManagementError,
        config_drive.ConfigDriveError,
        netlink.NetlinkRefused,
        tls.BundleError,
        OSError,
    ) as error:
        print(f"astara-appliance: {error}", file=sys.stderr)
        return 1
    server.serve(listeners, lambda: assembly.assemble(paths, settings.mac, keeper), keeper)
    return 0


def _settings(paths: Paths) -> management.Management | None:
    """Return what boot left, or what the config drive says if that is lost or damaged."""
    settings = management.load(paths.state_dir)
    if settings is None:
        boot = config_drive.read(config_drive.MOUNTED_AT)
        settings = boot.management if boot is not None else None
        if settings is not None:
            management.save(paths.state_dir, settings)
    return settings


def _bundle(paths: Paths, *, required: bool) -> "contract.Bundle | None":
    """Return the newest certificate that there is; None if boot gave none: then plaintext.

    Whoever writes the user data decides, and rules this appliance anyhow.
    """
    bundle = tls.load(paths.run_dir)
    if bundle is None:
        boot = config_drive.read(config_drive.MOUNTED_AT)
        bundle = boot.tls if boot is not None else None
        if bundle is not None:
            tls.save(paths.run_dir, bundle)
    if bundle is None and required:
        raise tls.BundleError(
            "booted with a certificate, which is lost: attach the config drive, or rebuild"
        )
    if bundle is None:
        LOG.warning("tls.off reason=%s", "the user data has no certificate")
    return bundle


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="astara-appliance", description=__doc__)
    parser.add_argument(
        "--root", type=pathlib.Path, default=None, help="keep all files below this directory"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
