"""What is known about each server on this host, kept as one directory per server.

    <root>/<uuid>/server.json   who it is (Server)
                  nics.json     how it is plugged (list of Nic), written BEFORE anything is plugged
                  pid           host view of the guest's PID 1; there only while it is meant to run
                  console.log   what the guest printed
                  config/       the config drive, read-only on /mnt in the guest
                  disk/         survives a reboot: lib-astara -> /var/lib/astara, log -> /var/log

The store decides nothing about processes or devices. Called by the driver, by `lifecycle`, and
(reading only) by `enter`.
"""

import dataclasses
import json
import os
import pathlib
import shutil

CONSOLE_KEEP_BYTES = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """The identity of a server, as Nova gave it at its birth."""

    uuid: str
    name: str
    display_name: str
    hostname: str
    guest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Nic:
    """One VIF: `tap` is the end in the bridge, `device` its name inside the guest."""

    tap: str
    device: str
    mac: str
    mtu: int
    bridge: str
    port_id: str

    @property
    def parked(self) -> str:
        """Name of the guest's end while it is outside: the guest is off, or not started yet."""
        return "g" + self.tap.removeprefix("tap")


class Store:
    """The directory of all servers of this host."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def directory(self, uuid: str) -> pathlib.Path:
        """Return where a server's files are, or would be."""
        return self.root / uuid

    def exists(self, uuid: str) -> bool:
        """Tell whether the server has been made here and not destroyed."""
        return self.directory(uuid).is_dir()

    def uuids(self) -> list[str]:
        """List the servers, running or not."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        except FileNotFoundError:
            return []

    def create(self, server: Server) -> None:
        """Make a server's directory."""
        directory = self.directory(server.uuid)
        for name in ("config", "root", "disk/log", "disk/lib-astara"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "console.log").touch()
        _write(directory / "server.json", json.dumps(dataclasses.asdict(server)))

    def delete(self, uuid: str) -> None:
        """Remove a server's directory, complete or half-made."""
        shutil.rmtree(self.directory(uuid), ignore_errors=True)

    def server(self, uuid: str) -> Server | None:
        """Return who a server is; None if it was never completely made."""
        try:
            return Server(**json.loads((self.directory(uuid) / "server.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def nics(self, uuid: str) -> list[Nic]:
        """Return how a server is plugged, in the order of its devices' birth."""
        try:
            text = (self.directory(uuid) / "nics.json").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [Nic(**item) for item in json.loads(text)]

    def save_nics(self, uuid: str, nics: list[Nic]) -> None:
        """Remember how a server is plugged; a server that is gone stays gone."""
        if self.exists(uuid):
            text = json.dumps([dataclasses.asdict(nic) for nic in nics])
            _write(self.directory(uuid) / "nics.json", text)

    def recorded_pid(self, uuid: str) -> int | None:
        """Return the pid of the guest, alive or not; None if it is meant to be off."""
        try:
            return int((self.directory(uuid) / "pid").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def forget_pid(self, uuid: str) -> None:
        """Record that the guest is meant to be off."""
        (self.directory(uuid) / "pid").unlink(missing_ok=True)

    def console(self, uuid: str, max_bytes: int = 100 * 1024) -> bytes:
        """Return the end of what the guest printed."""
        with (self.directory(uuid) / "console.log").open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - max_bytes))
            return log.read()

    def trim_console(self, uuid: str) -> None:
        """Keep the end of a console log that grew; the guest must be off."""
        path = self.directory(uuid) / "console.log"
        if path.exists() and path.stat().st_size > 4 * CONSOLE_KEEP_BYTES:
            path.write_bytes(self.console(uuid, CONSOLE_KEEP_BYTES))


def _write(path: pathlib.Path, text: str) -> None:
    # A reader in another process (the demo, a test) must never see half a file.
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)
