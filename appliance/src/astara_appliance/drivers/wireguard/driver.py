"""Keep the WireGuard device as the document wants it: by the kernel, or by wireguard-go where the
kernel has no WireGuard.

Peers that did not change keep their sessions (`wg syncconf`). Below each route into the device is
one to nowhere, so that what belongs to a peer is never sent in the clear. In a pair the device of
the one that is not master rests: it is down, has no peers, and nothing leads into it. Called by
the pipeline; `openings`, `report` and `follows_role` are told in `functions`.
"""

import contextlib
import dataclasses
import ipaddress
import json
import socket
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from astara_contract import wireguard

from ...pair import role
from ...system import daemon, files, process
from .. import base, functions
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_DAEMON = "wireguard-go"
_PROTOCOL = "252"
_METRIC, _NOWHERE_METRIC = "100", "4278198272"
_READY_TIMEOUT_S = 10.0
_GREETED_WITHIN_S = 0.5
_POLL_S = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """The device, as desired or as observed; `text` None: there is to be none."""

    text: str | None = dataclasses.field(default=None, repr=False)
    device: config.Device | None = dataclasses.field(default=None, repr=False)
    addresses: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    nowhere: frozenset[str] = frozenset()
    """What leads to nowhere where no route into the device is."""

    mtu: int = 0
    up: bool = False


NOTHING = State()


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """The device, and whether it is this appliance's turn to use it."""

    state: State
    holds: bool


class WireguardDriver:
    """See `base.Driver` and `functions` for the verbs."""

    name = wireguard.NAME
    section = wireguard.Section
    follows_role = True

    def __init__(self, paths: "Paths") -> None:
        self._paths = paths
        self._file = paths.run_dir / "wireguard.conf"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._spec = daemon.DaemonSpec(wireguard.NAME, (_DAEMON, "--foreground", config.DEVICE))

    def openings(self, document: "Document") -> base.Openings:
        """Answer on our port, whoever it is: peers may move, and only their keys count."""
        found = functions.section_of(document, self.name, wireguard.Section)
        if found is None:
            return base.Openings()
        port = base.Opening(("0.0.0.0/0", "::/0"), udp_port=found.listen_port)
        return base.Openings((config.DEVICE,), (port,))

    def render(self, document: "Document", facts: base.Facts) -> State:
        """Compute the device."""
        del facts
        found = functions.section_of(document, self.name, wireguard.Section)
        if found is None:
            return NOTHING
        try:
            return State(
                text=config.text(found),
                device=config.device(found),
                addresses=config.addresses(found),
                routes=config.routed(found),
                nowhere=config.routed(found),
                mtu=found.mtu,
                up=True,
            )
        except ValueError as error:
            raise base.CheckFailed(self.name, str(error)) from error

    def check(self, desired: State) -> None:
        """Refuse what would not be a tunnel beside the router's other ways."""
        if desired.device is None:
            return
        if not desired.device.private_key:
            raise base.CheckFailed(self.name, "the private key is missing")
        keys = [peer.public_key for peer in desired.device.peers]
        if len(set(keys)) < len(keys):
            raise base.CheckFailed(self.name, "two peers have one public key")
        whole = [net for net in desired.routes if ipaddress.ip_network(net).prefixlen == 0]
        if whole:
            raise base.CheckFailed(self.name, f"{whole[0]} would take all traffic of the router")
        if not process.is_installed("wg"):
            raise base.CheckFailed(self.name, "wireguard-tools (wg) is not installed")

    def observe(self) -> Observed:
        """Look at the device, at our routes and at the role."""
        return Observed(self._state(), role.holds(self._paths))

    def diff(self, observed: Observed, desired: State) -> base.Transition[State]:
        """Compute what to do."""
        return base.Transition(observed.state, desired if observed.holds else resting(desired))

    def explain(self, change: base.Transition[State]) -> tuple[str, ...]:
        """Tell how it differs, without keys."""
        seen, wanted = change.observed, change.desired
        told = (
            ("the device is not wanted", wanted.device is None and seen != NOTHING),
            ("there is no device", wanted.device is not None and seen.device is None),
            (
                "peers, keys or port differ",
                seen.device != wanted.device or seen.text != wanted.text,
            ),
            ("addresses differ", seen.addresses != wanted.addresses),
            ("routes differ", (seen.routes, seen.nowhere) != (wanted.routes, wanted.nowhere)),
            ("the MTU differs", seen.mtu != wanted.mtu),
            ("the device is down", wanted.up and not seen.up),
            ("the device is up, but the other one of the pair is master", _rests(seen, wanted)),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: base.Transition[State]) -> None:
        """Do it; the way to nowhere comes first, and goes last."""
        seen, wanted = change.observed, change.desired
        if wanted.text is None:
            self._remove()
        else:
            # Written first: by it an agent that was killed knows that there is something of ours.
            files.write_file(self._file, wanted.text, 0o600)
            _batch(_route("replace unreachable", net, _NOWHERE_METRIC) for net in wanted.nowhere)
            if not _exists():
                self._make()
            process.run(["wg", "syncconf", config.DEVICE, str(self._file)])
            rises = wanted.device if wanted.up and not seen.up else None
            with self._greeting(rises) if rises else contextlib.nullcontext():
                self._furnish(wanted)
        present = _routes()
        _batch(_route("del", net, _METRIC, config.DEVICE) for net in present[0] - wanted.routes)
        _batch(_route("del unreachable", net, _NOWHERE_METRIC)
               for net in present[1] - wanted.nowhere)  # fmt: skip

    def verify(self, desired: State) -> None:
        """See that the device is as wanted; the role may have changed meanwhile."""
        observed = self.observe()
        if observed.state not in (desired, resting(desired)):
            left = self.diff(observed, desired)
            raise base.VerifyFailed(self.name, "; ".join(self.explain(left)))

    def report(self) -> wireguard.Report:
        """Tell how each peer is."""
        return config.report(self._dump())

    def _make(self) -> None:
        try:
            process.run(["ip", "link", "add", config.DEVICE, "type", "wireguard"])
        except process.CommandFailed as refused:
            if not process.is_installed(_DAEMON):
                reason = f"the kernel has no WireGuard, and {_DAEMON} is not installed"
                raise base.ApplyFailed(self.name, reason) from refused
            self._daemons.stop(self._spec.name)
            self._daemons.start(self._spec)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self._dump():
            if time.monotonic() > deadline:
                tail = self._daemons.log_tail(self._spec.name, 200)
                raise base.ApplyFailed(self.name, f"the device does not answer: {tail}")
            time.sleep(_POLL_S)

    def _furnish(self, wanted: State) -> None:
        """Give the device its addresses, its MTU and its routes; down it has no routes."""
        present = self._state().addresses
        _batch(f"addr add {item} dev {config.DEVICE}" for item in wanted.addresses - present)
        _batch(f"addr del {item} dev {config.DEVICE}" for item in present - wanted.addresses)
        to = "up" if wanted.up else "down"
        process.run(["ip", "link", "set", config.DEVICE, "mtu", str(wanted.mtu), to])
        _batch(_route("replace", net, _METRIC, config.DEVICE) for net in wanted.routes)

    @contextlib.contextmanager
    def _greeting(self, wanted: config.Device) -> Iterator[None]:
        """Have a handshake with each peer whose place is known as the device comes up: whoever was
        master before has other keys, and a peer notices only when it misses answers.

        A device sends a keepalive when it begins to have them, and that takes a session.
        """
        before = config.sent(self._dump())
        silent = [peer.public_key for peer in wanted.peers if not peer.keepalive_s]
        _keep_alive(silent, 1)
        try:
            yield
            # wireguard-go comes up a moment after its link.
            deadline = time.monotonic() + _GREETED_WITHIN_S
            while config.sent(self._dump()) == before and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            _keep_alive(silent, 0)

    def _remove(self) -> None:
        if not self._daemons.stop(self._spec.name) and _exists():
            process.run(["ip", "link", "del", config.DEVICE])
        files.remove_file(self._file)

    def _dump(self) -> str:
        """Return what wg(8) shows of the device; empty if there is none. It holds keys."""
        asked = ["wg", "show", config.DEVICE, "dump"]
        done = process.run(asked, accept=frozenset({0, 1})) if _exists() else None
        return done.stdout if done and done.returncode == 0 else ""

    def _link(self) -> dict[str, Any]:
        if not _exists():
            return {}
        shown = process.run(["ip", "-json", "addr", "show", "dev", config.DEVICE]).stdout
        found: list[dict[str, Any]] = json.loads(shown or "[]")
        return next((item for item in found if item), {})

    def _state(self) -> State:
        text = files.read_file(self._file)
        if text is None:
            return NOTHING
        dump, shown = self._dump(), self._link()
        routes, nowhere = _routes()
        addresses = (
            f"{item['local']}/{item['prefixlen']}"
            for item in shown.get("addr_info", ())
            if item["scope"] != "link"
        )
        return State(
            text=text,
            device=config.shown(dump) if dump else None,
            addresses=frozenset(addresses),
            routes=routes,
            nowhere=nowhere,
            mtu=shown.get("mtu", 0),
            up="UP" in shown.get("flags", ()),
        )


