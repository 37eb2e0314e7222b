"""Keep the questions for names that come while dnsmasq restarts, and pass them on to the new one.

Of several sockets of one address and port, Linux gives a datagram to the one that was bound last.
So sockets of ours take over before the old dnsmasq ends, and the new one takes over from them:
a restart loses no question over UDP; TCP is refused meanwhile. Who may ask is the firewall's to
say. It never answers by itself. Called by `driver`.
"""

import contextlib
import dataclasses
import ipaddress
import logging
import os
import pathlib
import select
import socket
import struct
import time
from collections.abc import Iterator

LOG = logging.getLogger(__name__)

_PORT = 53
_KEPT_AT_MOST = 200
_DRAINED_WITHIN_S = 0.5
_STARTED_WITHIN_S = 5.0
_AGAIN_S = 0.05
_POLL_S = 0.002
_SIZE = 4096
_NET = pathlib.Path("/proc/thread-self/net")
_TABLES = {"udp": socket.AF_INET, "udp6": socket.AF_INET6}


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A socket that serves one address (proc(5), /proc/net/udp)."""

    inode: int
    address: str
    has_waiting: bool


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep questions from the start of the block, in which dnsmasq is replaced, until the new one
    listens on the same addresses.
    """
    with contextlib.ExitStack() as stack:
        keeper = _Keeper(stack)
        keeper.take_over()
        yield
        keeper.pass_on()


class _Keeper:
    """Our sockets, and the questions that they got."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._sockets: dict[str, socket.socket] = {}
        self._own: set[int] = set()  # inodes
        self._pending: dict[socket.socket, tuple[socket.socket, bytes, tuple[str, int]]] = {}
        self._asking: set[tuple[str, int]] = set()

    def take_over(self) -> None:
        """Bind what dnsmasq has bound, and let it answer what it has got."""
        for address in {served.address for served in _served()}:
            try:
                link = self._stack.enter_context(_bound(address, _PORT))
            except OSError as error:
                LOG.warning("dns.unguarded address=%s reason=%s", address, error.strerror)
                continue
            self._sockets[address] = link
            self._own.add(os.fstat(link.fileno()).st_ino)
        deadline = time.monotonic() + _DRAINED_WITHIN_S
        while any(served.has_waiting for served in self._others()):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)

    def pass_on(self) -> None:
        """Ask again what we got, until all addresses are served and all have their answers."""
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while time.monotonic() < deadline:
            # What comes after this look is not ours.
            is_complete = self._sockets.keys() <= {served.address for served in self._others()}
            self._take()
            if is_complete and not self._pending:
                return
            for link, (_, data, _) in self._pending.items():
                with contextlib.suppress(OSError):
                    link.send(data)
            ready, _, _ = select.select(self._pending, (), (), _AGAIN_S)
            for link in ready:
                with contextlib.suppress(OSError):
                    answer = link.recv(_SIZE)
                    asked, _, peer = self._pending.pop(link)
                    asked.sendto(answer, peer)

    def _others(self) -> list[Served]:
        return [served for served in _served() if served.inode not in self._own]

    def _take(self) -> None:
        """Take what has arrived, but not what we ask ourselves before the new one listens."""
        for address, link in self._sockets.items():
            with contextlib.suppress(BlockingIOError):
                while len(self._asking) < _KEPT_AT_MOST:
                    data, peer = link.recvfrom(_SIZE)
                    if peer[:2] not in self._asking:
                        with contextlib.suppress(OSError):
                            self._ask_later(address, data, peer)

    def _ask_later(self, address: str, data: bytes, peer: tuple[str, int]) -> None:
        again = self._stack.enter_context(_bound(address, 0))
        again.connect(self._sockets[address].getsockname())
        self._asking.add(again.getsockname()[:2])
        self._pending[again] = (self._sockets[address], data, peer)


def _bound(address: str, port: int) -> socket.socket:
    """Return a socket of `address`, which of the kind fe80::1%2 if it is link-local."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_DGRAM)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        name, _, scope = address.partition("%")
        link.bind((name, port, 0, int(scope or 0)) if ":" in name else (name, port))
        link.setblocking(False)
    except OSError:
        link.close()
        raise
    return link


def _served() -> list[Served]:
    """Return the sockets on which somebody, such as dnsmasq, listens for questions; those of all
    addresses are none of ours.
    """
    scopes = _link_local_scopes()
    found = []
    for table, family in _TABLES.items():
        for line in (_NET / table).read_text().splitlines()[1:]:
            words = line.split()
            digits, _, port = words[1].partition(":")
            if int(port, 16) == _PORT and digits.strip("0"):
                address = _address(family, digits)
                has_waiting = bool(int(words[4].partition(":")[2], 16))
                found.append(Served(int(words[9]), scopes.get(address, address), has_waiting))
    return found


def _address(family: socket.AddressFamily, digits: str) -> str:
    """Return an address that the kernel prints as words in its own byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def _link_local_scopes() -> dict[str, str]:
    """Return link-local addresses with their devices: address -> address%number."""
    with contextlib.suppress(FileNotFoundError):  # no IPv6 here
        lines = map(str.split, (_NET / "if_inet6").read_text().splitlines())
        own = ((ipaddress.IPv6Address(int(words[0], 16)), int(words[1], 16)) for words in lines)
        return {str(ip): f"{ip}%{device}" for ip, device in own if ip.is_link_local}
    return {}
