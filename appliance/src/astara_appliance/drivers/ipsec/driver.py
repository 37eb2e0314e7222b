"""Keep strongSwan's daemon running with the router's connections, by vici; nothing else.

A connection that did not change is not touched: its tunnel stays whatever else changes. What the
daemon was told is noted beside its socket (digests, no secrets); a daemon that died is told
everything again. A connection that the daemon refuses is an error of that connection alone, not of
the router: it is told in the status.

In a pair both daemons know all connections, and only the master's has tunnels: it begins them as
soon as it is master, and forgets them when it is no longer. Called by the pipeline; `openings`,
`report`, `tend` and `follows_role` are told in `functions`.
"""

import contextlib
import dataclasses
import socket
import time
from typing import TYPE_CHECKING

import msgspec

from astara_contract import ipsec

from ...pair import role
from ...system import daemon, files, process, vici
from .. import base, functions
from . import config, routing, states

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_DAEMON = "charon-systemd"
_IKE_PORTS = (500, 4500)
_ESP, _AH = 50, 51
_READY_TIMEOUT_S = 15.0
_POLL_S = 0.05
_LOG_KEPT = 65536
_MTU = 1400


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The daemon's file (None: it is not to run), its connections, and what enters tunnels."""

    file: str | None
    connections: tuple[ipsec.Connection, ...] = dataclasses.field(default=(), repr=False)
    ways: routing.Ways = routing.NONE
    mtu: int = _MTU


class Told(msgspec.Struct, frozen=True):
    """What the daemon was told of a connection: a digest, and why it refused if it did."""

    digest: str
    refused: str | None = None
    begins: bool = True
    """Whether it is ours to begin."""


class Record(msgspec.Struct, frozen=True):
    """What one life of the daemon was told."""

    pid: int = 0
    start_ticks: int = 0
    told: dict[str, Told] = {}
    holds: bool = True
    """Whether this appliance was the one to have tunnels when the daemon was told last."""


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """The daemon, what it was told, and the way into its tunnels."""

    file: str | None
    running: bool
    told: dict[str, Told]
    ways: routing.Ways
    device: bool
    holds: bool = True
    """Whether this appliance is the one to have tunnels."""

    obeys: bool = True
    """Whether the daemon acts accordingly."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do. Connections hold secrets."""

    desired: Desired
    observed: Observed
    stop: bool = False
    start: bool = False
    forget: tuple[str, ...] = ()
    load: tuple[ipsec.Connection, ...] = dataclasses.field(default=(), repr=False)
    lead: bool = False
    turn: bool = False
    """The role has changed: begin all that is ours to begin, or let go of everything."""

    def __bool__(self) -> bool:
        acts = self.stop or self.start or self.lead or self.turn
        return acts or bool(self.forget or self.load)


