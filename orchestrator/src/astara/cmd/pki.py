"""Show, replace and retire certificate authorities: `astara-pki --config-file FILE COMMAND`.

Decides only what must not be done: retiring the authority that signs, or one that appliances
still depend on. Reads and writes the database of the configuration, so one node is enough: the
others look every minute. Exit status: 0 done, 1 not done with the reason and the remedy on stderr,
2 wrong arguments.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from oslo_config import cfg

from .. import store
from ..conf import commandline
from ..pki import trust


class Refused(Exception):
    """It is not done; the text says why and what to do."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astara-pki",
        description="Manage the certificate authorities that appliances and the orchestrator "
        "trust. To replace one: rotate; wait until `show` counts no appliance on the old one "
        "(each changes at its next health check); retire it.",
    )
    commandline.add_option(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    verbs.add_parser("show", help="list authorities, and how many appliances each signed for")
    verbs.add_parser("rotate", help="make another authority, which signs from now on")
    retire = verbs.add_parser("retire", help="trust an authority no longer")
    retire.add_argument("number", type=int)
    retire.add_argument(
        "--force", action="store_true", help="appliances that depend on it will be rebuilt"
    )
    export = verbs.add_parser(
        "export",
        help="write client.pem (certificate and key) and authorities.pem for curl: "
        "whoever has them can command every appliance",
    )
    export.add_argument("directory", type=pathlib.Path)
    return parser


def _show(opened: store.Store) -> None:
    found = opened.certificates.authorities()
    if not found:
        print("no authority yet: the first boot of an appliance makes one")
    for each in found:
        certificate = x509.load_pem_x509_certificate(each.certificate.encode())
        digest = certificate.fingerprint(hashes.SHA256()).hex()[:16]
        use = "signs" if each is found[-1] else "trusted"
        print(
            f"{each.number}  {use:7}  {opened.certificates.users(each.number):6} appliances  "
            f"until {certificate.not_valid_after_utc:%Y-%m-%d}  {digest}"
        )


def _retire(opened: store.Store, number: int, *, force: bool) -> None:
    found = [each.number for each in opened.certificates.authorities()]
    if number not in found:
        raise Refused(f"there is no authority {number}; there are {found}")
    if number == found[-1]:
        raise Refused(f"authority {number} signs: make another one first (astara-pki rotate)")
    users = opened.certificates.users(number)
    if users and not force:
        raise Refused(
            f"{users} appliances still depend on authority {number}: wait for their health "
            "checks, or use --force and have those rebuilt"
        )
    opened.certificates.retire_authority(number)
    print(f"authority {number} is trusted no longer")


def _export(own: trust.Trust, directory: pathlib.Path) -> None:
    pair, trusted = own.client()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in (
        ("client.pem", pair.certificate + pair.key),
        ("authorities.pem", trusted),
    ):
        path = directory / name
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)


def _run(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    opened = store.open_store(conf)
    try:
        own = trust.from_conf(conf, opened)
        if own is None:
            raise Refused("[tls] enabled is off")
        match arguments.verb:
            case "show":
                _show(opened)
            case "rotate":
                print(f"authority {own.add_authority()} signs from now on")
            case "retire":
                _retire(opened, arguments.number, force=arguments.force)
            case "export":
                _export(own, arguments.directory)
    finally:
        opened.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    try:
        conf = commandline.read(arguments)
    except commandline.Unreadable as fault:
        print(f"astara-pki: {fault}", file=sys.stderr)
        return os.EX_CONFIG
    try:
        _run(conf, arguments)
    except (Refused, store.StoreError, OSError) as fault:
        print(f"astara-pki: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
