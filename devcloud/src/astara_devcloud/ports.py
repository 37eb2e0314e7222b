"""Checks that TCP ports on the loopback are free, and finds who holds them."""

import errno
import os
import pathlib
import socket
from collections.abc import Iterable

TCP_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"


class PortTaken(Exception):
    """A port that a service needs belongs to somebody else."""


def require_free(service: str, ports: Iterable[int]) -> None:
    """Raise PortTaken, naming the holder where it can be found, unless all ports are free."""
    for port in ports:
        if not is_free(port):
            raise PortTaken(f"port {port} of {service} is taken by {holder(port)}")


def is_free(port: int) -> bool:
    """Try to listen on the port."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier instance that linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def holder(port: int) -> str:
    """Describe the process that listens on a port."""
    tables = [pathlib.Path(name) for name in TCP_TABLES]
    texts = [table.read_text() for table in tables if table.exists()]
    inodes = {inode for text in texts for inode in listening_inodes(text, port)}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if _holds(pid, inodes):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            command = b" ".join(words[:3]).decode(errors="replace")
            return f"process {pid} ({command.strip()})"
    return "an unknown process"


def listening_inodes(table: str, port: int) -> list[str]:
    """Find the socket inodes that listen on a port in the text of /proc/net/tcp (proc(5))."""
    inodes = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        local_port = int(fields[1].rpartition(":")[2], 16)
        if local_port == port and fields[3] == LISTEN:
            inodes.append(fields[9])
    return inodes


def _holds(pid: int, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(os.readlink(entry.path) in wanted for entry in entries)
    except OSError:  # the process or the descriptor has gone meanwhile
        return False
