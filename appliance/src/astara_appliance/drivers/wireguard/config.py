"""Decide what wg(8) is told, what the device then looks like, and what is routed into it.

Made of parsed numbers and addresses, and of keys whose type holds nothing but base64. Pure; called
by `driver`.
"""

import ipaddress
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from astara_contract import wireguard

if TYPE_CHECKING:
    from astara_contract.wireguard import Remote, Section

DEVICE = "wg0"
HANDSHAKES_LAST_S = 180
"""After that without a handshake a session is dead (REJECT_AFTER_TIME)."""


class Peer(NamedTuple):
    """A peer as the device has it."""

    public_key: str
    preshared: str
    allowed: tuple[str, ...]
    keepalive_s: int


class Device(NamedTuple):
    """The device as wg(8) shows it; endpoints are left out, because peers may move."""

    private_key: str
    listen_port: int
    peers: tuple[Peer, ...]


def text(section: "Section") -> str:
    """Return the file for `wg syncconf`."""
    lines = [
        "[Interface]",
        f"PrivateKey = {section.private_key_secret}",
        f"ListenPort = {section.listen_port}",
    ]
    for peer in sorted(section.peers, key=lambda item: item.public_key):
        lines += _lines(peer)
    return "\n".join(lines) + "\n"


def without_peers(text: str) -> str:
    """Return what `text` says of the device itself."""
    return text.partition("[Peer]\n")[0]


def device(section: "Section") -> Device:
    """Return what `shown` is to find."""
    peers = (
        Peer(item.public_key, item.preshared_secret, _networks(item.allowed_ips), item.keepalive_s)
        for item in section.peers
    )
    return Device(section.private_key_secret, section.listen_port, tuple(sorted(peers)))


def shown(dump: str) -> Device:
    """Return the device in what `wg show wg0 dump` prints."""
    first, *rest = (line.split("\t") for line in dump.splitlines())
    peers = (
        Peer(
            words[0],
            "" if words[1] == "(none)" else words[1],
            _networks(words[3].split(",") if words[3] != "(none)" else ()),
            0 if words[7] == "off" else int(words[7]),
        )
        for words in rest
    )
    return Device(first[0], int(first[2]), tuple(sorted(peers)))


def report(dump: str, now: float | None = None) -> wireguard.Report:
    """Return how the peers in what `wg show wg0 dump` prints are."""
    moment = time.time() if now is None else now
    lines = (line.split("\t") for line in dump.splitlines()[1:])
    return wireguard.Report(peers=tuple(_status(words, moment) for words in lines))


def sent(dump: str) -> tuple[str, ...]:
    """Return how much was sent to each peer, as `wg show wg0 dump` prints it."""
    return tuple(line.split("\t")[6] for line in dump.splitlines()[1:])


def routed(section: "Section") -> frozenset[str]:
    """Return the networks that lead into the device."""
    return frozenset(net for peer in section.peers for net in _networks(peer.allowed_ips))


def addresses(section: "Section") -> frozenset[str]:
    """Return the device's own addresses."""
    return frozenset(str(ipaddress.ip_interface(item)) for item in section.addresses)


def _lines(peer: "Remote") -> list[str]:
    lines = ["[Peer]", f"PublicKey = {peer.public_key}"]
    if peer.preshared_secret:
        lines.append(f"PresharedKey = {peer.preshared_secret}")
    lines.append(f"AllowedIPs = {', '.join(_networks(peer.allowed_ips))}")
    if peer.endpoint is not None:
        host = f"[{peer.endpoint}]" if ":" in peer.endpoint else peer.endpoint
        lines.append(f"Endpoint = {host}:{peer.endpoint_port}")
    # Said in any case: `wg syncconf` leaves as it is what is not said.
    lines.append(f"PersistentKeepalive = {peer.keepalive_s or 'off'}")
    return lines


def _networks(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(str(ipaddress.ip_network(item)) for item in texts))


def _status(words: list[str], now: float) -> wireguard.PeerStatus:
    handshake = int(words[4])
    alive = now - handshake <= HANDSHAKES_LAST_S
    never = "the peer has never answered"
    return wireguard.PeerStatus(
        public_key=words[0],
        status="ACTIVE" if alive else "DOWN",
        reason="" if alive else "the peer has fallen silent" if handshake else never,
        endpoint="" if words[2] == "(none)" else words[2],
        received_bytes=int(words[5]),
        sent_bytes=int(words[6]),
    )