class IpsecDriver:
    """See `base.Driver` and `functions` for the verbs."""

    name = ipsec.NAME
    section = ipsec.Section
    follows_role = True

    def __init__(self, paths: "Paths") -> None:
        self._paths = paths
        self._file = paths.run_dir / "strongswan.conf"
        self._record = paths.run_dir / "ipsec.json"
        self._socket = paths.run_dir / "charon.vici"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._log = paths.log_dir / f"{ipsec.NAME}.log"
        self._spec = daemon.DaemonSpec(
            ipsec.NAME,
            # It ignores the arguments; by them a stray one is known to be ours.
            (_DAEMON, "--", str(paths.run_dir)),
            environment={"STRONGSWAN_CONF": str(self._file)},
        )
        self._kernel: bool | None = None

    def openings(self, document: "Document") -> base.Openings:
        """Answer IKE and the protected traffic of the other gateways; those that only have a name
        may be anywhere.
        """
        found = functions.section_of(document, self.name, ipsec.Section)
        if found is None or not found.connections:
            return base.Openings()
        sources = tuple(
            source for item in found.connections for source in config.sources(item.peer_address)
        )
        ports = [base.Opening(sources, udp_port=port) for port in _IKE_PORTS]
        ports += [base.Opening(sources, protocol=number) for number in (_ESP, _AH)]
        return base.Openings(tunnels=(config.DEVICE,), ports=tuple(ports))

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute what the daemon is told."""
        del facts
        found = functions.section_of(document, self.name, ipsec.Section)
        if found is None or not found.connections:
            return Desired(None)
        connections = tuple(sorted(found.connections, key=lambda item: item.id))
        file = config.daemon_file(self._socket, self._log, kernel=self._by_kernel())
        ways = routing.plan(document, connections)
        mtu = min(_MTU, *(item.mtu for item in connections))
        return Desired(file, connections, ways, max(mtu, 1280))

    def check(self, desired: Desired) -> None:
        """Refuse what could not be: double names, no daemon."""
        names = [item.id for item in desired.connections]
        if len(set(names)) < len(names):
            raise base.CheckFailed(self.name, "two connections have one id")
        if desired.file is not None and not process.is_installed(_DAEMON):
            raise base.CheckFailed(self.name, f"strongSwan ({_DAEMON}) is not installed")

    def observe(self) -> Observed:
        """Look for the daemon and what it was told."""
        file = files.read_file(self._file)
        if file is None:
            return Observed(None, False, {}, routing.NONE, False)
        life, record = self._daemons.find(self._spec.name), self._read()
        same = life and (life.pid, life.start_ticks) == (record.pid, record.start_ticks)
        holds = role.holds(self._paths)
        return Observed(
            file,
            life is not None,
            record.told if same else {},
            routing.observe(),
            _exists(config.DEVICE),
            holds,
            record.holds == holds and (holds or not self._listed()),
        )

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute what to do."""
        if desired.file is None:
            is_there = observed.running or observed.file is not None
            return Change(desired, observed, stop=is_there)
        start = not observed.running or observed.file != desired.file
        told = {} if start else observed.told
        wanted = {item.id: config.digest(item) for item in desired.connections}
        return Change(
            desired,
            observed,
            start=start,
            forget=tuple(
                sorted(name for name, item in told.items() if wanted.get(name) != item.digest)
            ),
            load=tuple(
                item
                for item in desired.connections
                if item.id not in told or told[item.id].digest != wanted[item.id]
            ),
            lead=observed.ways != desired.ways or not observed.device,
            turn=not observed.obeys,
        )

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how it differs, without secrets."""
        told = [
            ("the IKE daemon runs, but is not wanted", change.stop),
            ("the IKE daemon does not run as wanted", change.start),
            ("the tunnels do not follow the role", change.turn),
        ]
        lines = [line for line, is_so in told if is_so]
        lines += [f"connection {item.id} is not loaded as wanted" for item in change.load]
        wanted = {item.id for item in change.desired.connections}
        lines += [
            f"connection {name} is not wanted" for name in change.forget if name not in wanted
        ]
        return (*lines, *routing.explain(change.observed.ways, change.desired.ways))

    def apply(self, change: Change) -> None:
        """Do it: first the ways, so that nothing leaves in the clear, then the connections."""
        if change.stop:
            self._stop(change)
            return
        if change.start:
            self._start(change.desired)
        if change.lead or change.start:
            process.run(["ip", "link", "set", config.DEVICE, "mtu", str(change.desired.mtu), "up"])
            present = routing.observe()
            routing.lead(present, change.desired.ways)
        self._tell(change)

    def verify(self, desired: Desired) -> None:
        """See that the daemon knows all, and only that; the role may have changed meanwhile."""
        left = dataclasses.replace(self.diff(self.observe(), desired), turn=False)
        if left:
            tail = self._daemons.log_tail(self._spec.name, 200)
            told = "; ".join(self.explain(left)[:5])
            raise base.VerifyFailed(self.name, f"{told}; the daemon's log ends: {tail}")

    def report(self) -> ipsec.Report:
        """Tell how each connection is."""
        told = self._read().told
        refused = {name: item.refused for name, item in told.items() if item.refused}
        listed = self._listed()
        if listed is None:
            refused = dict.fromkeys(told, "the IKE daemon does not run")
        return states.report(told, refused, listed or (), self._log_end())

    def tend(self) -> None:
        """Try again what is down and ours to begin: the other gateway may be mended by now."""
        told = self._read().told
        if told and role.holds(self._paths):
            with vici.Vici(self._socket) as daemon_:
                _begin(daemon_, {name for name, item in told.items() if item.begins})

    def _by_kernel(self) -> bool:
        if self._kernel is None:
            self._kernel = _kernel_can()
        return self._kernel

    def _start(self, desired: Desired) -> None:
        self._daemons.stop(self._spec.name)
        files.remove_file(self._record)
        files.write_file(self._file, desired.file or "", 0o600)
        if self._by_kernel() and not _exists(config.DEVICE):
            process.run(
                ["ip", "link", "add", config.DEVICE, "type", "xfrm", "if_id",
                 str(config.INTERFACE_ID)]
            )  # fmt: skip
        self._daemons.start(self._spec)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not (_exists(config.DEVICE) and self._listed() is not None):
            if time.monotonic() > deadline or not self._daemons.is_running(self._spec.name):
                tail = self._daemons.log_tail(self._spec.name, 300)
                raise base.ApplyFailed(self.name, f"the IKE daemon is not ready: {tail}")
            time.sleep(_POLL_S)

    def _stop(self, change: Change) -> None:
        self._daemons.stop(self._spec.name)
        if self._by_kernel() and _exists(config.DEVICE):
            process.run(["ip", "link", "del", config.DEVICE])
        routing.lead(change.observed.ways, routing.NONE)
        files.remove_file(self._record)
        files.remove_file(self._file)

    def _tell(self, change: Change) -> None:
        life = self._daemons.find(self._spec.name)
        if life is None:
            raise base.ApplyFailed(self.name, "the IKE daemon has died")
        told = {} if change.start else dict(change.observed.told)
        with vici.Vici(self._socket) as daemon_:
            for name in change.forget:
                told.pop(name, None)
                _forget(daemon_, name)
            for connection in change.load:
                refused = self._load(daemon_, connection)
                told[connection.id] = Told(config.digest(connection), refused, connection.initiate)
            holds = role.holds(self._paths)
            if holds:
                new = {item.id for item in change.load}
                everything = change.turn or change.start
                _begin(daemon_, {name for name, item in told.items()
                                 if item.begins and (everything or name in new)})  # fmt: skip
            else:
                _let_go(daemon_)
        record = Record(life.pid, life.start_ticks, dict(sorted(told.items())), holds)
        files.write_file(self._record, msgspec.json.encode(record).decode(), 0o600)

    def _load(self, daemon_: vici.Vici, connection: ipsec.Connection) -> str | None:
        """Tell the daemon of a connection; return why it refuses it."""
        try:
            daemon_.ask("load-shared", config.shared_key(connection))
            daemon_.ask("load-conn", config.message(connection, kernel=self._by_kernel()))
        except vici.ViciError as error:
            return f"strongSwan refuses it: {error}"
        return None

    def _listed(self) -> "list[vici.Answer] | None":
        """Return the established connections, None if there is no daemon."""
        try:
            with vici.Vici(self._socket) as daemon_:
                return daemon_.stream("list-sas", "list-sa")
        except OSError:
            return None

    def _read(self) -> Record:
        try:
            return msgspec.json.decode(files.read_file(self._record) or "{}", type=Record)
        except msgspec.DecodeError:
            return Record()  # everything is told anew

    def _log_end(self) -> str:
        return self._daemons.log_tail(self._spec.name, _LOG_KEPT)


def _forget(daemon_: vici.Vici, name: str) -> None:
    commands: tuple[tuple[str, vici.Message], ...] = (
        ("unload-conn", {"name": name}),
        ("unload-shared", {"id": name}),
        ("terminate", {"ike": name, "timeout": "-1"}),
    )
    for command, message in commands:
        try:
            daemon_.ask(command, message)
        except vici.ViciError:
            continue  # the daemon does not have it, which is what we want


def _begin(daemon_: vici.Vici, names: set[str]) -> None:
    """Begin those tunnels of the connections that are not there, nor on their way."""
    listed = daemon_.stream("list-sas", "list-sa") if names else []
    for answer in daemon_.stream("list-conns", "list-conn") if names else ():
        for name in names & answer.keys():
            for child in states.lacking(name, vici.section(answer, name), listed):
                try:
                    daemon_.ask("initiate", {"ike": name, "child": child, "timeout": "-1"})
                except vici.ViciError:
                    continue  # it is being established already


def _let_go(daemon_: vici.Vici) -> None:
    """End all tunnels at once, without waiting for the other gateways: they are not ours."""
    for answer in daemon_.stream("list-sas", "list-sa"):
        for name, body in answer.items():
            number = vici.section(answer, name).get("uniqueid") if body else None
            if isinstance(number, str):
                with contextlib.suppress(vici.ViciError):  # it has ended meanwhile
                    daemon_.ask("terminate", {"ike-id": number, "force": "yes", "timeout": "-1"})


def _exists(device: str) -> bool:
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


def _kernel_can() -> bool:
    """Tell whether this kernel has what its crypto needs: ESP and XFRM interfaces."""
    probe = "ipsec-probe"
    state = "src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x7350"
    try:
        process.run(["ip", "link", "add", probe, "type", "xfrm", "if_id", "1"])
        process.run(["ip", "link", "del", probe])
        process.run(["ip", "xfrm", "state", "add", *state.split(), "enc", "cipher_null", ""])
        process.run(["ip", "xfrm", "state", "del", *state.split()])
    except process.CommandFailed:
        return False
    return True
