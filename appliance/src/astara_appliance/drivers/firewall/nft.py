"""Talk to nftables: apply, dry-run, list, and tell whether anything has changed.

Goes through libnftables in this process (libnftables(3); an element costs 0.2 ms there, 15 ms by
forks), or where the library is missing through the `nft` program. It never decides rules. Called
by `driver` alone, one call at a time: a context is not safe for threads.

The library is bound here, six functions by ctypes, because the binding on PyPI does not know the
dry run.
"""

import ctypes
import json
import socket
import struct
from typing import Any, Protocol

from ...system import process

_LIBRARY = "libnftables.so.1"
# NFT_CTX_OUTPUT_* of nftables/libnftables.h
_STATELESS, _JSON, _NUMERIC_PROTOCOLS = 1 << 2, 1 << 4, 1 << 7
_NETLINK_NETFILTER = 12
_NEW_GENERATION, _GET_GENERATION = 10 << 8 | 15, 10 << 8 | 16
_REQUEST = 1
_HEADER = struct.Struct("=IHHIIBBH")  # nlmsghdr and nfgenmsg
_GENERATION_ID = struct.Struct("=HHI")
_ANSWER_TIMEOUT_S = 5.0
_ABSENT = "No such file or directory"
_PROTOCOLS = {"6": "tcp", "17": "udp", "33": "dccp", "50": "esp", "51": "ah", "132": "sctp"}
"""What the grammar of nft has names for; it knows others by /etc/protocols, if there is one."""


class Refused(Exception):
    """nftables refused commands; nothing of them took effect."""


class Nft(Protocol):
    """A way to nftables. `run` raises Refused with nftables' own words."""

    def run(self, commands: str, *, dry: bool = False, as_json: bool = False) -> str:
        """Let `commands` take effect as one transaction, or only check them; return the output
        without counters.
        """

    def generation(self) -> int | None:
        """Return a number that each committed transaction of this network namespace raises by one,
        whoever made it; None if the kernel does not tell.
        """


class Library:
    """nftables in this process. OSError if there is no library."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._library = library
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str, *, dry: bool = False, as_json: bool = False) -> str:
        """See Nft."""
        flags = _STATELESS | (_JSON | _NUMERIC_PROTOCOLS if as_json else 0)
        self._library.nft_ctx_output_set_flags(self._context, ctypes.c_uint(flags))
        self._library.nft_ctx_set_dry_run(self._context, ctypes.c_bool(dry))
        status = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        error: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if status != 0:
            raise Refused(_first_lines(error.decode(errors="replace")))
        return output.decode(errors="replace")

    def generation(self) -> int | None:
        """See Nft."""
        return _generation()


class Program:
    """nftables by forks of `nft`."""

    def run(self, commands: str, *, dry: bool = False, as_json: bool = False) -> str:
        """See Nft."""
        # With -j the program reads JSON too, unless the command is among its arguments.
        given = ["-j", "-p", *commands.split()] if as_json else ["-f", "-"]
        try:
            return process.run(
                ["nft", "-s", *(["-c"] if dry else []), *given], stdin=commands
            ).stdout
        except process.CommandFailed as failed:
            raise Refused(_first_lines(failed.stderr) or failed.reason) from failed

    def generation(self) -> int | None:
        """See Nft."""
        return _generation()


def connect() -> Nft:
    """Return the library if there is one, else the program."""
    try:
        return Library()
    except OSError:
        return Program()


def list_json(nft: Nft, what: str) -> dict[str, Any] | None:
    """Return the listing of `what` ("table inet x"), None if there is no such thing."""
    try:
        listing: dict[str, Any] = json.loads(nft.run(f"list {what}\n", as_json=True))
    except Refused as refused:
        if _ABSENT in str(refused):
            return None
        raise
    return listing


def protocol_name(number: int | str) -> str:
    """Return the one way in which we spell an IP protocol that JSON lists by `number`."""
    return _PROTOCOLS.get(str(number), str(number))


def list_text(nft: Nft, what: str) -> str:
    """Return the listing of `what` for people, empty if there is no such thing."""
    try:
        return nft.run(f"list {what}\n")
    except Refused as refused:
        if _ABSENT in str(refused):
            return ""
        raise


def lacks_flowtables(nft: Nft) -> str | None:
    """Return why the kernel has no flowtables, None if it has them."""
    probe = "flowtable inet astara_probe probe { hook ingress priority filter; }"
    try:
        nft.run(f"add table inet astara_probe\nadd {probe}\n", dry=True)
    except Refused as refused:
        return str(refused)
    return None


def _generation() -> int | None:
    """Ask for NFTA_GEN_ID by NFT_MSG_GETGEN (linux/netfilter/nf_tables.h)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netfilter:
        netfilter.settimeout(_ANSWER_TIMEOUT_S)
        netfilter.send(_HEADER.pack(_HEADER.size, _GET_GENERATION, _REQUEST, 0, 0, 0, 0, 0))
        answer = netfilter.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(answer)
    size, attribute, number = _GENERATION_ID.unpack_from(answer.ljust(28, b"\0"), _HEADER.size)
    if (kind, size, attribute) != (_NEW_GENERATION, 8, 1):
        return None
    return socket.ntohl(number)


def _first_lines(text: str) -> str:
    """Return what is wrong: nft repeats the offending input, which may be a thousand elements."""
    return " | ".join(line[:200] for line in text.strip().splitlines()[:3])
