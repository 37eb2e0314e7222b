"""One metadata request: find out who asks, sign it, pass it on, bring the answer back.

Decides which headers travel. Only headers that are known to be harmless are taken from the
client, so it cannot say who it is; that is said by us, under a signature that only this appliance
can make. Called by `server`, in a thread of its own for each request.
"""

import socket

from astara_contract import metadata

from .. import clock
from . import http1, neighbours
from .settings import Instance, Network, Settings, is_link_local, mac_of, packed

REQUEST_TIMEOUT_S = 10.0
UPSTREAM_CONNECT_TIMEOUT_S = 5.0
UPSTREAM_TIMEOUT_S = 60.0
ANSWER_LIMIT = 64 * 1024 * 1024

_FROM_CLIENT = (
    "accept", "accept-encoding", "accept-language", "content-type", "if-match",
    "if-modified-since", "if-none-match", "metadata-flavor", "range", "user-agent",
    "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds",
)  # fmt: skip
_TO_CLIENT = (
    "content-encoding", "content-length", "content-range", "content-type", "date", "etag",
    "last-modified", "retry-after", "vary", "x-aws-ec2-metadata-token-ttl-seconds",
)  # fmt: skip


def serve(connection: socket.socket, client: str, device: str, settings: Settings) -> None:
    """Serve the request on `connection`, which came from address `client` by `device`."""
    try:
        request = http1.read_request(connection, REQUEST_TIMEOUT_S)
        mac = neighbours.mac_of(packed(client), socket.if_nametoindex(device))
        instance = identify(client, mac, settings.networks[device])
        if instance is None:
            raise http1.Problem(404)
        identity = _signed(instance, client, request, settings)
        _pass_on(connection, request, identity, settings.upstream)
    except http1.Problem as problem:
        connection.sendall(http1.answer(problem.status))


def identify(client: str, mac: str | None, network: Network) -> Instance | None:
    """Return the instance that has address `client` on `network`, None for a stranger.

    A stranger is also who uses, from the MAC of a neighbour, what belongs to another machine.
    """
    address = packed(client)
    owner = network.addresses.get(address)
    if owner is None:
        if not is_link_local(address):
            return None
        # Not made of a MAC: the network's own word for who has this address.
        owner = network.macs.get(mac_of(address) or mac or "")
    if mac is None:
        return owner
    return owner if network.macs.get(mac) == owner else None


def _signed(
    instance: Instance, client: str, request: http1.Request, settings: Settings
) -> dict[str, str]:
    claim = metadata.Claim(
        router_id=settings.router_id,
        instance_id=instance.instance_id,
        tenant_id=instance.tenant_id,
        client=client,
        at=str(int(clock.wall())),
        request=metadata.bound(request.method, request.target),
    )
    return metadata.signed_headers(settings.key, claim)


def _pass_on(
    client: socket.socket,
    request: http1.Request,
    identity: dict[str, str],
    upstream: tuple[str, int],
) -> None:
    address = f"[{upstream[0]}]" if ":" in upstream[0] else upstream[0]
    headers = {name: request.headers[name] for name in _FROM_CLIENT if name in request.headers}
    headers |= identity
    headers |= {"Host": f"{address}:{upstream[1]}", "Connection": "close"}
    if request.body or request.method in ("POST", "PUT"):
        headers["Content-Length"] = str(len(request.body))
    try:
        server = socket.create_connection(upstream, UPSTREAM_CONNECT_TIMEOUT_S)
    except OSError as error:
        raise http1.Problem(504 if isinstance(error, TimeoutError) else 503) from error
    with server:
        # HTTP/1.0, so that the answer cannot be chunked.
        server.sendall(_head(f"{request.method} {request.target} HTTP/1.0", headers))
        server.sendall(request.body)
        _bring_back(client, http1.Reader(server, UPSTREAM_TIMEOUT_S, 504))


def _bring_back(client: socket.socket, reader: http1.Reader) -> None:
    try:
        head = http1.read_head(reader)
    except OSError as error:
        raise http1.Problem(502) from error
    headers = {name: head.headers[name] for name in _TO_CLIENT if name in head.headers}
    headers["connection"] = "close"
    client.settimeout(REQUEST_TIMEOUT_S)
    client.sendall(_head(f"HTTP/1.1 {head.status} {head.reason}", headers))
    passed = 0
    while passed < ANSWER_LIMIT:
        try:
            data = reader.some()
        except (OSError, http1.Problem):
            # The head is out: all that is left to say is that the rest is missing.
            return
        if not data:
            return
        client.sendall(data)
        passed += len(data)


def _head(first: str, headers: dict[str, str]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
