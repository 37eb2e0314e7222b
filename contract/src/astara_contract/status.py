"""What an appliance reports: the observed status and its interfaces.

Decoding ignores unknown keys, so that an orchestrator of one release understands an appliance of
the next one (the document, by contrast, is strict: what is asked for must be understood).
"""

from typing import Annotated, Any, Literal

import msgspec

from astara_contract.document import Document
from astara_contract.types import Role


class InterfaceState(msgspec.Struct, frozen=True, kw_only=True):
    """One NIC as observed; `ifname` is the stable geN name, `device` the kernel's."""

    ifname: str
    lladdr: str
    device: str = ""
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    state: str = "down"
    description: str = ""
    groups: tuple[str, ...] = ()
    media: str | None = None


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """Name and MAC address of a NIC, all that the orchestrator compares on every poll."""

    ifname: str
    lladdr: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration in effect that was pushed to be confirmed: it ends by itself after `left_s`
    seconds, and what was confirmed last comes back.
    """

    digest: str
    left_s: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of ``GET /v1/status``.

    `additions` are the keys of the document that the appliance knows beyond those of the first
    release (`document.additions`). `v4` and `v6` tell whether the external gateway of that family
    answers. `digest` is that of the committed document, None before the first; a `trial` is not
    committed. `pushes_applied` and `pushes_unchanged` count documents since the appliance was
    made; they survive a restart of the agent. Times are ISO 8601 in UTC. `role` is the
    appliance's part in a pair: only the master has the router's addresses; one in fault waits for
    a link or for a daemon. `functions` has what network functions tell of themselves, by their
    names.
    """

    v4: bool
    v6: bool
    agent_version: str = ""
    schema_versions: tuple[int, ...] = (1,)
    additions: tuple[str, ...] = ()
    digest: str | None = None
    trial: Trial | None = None
    epoch: int = 0
    applied_at: str | None = None
    pushes_applied: int = 0
    pushes_unchanged: int = 0
    booted_at: str = ""
    agent_started_at: str = ""
    interfaces: tuple[Nic, ...] = ()
    role: Role = "single"
    functions: dict[str, Any] = {}


class InterfaceBody(msgspec.Struct, frozen=True):
    """Answer of ``GET /v1/system/interface/<ifname>``."""

    interface: InterfaceState


class InterfacesBody(msgspec.Struct, frozen=True):
    """Answer of ``GET /v1/system/interfaces``."""

    interfaces: tuple[InterfaceState, ...]


class ConfigBody(msgspec.Struct, frozen=True):
    """Answer of ``GET`` and ``PUT /v1/system/config``: what is committed, without secrets, and
    what is in effect in its place until it is confirmed.
    """

    configuration: Document | None
    digest: str | None
    trial: Trial | None = None


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /v1/system/config/confirm``: commit what is on trial, if it is this."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class RoleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PUT /v1/system/role``: hand the router's addresses over to the other one of the
    pair. The answer tells the role afterwards.
    """

    role: Literal["backup"]


class RoleState(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of ``PUT /v1/system/role``: the role, since when, and what led to it."""

    role: Role
    since: str = ""
    reason: str = ""