def resting(desired: State) -> State:
    """Return the device of the one of a pair that is not master: without peers it has no
    session, and answers nobody.
    """
    if desired.device is None or desired.text is None:
        return desired
    return dataclasses.replace(
        desired,
        text=config.without_peers(desired.text),
        device=desired.device._replace(peers=()),
        addresses=frozenset(),
        routes=frozenset(),
        up=False,
    )


def _rests(seen: State, wanted: State) -> bool:
    return seen.up and wanted.device is not None and not wanted.up


def _keep_alive(peers: Iterable[str], interval_s: int) -> None:
    words = [f"peer {key} persistent-keepalive {interval_s}" for key in peers]
    if words:
        process.run(["wg", "set", config.DEVICE, *" ".join(words).split()])


def _exists() -> bool:
    try:
        socket.if_nametoindex(config.DEVICE)
    except OSError:
        return False
    return True


def _routes() -> tuple[frozenset[str], frozenset[str]]:
    """Return the networks that lead into the device, and those that lead to nowhere."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for version in ("-4", "-6"):
        asked = ["ip", version, "-json", "route", "show", "proto", _PROTOCOL]
        for route in json.loads(process.run(asked).stdout or "[]"):
            network = str(ipaddress.ip_network(route["dst"]))
            found[route.get("type", "unicast") == "unicast"].add(network)
    return frozenset(found[True]), frozenset(found[False])


def _route(verb: str, network: str, metric: str, device: str = "") -> str:
    where = f"{network} dev {device}" if device else network
    return f"route {verb} {where} metric {metric} proto {_PROTOCOL}"


def _batch(lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in sorted(lines))
    if text:
        process.run(["ip", "-batch", "-", "-force"], stdin=text, accept=frozenset({0, 1}))
