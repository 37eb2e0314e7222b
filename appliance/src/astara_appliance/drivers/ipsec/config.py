"""Decide what strongSwan's daemon is told of each connection.

Connections go over vici, where each value has its length in front: no string of a tenant can end
one. The daemon's own file holds paths of ours and constants only, and no secret is in any file.
Crypto is the kernel's, with an XFRM interface; where the kernel has no ESP, strongSwan does it in
user space, with a TUN device of the same name, so that routing and firewall are the same for both.
Pure; called by `driver`.
"""

import hashlib
import ipaddress
import itertools
import pathlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from astara_contract.ipsec import Connection, Proposal

    from ...system.vici import Message

DEVICE = "ipsec0"
"""The user-space crypto knows no other name."""

INTERFACE_ID = 7350
"""Ties the kernel's policies to our XFRM interface: whatever else is routed, is not theirs."""

_CRYPTO = (
    "random nonce aes des sha1 sha2 md5 hmac kdf mgf1 gmp curve25519 openssl gcm ccm ctr xcbc cmac"
    " drbg pem pkcs1 pubkey x509"
)
_GROUPS = {
    1: "modp768", 2: "modp1024", 5: "modp1536", 14: "modp2048", 15: "modp3072", 16: "modp4096",
    17: "modp6144", 18: "modp8192", 19: "ecp256", 20: "ecp384", 21: "ecp521", 22: "modp1024s160",
    23: "modp2048s224", 24: "modp2048s256", 25: "ecp192", 26: "ecp224", 27: "ecp224bp",
    28: "ecp256bp", 29: "ecp384bp", 30: "ecp512bp", 31: "curve25519",
}  # fmt: skip
_SILENT_PEER = {
    "hold": "none",  # what is protected is dropped anyway until the peer is back
    "clear": "clear",
    "restart": "restart",
    "restart-by-peer": "restart",
    "disabled": "none",
}


def daemon_file(socket: pathlib.Path, log: pathlib.Path, *, kernel: bool) -> str:
    """Return strongswan.conf; `log` is the file that also has what the daemon prints."""
    crypto = "kernel-netlink" if kernel else "kernel-libipsec kernel-netlink"
    return f"""\
charon-systemd {{
  load = {_CRYPTO} {crypto} socket-default vici
  install_routes = no
  install_virtual_ip = no
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  routing_table_prio = 40000
  journal {{
    default = -1
  }}
  filelog {{
    told {{
      path = {log}
      default = 0
      ike = 1
      cfg = 1
      ike_name = yes
      flush_line = yes
      time_format = %FT%T
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
  }}
}}
"""


def message(connection: "Connection", *, kernel: bool) -> "Message":
    """Return the arguments of `load-conn`."""
    peer = connection.dead_peer
    watched = peer.action != "disabled"
    return {
        connection.id: {
            "version": str(connection.ike_version),
            "aggressive": _word(connection.aggressive),
            "local_addrs": [connection.local_address],
            "remote_addrs": [connection.peer_address],
            "proposals": [proposal(connection.ike, with_prf=True)],
            "mobike": "no",
            "unique": "replace",
            "keyingtries": "0" if connection.initiate else "1",
            "dpd_delay": f"{peer.interval_s if watched else 0}s",
            "dpd_timeout": f"{peer.timeout_s}s",
            "rekey_time": f"{_before(connection.ike.lifetime_s)}s",
            "over_time": f"{connection.ike.lifetime_s - _before(connection.ike.lifetime_s)}s",
            "local-1": {"auth": "psk", "id": connection.local_id},
            "remote-1": {"auth": "psk", "id": connection.peer_id},
            "children": _children(connection, kernel=kernel),
        }
    }


def shared_key(connection: "Connection") -> "Message":
    """Return the arguments of `load-shared`; addresses because IKEv1 asks by them."""
    owners = (
        connection.local_id, connection.peer_id, connection.local_address, connection.peer_address,
    )  # fmt: skip
    return {
        "id": connection.id,
        "type": "IKE",
        "data": connection.psk_secret,
        "owners": list(dict.fromkeys(owners)),
    }


def child_names(connection: "Connection") -> tuple[str, ...]:
    """Return the names of a connection's tunnels: IKEv1 has one for each pair of subnets."""
    if connection.ike_version == 2:
        return (connection.id,)
    pairs = len(connection.local_subnets) * len(connection.peer_subnets)
    return tuple(f"{connection.id}-{number}" for number in range(pairs))


def proposal(wanted: "Proposal", *, with_prf: bool) -> str:
    """Return a proposal as strongSwan spells it: aes128-sha256-modp2048."""
    cipher = wanted.encryption.replace("-", "")
    integrity = wanted.integrity.replace("-", "")
    combined = "ccm" in cipher or "gcm" in cipher
    if not combined:
        words = [cipher, integrity]
    elif with_prf:
        words = [cipher, f"prf{integrity}"]
    else:
        words = [cipher]
    return "-".join((*words, _GROUPS[wanted.group]))


def digest(connection: "Connection") -> str:
    """Return what differs for connections that differ, without telling their secrets."""
    return hashlib.sha256(msgspec.json.encode(connection, order="sorted")).hexdigest()


def _children(connection: "Connection", *, kernel: bool) -> "Message":
    names = child_names(connection)
    if connection.ike_version == 2:
        subnets = [(list(connection.local_subnets), list(connection.peer_subnets))]
    else:
        pairs = itertools.product(connection.local_subnets, connection.peer_subnets)
        subnets = [([local], [remote]) for local, remote in pairs]
    common = _child(connection, kernel=kernel)
    return {
        name: {**common, "local_ts": _spelled(local), "remote_ts": _spelled(remote)}
        for name, (local, remote) in zip(names, subnets, strict=True)
    }


def _child(connection: "Connection", *, kernel: bool) -> "Message":
    esp, peer = connection.esp, connection.dead_peer
    kind = "ah_proposals" if connection.protocol == "ah" else "esp_proposals"
    tied = {"if_id_in": str(INTERFACE_ID), "if_id_out": str(INTERFACE_ID)} if kernel else {}
    restarts = connection.initiate and peer.action in ("restart", "restart-by-peer")
    return {
        kind: [_for_traffic(connection)],
        "mode": connection.mode,
        "rekey_time": f"{_before(esp.lifetime_s)}s",
        "life_time": f"{esp.lifetime_s}s",
        "start_action": "none",  # the driver begins it, where this appliance is the active one
        "dpd_action": _SILENT_PEER[peer.action],
        "close_action": "start" if restarts else "none",
        **tied,
    }


def _for_traffic(connection: "Connection") -> str:
    if connection.protocol == "esp":
        return proposal(connection.esp, with_prf=False)
    integrity = connection.esp.integrity.replace("-", "")
    return f"{integrity}-{_GROUPS[connection.esp.group]}"


def _spelled(subnets: list[str]) -> list[str]:
    return sorted(str(ipaddress.ip_network(text)) for text in subnets)


def _before(lifetime_s: int) -> int:
    """Return when to negotiate anew, so that the old one lives until the new one is there."""
    return lifetime_s - max(lifetime_s // 10, 10)


def _word(value: bool) -> str:
    return "yes" if value else "no"


def sources(peer: str) -> tuple[str, ...]:
    """Return the networks that a gateway may send from: anywhere if it only has a name."""
    try:
        return (str(ipaddress.ip_network(peer)),)
    except ValueError:
        return ("0.0.0.0/0", "::/0")
