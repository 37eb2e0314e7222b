"""Simulated Keystone, Neutron and Nova in one process: `python cloud.py COUNT [--seed N]`.

Answers what the orchestrator asks of a cloud whose appliances all run, in the shapes of the real
services (`test_cloud_contract.py` holds both to the same). It creates nothing but the
orchestrator's own port. `/simulator/...` is for the measurement alone.
"""

import argparse
import collections
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import wire
import world

URL = f"http://{world.CLOUD_ADDRESS}:{world.CLOUD_PORT}"
EXTENSIONS = ("ip_allocation", "port-security", "astara-router", "dhrouterstatus")
LIMIT = 1000
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Query = dict[str, list[str]]
Result = tuple[int, Any]


class Cloud:
    """What exists, and how often each kind of request came."""

    def __init__(self, count: int, seed: int) -> None:
        self.routers = world.routers(count, seed)
        self.extra_ports: dict[str, dict[str, Any]] = {}
        self.requests: collections.Counter[str] = collections.Counter()

    # -- dispatch

    def answer(self, request: wire.Request) -> wire.Answer:
        """Answer one request."""
        target = urllib.parse.urlsplit(request.target)
        path, query = target.path.rstrip("/"), urllib.parse.parse_qs(target.query)
        service, _, rest = path[1:].partition("/")
        body = msgspec.json.decode(request.body) if request.body else None
        if service == "identity":
            return self._identity(request.method, rest)
        self.requests[_ID.sub("*", f"{request.method} {path}")] += 1
        sides: dict[str, Callable[[str, str, Query, Any], Result]] = {
            "network": self._network,
            "compute": self._compute,
            "simulator": self._simulator,
        }
        status, answer = sides[service](request.method, rest, query, body)
        return wire.Answer(
            status, answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        )

    def router(self, identity: str) -> world.Router | None:
        """Find a router."""
        index = world.index_of(identity)
        known = 0 <= index < len(self.routers) and self.routers[index].id == identity
        return self.routers[index] if known else None

    # -- Keystone

    def _identity(self, method: str, path: str) -> wire.Answer:
        self.requests[f"{method} /identity/{path}"] += 1
        if method == "POST" and path == "v3/auth/tokens":
            body = msgspec.json.encode({"token": _token()})
            return wire.Answer(201, body, (("X-Subject-Token", "simulated"),))
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{URL}/identity/v3/"}],
        }
        return wire.Answer(200, msgspec.json.encode({"version": version}))

    # -- Neutron

    def _network(self, method: str, path: str, query: Query, body: Any) -> Result:
        path = path.removeprefix("v2.0/")
        kind, _, identity = path.partition("/")
        if kind == "astara-routers":
            return self._routers(identity, query)
        if kind == "dhrouterstatus":
            return self._router_status(identity, body["routerstatus"])
        if kind == "ports":
            return self._ports(method, identity, query, body)
        if kind == "extensions":
            return 200, {"extensions": [{"alias": alias} for alias in EXTENSIONS]}
        if identity == world.MANAGEMENT_NETWORK:
            return 200, {"network": {"id": identity, "name": "mgt", "mtu": 1400}}
        if identity == world.MANAGEMENT_SUBNET:
            return 200, {"subnet": _management_subnet()}
        return _missing(kind.capitalize().removesuffix("s"), identity)

    def _routers(self, identity: str, query: Query) -> Result:
        if identity:
            router = self.router(identity)
            if router is None:
                return _missing("Router", identity)
            return 200, b'{"astara_router":' + _detail(router) + b"}"
        if "id" in query and "networks" in query.get("fields", ()):
            found = [router for router in map(self.router, query["id"]) if router is not None]
            return 200, b'{"astara_routers":[' + b",".join(map(_detail, found)) + b"]}"
        page = _page(self.routers, query, lambda marker: world.index_of(marker) + 1)
        return 200, {"astara_routers": [world.summary(router) for router in page]}

    def _router_status(self, identity: str, wanted: dict[str, Any]) -> Result:
        router = self.router(identity)
        if router is None:
            return _missing("Router", identity)
        router.status = wanted["status"]
        if "ports" in wanted:
            router.served = bool(wanted["ports"])
        router.detail = b""
        return 200, {"routerstatus": {"status": router.status}}

    def _ports(self, method: str, identity: str, query: Query, body: Any) -> Result:
        if method == "POST":
            return 201, {"port": self._new_port(body["port"])}
        if identity:
            port = self.extra_ports.get(identity)
            if port is None:
                return _missing("Port", identity)
            if method == "PUT":
                port.update(body["port"])
            return 200, {"port": port}
        if marks := query.get("description"):
            named = [self.router(mark.removeprefix(world.MARK)) for mark in marks]
            ports = [port for router in named if router for port in world.own_ports(router)]
            return 200, {"ports": ports}
        if query.keys() - {"project_id", "limit", "marker", "fields"}:
            wanted = {name: value[0] for name, value in query.items() if name != "limit"}
            found = [
                port
                for port in self.extra_ports.values()
                if all(str(port.get(name)) == value for name, value in wanted.items())
            ]
            return 200, {"ports": found}
        return 200, {"ports": list(self._port_page(query))}

    def _port_page(self, query: Query) -> Iterator[dict[str, Any]]:
        """Yield the ports of appliances behind the marker, in the order of their ids."""
        marker = query.get("marker", [""])[0]
        left = min(int(query.get("limit", [str(LIMIT)])[0]), LIMIT)
        start = world.index_of(marker) if marker else 0
        for router in self.routers[start:]:
            for port in world.own_ports(router):
                if port["id"] > marker:
                    if left == 0:
                        return
                    left -= 1
                    yield port

    def _new_port(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.extra_ports) + 1
        fixed = {"ip_address": f"{world.PREFIX}{number:x}", "subnet_id": world.MANAGEMENT_SUBNET}
        port = {
            "device_id": "",
            "device_owner": "",
            "description": "",
            **body,
            "id": world.ident(0xFF, number),
            "project_id": world.PROJECT,
            "mac_address": world.mac(4, number, 0),
            "status": "ACTIVE",
            "created_at": world.CREATED,
            "fixed_ips": [fixed],
        }
        self.extra_ports[port["id"]] = port
        return port

    # -- Nova

    def _compute(self, method: str, path: str, query: Query, _body: Any) -> Result:
        path = path.removeprefix("v2.1/")
        if path == "flavors":
            return 200, {"flavors": [{"id": world.FLAVOR, "name": "m1.astara"}]}
        if path == "servers/detail":
            if names := query.get("name"):
                router = self.router(names[0].removeprefix("^ak-router-")[:36])
                return 200, {"servers": [world.server(router)] if router else []}
            page = _page(self.routers, query, lambda marker: world.index_of(marker) + 1)
            return 200, {"servers": [world.server(router) for router in page]}
        kind, _, identity = path.partition("/")
        if kind != "servers" or method != "GET" or not _ID.fullmatch(identity):
            return 501, {"computeFault": {"code": 501, "message": f"{method} {path}"}}
        index = world.index_of(identity)
        if identity != world.ident(world.SERVER, index) or index >= len(self.routers):
            return 404, {"itemNotFound": {"code": 404, "message": "Instance could not be found."}}
        return 200, {"server": world.server(self.routers[index])}

    # -- the measurement

    def _simulator(self, _method: str, path: str, _query: Query, body: Any) -> Result:
        if path == "change":
            for index in body:
                self.routers[index].version += 1
                self.routers[index].detail = b""
        if path == "generations":
            return 200, [router.generation for router in self.routers]
        return 200, {"requests": dict(self.requests)}


