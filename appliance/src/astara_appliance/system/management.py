"""What boot told us about the management NIC, and where the agent finds it again.

The settings are kept in the state directory, so that the agent starts after a reboot without a
config drive too. It never touches the NIC (`management_nic` does) and imports little: the agent's
arbiter process needs it. Called by astara-configure-management and by the agent.
"""

import ipaddress
import logging
import pathlib

import msgspec

from . import files

LOG = logging.getLogger(__name__)

SETTINGS_FILE = "management.json"
API_PORT = 5000


class Management(msgspec.Struct, frozen=True, kw_only=True):
    """How this appliance is reached; `routes` are [destination, next hop] pairs."""

    mac: str
    addresses: tuple[str, ...]
    mtu: int | None = None
    api_port: int = API_PORT
    routes: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    """Booted with a certificate: plaintext is out of the question from then on."""

    router_id: str = ""
    log_json: bool = False
    """Whether lines of the log are JSON."""


class ManagementError(Exception):
    """The management NIC cannot be set up; the text says why."""


def load(state_dir: pathlib.Path) -> Management | None:
    """Return the settings that boot left, None if there are none (or none that can be read)."""
    text = files.read_file(state_dir / SETTINGS_FILE)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Management)
    except msgspec.DecodeError as error:
        LOG.error("management_settings.unreadable error=%s", error)
        return None


def save(state_dir: pathlib.Path, settings: Management) -> None:
    """Keep the settings for the agent."""
    files.write_file(state_dir / SETTINGS_FILE, msgspec.json.encode(settings).decode() + "\n")


def check(settings: Management) -> None:
    """Raise ManagementError if the settings make no sense."""
    try:
        for address in settings.addresses:
            ipaddress.ip_interface(address)
        for destination, nexthop in settings.routes:
            ipaddress.ip_network(destination)
            ipaddress.ip_address(nexthop)
    except ValueError as error:
        raise ManagementError(str(error)) from error
    if not settings.addresses:
        raise ManagementError("no management address given")
