"""Keep dhcpcd asking the provider for prefixes, and tell what it got.

The addresses of networks are the document's: a prefix goes to Neutron by the status, and comes
back as the subnet's. A lease survives a restart of the agent with dhcpcd. Called by the pipeline;
`openings` and `report` are told in `functions`.
"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from astara_contract import delegation

from ...system import daemon, files, process
from .. import base, functions, links
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_DAEMON = "dhcpcd"
_HELPERS = "dhcpcd: ["
"""How its processes of lesser privilege call themselves; they outlive one that was killed."""

_CLIENT_PORT = 546


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """dhcpcd's file (None: it is not to run), whether it runs, and for which subnets."""

    text: str | None = None
    running: bool = False
    subnets: tuple[str, ...] = ()
    device: str = ""


NOTHING = State()


class DelegationDriver:
    """See `base.Driver` and `functions` for the verbs."""

    name = delegation.NAME
    section = delegation.Section

    def __init__(self, paths: "Paths") -> None:
        self._file = paths.run_dir / "dhcpcd.conf"
        self._script = paths.run_dir / "dhcpcd-script"
        self._told = paths.run_dir / "delegated"
        self._kept = paths.state_dir / "delegated.json"
        self._subnets = paths.run_dir / "delegated-to.json"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)

    def openings(self, document: "Document") -> base.Openings:
        """Answer DHCPv6 servers and relays of the external link."""
        if functions.section_of(document, self.name, delegation.Section) is None:
            return base.Openings()
        return base.Openings(ports=(base.Opening(("fe80::/10",), udp_port=_CLIENT_PORT),))

    def render(self, document: "Document", facts: base.Facts) -> State:
        """Compute what dhcpcd is to ask for, on the first external network."""
        found = functions.section_of(document, self.name, delegation.Section)
        outside = [link for link in links.links(document, facts) if link.role == "external"]
        if found is None or not found.subnets or not outside:
            return NOTHING
        device, subnets = outside[0].device, tuple(sorted(found.subnets))
        text = config.text(device, subnets, self._script, document.router_id)
        return State(text, True, subnets, device)

    def check(self, desired: State) -> None:
        """Refuse where there is no client."""
        if desired.text is not None and not process.is_installed(_DAEMON):
            raise base.CheckFailed(self.name, f"{_DAEMON} is not installed")

    def observe(self) -> State:
        """Look for dhcpcd and for whom it asks."""
        text = files.read_file(self._file)
        if text is None:
            return NOTHING
        noted = _decoded(files.read_file(self._subnets))
        subnets, device = noted.get("subnets", ()), noted.get("device", "")
        return State(text, self._daemons.is_running(self.name), tuple(subnets), str(device))

    def diff(self, observed: State, desired: State) -> base.Transition[State]:
        """Compute what to do."""
        return base.Transition(observed, desired)

    def explain(self, change: base.Transition[State]) -> tuple[str, ...]:
        """Tell how it differs."""
        seen, wanted = change.observed, change.desired
        other = (seen.text, seen.subnets) != (wanted.text, wanted.subnets)
        told = (
            ("dhcpcd runs, but is not wanted", seen.running and not wanted.running),
            ("dhcpcd does not run", wanted.running and not seen.running),
            ("other subnets want prefixes", other),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: base.Transition[State]) -> None:
        """Do it: dhcpcd takes another number of prefixes only by a new start."""
        seen, wanted = change.observed, change.desired
        if not seen.running or seen.text != wanted.text:
            self._daemons.stop(self.name)
            daemon.end_titled(_HELPERS)
        if wanted.text is None:
            for path in (self._file, self._script, self._told, self._subnets, self._kept):
                files.remove_file(path)
            return
        files.write_file(self._script, config.script(self._told), 0o700)
        files.write_file(self._file, wanted.text, 0o600)
        noted = {"subnets": wanted.subnets, "device": wanted.device}
        files.write_file(self._subnets, json.dumps(noted), 0o600)
        argv = (_DAEMON, "--nobackground", "--config", str(self._file), wanted.device)
        self._daemons.start(daemon.DaemonSpec(self.name, argv))

    def verify(self, desired: State) -> None:
        """See that dhcpcd lives; when the provider answers is the provider's affair."""
        left = self.diff(self.observe(), desired)
        if left:
            tail = self._daemons.log_tail(self.name, 200)
            told = "; ".join(self.explain(left))
            raise base.VerifyFailed(self.name, f"{told}; its log ends: {tail}")

    def report(self) -> delegation.Report:
        """Tell which subnet has which prefix."""
        prefixes = config.delegated(files.read_file(self._told) or "")
        before = {
            str(key): str(value) for key, value in _decoded(files.read_file(self._kept)).items()
        }
        wanted = self.observe().subnets
        now = config.assign(wanted, prefixes, before)
        if now and now != before:
            files.write_file(self._kept, json.dumps(now), 0o600)
        return delegation.Report(prefixes=now)


def _decoded(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
