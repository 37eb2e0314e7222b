"""What the agent tells the guard of a pair, and what the guard tells back: two small JSON files.

It decides their shape and their places, nothing else. Called by the drivers that write the one
and by the guard, which writes the other.
"""

import dataclasses
import hashlib
import pathlib

import msgspec

from astara_contract.status import RoleState

from ..system import files

GUARD = "pair-guard"
KEEPALIVED = "keepalived"
INSTANCE = "pair"
"""The name of the one VRRP instance."""

_LEASE_ADVERTS = 10
_SHORTEST_LEASE_S = 1.0


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address of the router ("ip/prefix") on a NIC of this appliance."""

    device: str
    mac: str
    address: str
    deprecated: bool = False


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """Where a route leads."""

    gateway: str
    device: str
    onlink: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the router."""

    destination: str
    hops: tuple[Hop, ...]
    source: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that follows the role, and how the role is found."""

    management: str
    """The device where the two hear each other."""

    peer: str
    advert_interval_ms: int
    carriers: tuple[str, ...]
    """Devices of the router's networks: silent unless this is the master."""

    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    keepalived: str
    """Digest of its configuration, so that another one is another file."""

    conntrackd: str = ""
    """Path of its configuration; empty if connections are not synchronised."""

    @property
    def lease_s(self) -> float:
        """How long the kernel believes that we are the master without hearing it again."""
        return max(_SHORTEST_LEASE_S, _LEASE_ADVERTS * self.advert_interval_ms / 1000)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard last did, and with which settings."""

    told: RoleState
    settings: str
    """Digest of the settings' text."""

    pid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """The files of a pair below `run_dir`."""

    run_dir: pathlib.Path

    @property
    def settings(self) -> pathlib.Path:
        """What the agent writes."""
        return self.run_dir / "pair.json"

    @property
    def state(self) -> pathlib.Path:
        """What the guard writes."""
        return self.run_dir / "pair-state.json"

    @property
    def fifo(self) -> pathlib.Path:
        """Where keepalived tells its state."""
        return self.run_dir / "pair.fifo"

    @property
    def news(self) -> pathlib.Path:
        """Where the guard wakes the agent."""
        return self.run_dir / "pair-news"

    @property
    def keepalived(self) -> pathlib.Path:
        """The configuration of keepalived."""
        return self.run_dir / "keepalived.conf"

    @property
    def conntrackd(self) -> pathlib.Path:
        """The configuration of conntrackd."""
        return self.run_dir / "conntrackd.conf"


def encode(settings: Settings) -> str:
    """Return the text of the settings file."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=1).decode() + "\n"


def decode(text: str) -> Settings:
    """Return the settings in `text`; msgspec.DecodeError if it holds none."""
    return msgspec.json.decode(text, type=Settings)


def digest(text: str) -> str:
    """Return what tells one settings text from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_state(places: Places) -> State | None:
    """Return what the guard told last, None if it never did."""
    text = files.read_file(places.state)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=State)
    except msgspec.DecodeError:
        return None