def _detail(router: world.Router) -> bytes:
    if not router.detail:
        router.detail = msgspec.json.encode(world.detail(router))
    return router.detail


def _page(
    everything: list[world.Router], query: Query, after: Callable[[str], int]
) -> list[world.Router]:
    start = after(query["marker"][0]) if "marker" in query else 0
    limit = min(int(query.get("limit", [str(LIMIT)])[0]), LIMIT)
    return everything[start : start + limit]


def _missing(kind: str, identity: str) -> Result:
    message = f"{kind} {identity} could not be found"
    error = {"type": f"{kind}NotFound", "message": message, "detail": ""}
    return 404, {"NeutronError": error}


def _management_subnet() -> dict[str, Any]:
    return {
        "id": world.MANAGEMENT_SUBNET,
        "network_id": world.MANAGEMENT_NETWORK,
        "ip_version": 6,
        "cidr": f"{world.PREFIX}/{world.PREFIX_LENGTH}",
        "gateway_ip": None,
        "ipv6_address_mode": None,
    }


def _token() -> dict[str, Any]:
    paths = {"network": "/network", "compute": "/compute/v2.1", "image": "/image"}
    return {
        "methods": ["password"],
        "user": {"id": "astara", "name": "astara", "domain": {"id": "default", "name": "Default"}},
        "project": {
            "id": world.PROJECT,
            "name": "service",
            "domain": {"id": "default", "name": "Default"},
        },
        "roles": [{"id": "1", "name": "admin"}, {"id": "2", "name": "service"}],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "catalog": [
            {
                "type": kind,
                "id": kind,
                "name": kind,
                "endpoints": [
                    {
                        "id": f"{kind}-{side}",
                        "interface": side,
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": URL + path,
                    }
                    for side in ("public", "internal", "admin")
                ],
            }
            for kind, path in paths.items()
        ],
    }


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=world.SEED)
    options = parser.parse_args()
    cloud = Cloud(options.count, options.seed)
    wire.serve(world.CLOUD_ADDRESS, world.CLOUD_PORT, cloud.answer)


if __name__ == "__main__":
    main()
