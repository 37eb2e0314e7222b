"""The verbs of the metadata proxy: one settings file, one process that follows it.

Decides who is who on the tenants' networks. The process is restarted for nothing but its own
death: settings and listeners change while it runs. The redirection to it is the firewall's.
Called by the pipeline.
"""

import dataclasses
import json
import pathlib
import re
import sys
import time
from typing import TYPE_CHECKING

from ...metadata_proxy import server, settings
from ...system import daemon, files
from .. import base, links
from ..firewall.skeleton import METADATA_PROXY_PORT

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "metadata"
_DAEMON = "metadata-proxy"
_LISTEN_TIMEOUT_S = 5.0
_POLL_S = 0.02
_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h

# What OpenStack makes ids of. A tenant may write other things into a port; they become no header.
_ID = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The settings file's text; None means that the proxy is not to run."""

    settings: str | None
    listeners: int
    """How many IPv4 sockets listen then; IPv6 may be switched off in the kernel."""


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """The proxy and its file."""

    running: bool
    settings: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do, in the order of the fields."""

    stop: bool = False
    write: str | None = None
    start: bool = False

    def __bool__(self) -> bool:
        return self.stop or self.write is not None or self.start


class MetadataDriver:
    """See `base.Driver` for the verbs."""

    def __init__(self, paths: "Paths") -> None:
        self._file = paths.run_dir / "metadata-proxy.json"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        program = (sys.executable, "-I", "-m", "astara_appliance.cmd.metadata_proxy")
        self._spec = daemon.DaemonSpec(
            _DAEMON, (*program, str(self._file)), reload_signal=server.WAKE_SIGNAL
        )

    @property
    def name(self) -> str:
        """The word that errors and logs use."""
        return _NAME

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute the proxy's settings."""
        tenants = [link for link in links.links(document, facts) if link.is_tenant]
        upstream = document.orchestrator
        if not (tenants and upstream.address and upstream.metadata_key):
            return Desired(None, 0)
        told = {
            "router_id": document.router_id,
            "key": upstream.metadata_key,
            "port": METADATA_PROXY_PORT,
            "upstream": {"address": upstream.address, "port": upstream.metadata_port},
            "networks": [
                {"device": link.device, "instances": _instances(link)} for link in tenants
            ],
        }
        return Desired(json.dumps(told, indent=1) + "\n", len(tenants))

    def check(self, desired: Desired) -> None:
        """Let the proxy's own parser read the settings."""
        if desired.settings is None:
            return
        try:
            settings.parse(desired.settings)
        except ValueError as error:
            raise base.CheckFailed(_NAME, str(error)) from error

    def observe(self) -> Observed:
        """Look for the process and its file."""
        return Observed(self._daemons.is_running(_DAEMON), files.read_file(self._file))

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute what to do."""
        if desired.settings is None:
            return Change(stop=observed.running)
        write = desired.settings if observed.settings != desired.settings else None
        return Change(write=write, start=not observed.running)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how the proxy differs."""
        told = (
            ("the metadata proxy runs, but is not wanted", change.stop),
            ("the settings of the metadata proxy differ", change.write is not None),
            ("the metadata proxy does not run", change.start),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when the proxy does not stay up."""
        if change.stop:
            self._daemons.stop(_DAEMON)
            files.remove_file(self._file)  # it holds a key
        if change.write is not None:
            files.write_file(self._file, change.write, 0o640, group=settings.PROXY_ID)
        if change.start:
            self._daemons.start(self._spec)
        elif change.write is not None:
            self._daemons.reload(self._spec)

    def verify(self, desired: Desired) -> None:
        """See that the proxy lives, has its file, and listens."""
        if self.diff(self.observe(), desired):
            tail = self._daemons.log_tail(_DAEMON)
            raise base.VerifyFailed(_NAME, f"the proxy does not run as wanted: {tail}")
        deadline = time.monotonic() + _LISTEN_TIMEOUT_S
        while desired.listeners and _listeners(METADATA_PROXY_PORT) < desired.listeners:
            if time.monotonic() > deadline:
                tail = self._daemons.log_tail(_DAEMON)
                raise base.VerifyFailed(_NAME, f"the proxy does not listen everywhere: {tail}")
            time.sleep(_POLL_S)


def _instances(link: links.Link) -> list[dict[str, object]]:
    return [
        {
            "instance_id": allocation.device_id,
            "tenant_id": allocation.tenant_id,
            "mac": allocation.mac_address.lower(),
            "addresses": sorted(allocation.ip_addresses),
        }
        for allocation in link.network.allocations
        if _ID.fullmatch(allocation.device_id) and _ID.fullmatch(allocation.tenant_id)
    ]


def _listeners(port: int) -> int:
    """Count the IPv4 sockets of this network namespace that listen on TCP `port` (proc(5))."""
    lines = pathlib.Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    sockets = (line.split() for line in lines)
    return sum(words[1].endswith(f":{port:04X}") and words[3] == _LISTEN for words in sockets)
