"""Who may ask for metadata, and where the answers come from.

Decides which instance a client is, from the address it has on the network it came from. Reads the
file that the metadata driver writes; knows nothing else. Called by `server` and `relay`.

Where answers come from changes hands more often than the document does, so it has a file of its
own, which outranks the one of the settings: "address port" (`UPSTREAM`, beside the settings).

The file: {"router_id", "key" (hex), "port", "upstream": {"address", "port"}, "networks":
[{"device", "instances": [{"instance_id", "tenant_id", "mac", "addresses"}]}]}
"""

import json
import socket
from typing import Any, NamedTuple

# User and group of the proxy. An id without an account owns no other file or process.
PROXY_ID = 64999

UPSTREAM = "metadata-upstream"


class Instance(NamedTuple):
    """A tenant's machine."""

    instance_id: str
    tenant_id: str


class Network(NamedTuple):
    """The machines of one network, by packed address and by MAC."""

    addresses: dict[bytes, Instance]
    macs: dict[str, Instance]


class Settings(NamedTuple):
    """Everything the proxy is told."""

    router_id: str
    key: str
    """In hex."""

    port: int
    upstream: tuple[str, int]
    networks: dict[str, Network]
    """By the name of the device that they are on."""


def parse(text: str) -> Settings:
    """Return the settings in `text`; ValueError if it is none (KeyError and TypeError count)."""
    try:
        return _settings(json.loads(text))
    except (KeyError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"not the proxy's settings: {error!r}") from error


def packed(address: str) -> bytes:
    """Return an address in the form that compares; OSError if it is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address.partition("%")[0])


def mac_of(address: bytes) -> str | None:
    """Return the MAC that a link-local IPv6 address was made of (RFC 4291 appendix A), if any."""
    if len(address) != 16 or address[11:13] != b"\xff\xfe":
        return None
    octets = (address[8] ^ 2, *address[9:11], *address[13:])
    return ":".join(f"{octet:02x}" for octet in octets)


def is_link_local(address: bytes) -> bool:
    """Tell whether a packed address is in fe80::/10."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _settings(raw: Any) -> Settings:
    return Settings(
        router_id=str(raw["router_id"]),
        key=bytes.fromhex(raw["key"]).hex(),
        port=int(raw["port"]),
        upstream=(str(raw["upstream"]["address"]), int(raw["upstream"]["port"])),
        networks={str(item["device"]): _network(item["instances"]) for item in raw["networks"]},
    )


def _network(raw: Any) -> Network:
    network = Network({}, {})
    for item in raw:
        instance = Instance(str(item["instance_id"]), str(item["tenant_id"]))
        network.macs[str(item["mac"]).lower()] = instance
        for address in item["addresses"]:
            network.addresses[packed(address)] = instance
    return network
