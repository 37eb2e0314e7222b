"""Read what Nova gave this server at boot: the config drive's user data.

The user data is text `#cloud-config` followed by one JSON object (JSON is YAML, so cloud-init
reads it as well); its key `astara` is ours. It never follows anything else in it. Called by
astara-configure-management.
"""

import contextlib
import dataclasses
import json
import logging
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import msgspec

from astara_contract import tls as contract_tls

from . import files, management, process

LOG = logging.getLogger(__name__)

USER_DATA = "openstack/latest/user_data"
MOUNTED_AT = pathlib.Path("/mnt")
LABEL = "config-2"
USER = "astara"


class ConfigDriveError(Exception):
    """The user data is there but is not what it should be; the text says what is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class BootData:
    """What the user data tells us."""

    management: management.Management | None
    ssh_keys: tuple[str, ...]
    tls: contract_tls.Bundle | None = None


def read(mounted_at: pathlib.Path) -> BootData | None:
    """Return the boot data of the drive at `mounted_at`, or of a device labelled config-2; None
    without one.
    """
    text = files.read_file(mounted_at / USER_DATA)
    if text is None:
        with _mounted_by_label() as directory:
            text = files.read_file(directory / USER_DATA) if directory else None
    return None if text is None else parse(text)


def parse(user_data: str) -> BootData:
    """Return the boot data in the text of `user_data`; pure."""
    body = "\n".join(line for line in user_data.splitlines() if not line.startswith("#"))
    try:
        raw = json.loads(body) if body.strip() else {}
    except json.JSONDecodeError as error:
        # Somebody's own cloud-config in YAML: nothing in it is for us.
        LOG.warning("user_data.not_json error=%s", error)
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigDriveError("user data: expected an object")
    ours = raw.get("astara")
    return BootData(
        management=None if ours is None else _management(ours),
        ssh_keys=tuple(_ssh_keys(raw.get("users"))),
        tls=None if not isinstance(ours, dict) or "tls" not in ours else _tls(ours["tls"]),
    )


def _tls(raw: Any) -> contract_tls.Bundle:
    try:
        return msgspec.convert(raw, contract_tls.Bundle)
    except msgspec.ValidationError as error:
        raise ConfigDriveError(f"user data: astara.tls: {error}") from error


def _management(raw: Any) -> management.Management:
    if not isinstance(raw, dict) or not isinstance(raw.get("management"), dict):
        raise ConfigDriveError("user data: `astara` has no object `management`")
    settings = dict(raw["management"])
    if "api_port" in raw:
        settings["api_port"] = raw["api_port"]
    settings["tls"] = "tls" in raw
    settings |= {name: raw[name] for name in ("router_id", "log_json") if name in raw}
    try:
        return msgspec.convert(settings, management.Management)
    except msgspec.ValidationError as error:
        raise ConfigDriveError(f"user data: astara.management: {error}") from error


def _ssh_keys(users: Any) -> Iterator[str]:
    for user in users if isinstance(users, list) else ():
        if isinstance(user, dict) and user.get("name") == USER:
            keys = user.get("ssh-authorized-keys") or user.get("ssh_authorized_keys") or ()
            for key in [keys] if isinstance(keys, str) else keys:
                yield from (line.strip() for line in str(key).splitlines() if line.strip())


@contextlib.contextmanager
def _mounted_by_label() -> Iterator[pathlib.Path | None]:
    device = pathlib.Path("/dev/disk/by-label") / LABEL
    if not device.exists():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="config-drive-") as directory:
        try:
            process.run(["mount", "-o", "ro", str(device), directory])
        except process.CommandFailed as error:
            raise ConfigDriveError(f"cannot mount {device}: {error}") from error
        try:
            yield pathlib.Path(directory)
        finally:
            process.run(["umount", directory])
