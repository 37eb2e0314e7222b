"""`astara-configure-management`: bring up the management NIC as boot wants it and remember it for
the agent.

    astara-configure-management <mac> <ip/len> [--mtu N]     as cloud-init's bootcmd calls it
    astara-configure-management [--config-drive /mnt]        reads key `astara` of the user data
    astara-configure-management --again                      what was remembered, as the agent does

Prints the device, MAC and addresses. Also installs the operator's ssh keys for the user `astara`,
if that user exists. May be run any number of times.
"""

import argparse
import pathlib
import sys

from ..system import config_drive, management, management_nic, netlink, ssh_keys, tls
from ..system.paths import Paths


def main(argv: list[str] | None = None) -> int:
    """Set up management; return the exit status."""
    options = _parse(argv)
    paths = Paths.under(options.root) if options.root else Paths()
    try:
        boot = None if options.again else config_drive.read(options.config_drive)
        settings = _remembered(paths) if options.again else _settings(options, boot)
        management.check(settings)
        paths.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        management.save(paths.state_dir, settings)
        device = management_nic.bring_up(settings)
        if boot is not None:
            ssh_keys.install(boot.ssh_keys)
            if boot.tls is not None and tls.load(paths.run_dir) is None:
                tls.save(paths.run_dir, boot.tls)
    except (
        management.ManagementError,
        config_drive.ConfigDriveError,
        netlink.NetlinkRefused,
        OSError,
    ) as error:
        print(f"astara-configure-management: {error}", file=sys.stderr)
        return 1
    print(device, settings.mac, *settings.addresses)
    return 0


def _remembered(paths: Paths) -> management.Management:
    settings = management.load(paths.state_dir)
    if settings is None:
        raise management.ManagementError("nothing is remembered")
    return settings


def _settings(
    options: argparse.Namespace, boot: config_drive.BootData | None
) -> management.Management:
    told = boot.management if boot is not None else None
    if options.mac is None:
        if told is None:
            raise management.ManagementError(
                "no arguments, and no user data with the key `astara`"
            )
        return told
    if options.address is None:
        raise management.ManagementError("give the address (ip/len) beside the MAC")
    same = told is not None and told.mac.lower() == options.mac.lower()
    base = (
        told if told is not None and same else management.Management(mac=options.mac, addresses=())
    )
    addresses = tuple(dict.fromkeys((options.address, *base.addresses)))
    return management.Management(
        mac=options.mac.lower(),
        addresses=addresses,
        mtu=options.mtu if options.mtu is not None else base.mtu,
        api_port=base.api_port,
        routes=base.routes,
        tls=told is not None and told.tls,
        router_id=told.router_id if told is not None else "",
        log_json=told is not None and told.log_json,
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="astara-configure-management",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mac", nargs="?", help="MAC address of the management NIC")
    parser.add_argument("address", nargs="?", help="its address with prefix length")
    parser.add_argument("--again", action="store_true", help="use what was remembered")
    parser.add_argument("--mtu", type=int, default=None, help="MTU in bytes (default: leave)")
    parser.add_argument(
        "--config-drive",
        type=pathlib.Path,
        default=config_drive.MOUNTED_AT,
        help="where the config drive is mounted (default: /mnt, else the label config-2)",
    )
    parser.add_argument(
        "--root", type=pathlib.Path, default=None, help="keep all files below this directory"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
