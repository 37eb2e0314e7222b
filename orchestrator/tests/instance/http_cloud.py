"""Neutron, Nova and appliances as three small HTTP servers, for tests of the real clients.

What the servers hold is in plain dicts that a test may read and change. ``break_at`` makes the
n-th call fail after it had its effect (the answer is lost): what a crash or a time-out leaves.
It knows only what the orchestrator uses.
"""

import http.server
import itertools
import json
import re
import threading
import time
import urllib.parse
import uuid

from astara_contract import document

MGT_NET, MGT_SUBNET = (
    "10000000-0000-4000-8000-000000000001",
    "10000000-0000-4000-8000-000000000002",
)
PROJECT = "5e40000000000000000000000000ce00"
IMAGE = "10000000-0000-4000-8000-00000000000a"


def new_id():
    return str(uuid.uuid4())


EXTENSIONS = ("ip_allocation", "port-security", "astara-router", "dhrouterstatus")


def every(value):
    """Give the values of a parameter that may have been repeated."""
    return value if isinstance(value, list) else [value]


class HttpCloud:
    """State and behaviour; ``serve`` makes it reachable."""

    def __init__(self):
        self.lock = threading.RLock()
        self.routers, self.ports, self.servers = {}, {}, {}
        self.groups, self.handed_over = {}, []
        self.status_puts, self.pushes, self.log = [], [], []
        self.hosts = itertools.count(10)
        self.macs = itertools.count(1)
        self.break_at = None
        self.count = 0
        self.appliances = {}  # address -> {"digest": ..., "server": id, "silent": bool}
        self.refuse_create = None
        self.boots_to_error = False
        self.deletion_takes = 0
        self.extension_missing = False
        self.refuse_reports = False
        self.base = f"127.{uuid.uuid4().int % 200 + 20}.{uuid.uuid4().int % 250}."

    # What tests do

    def add_router(self, networks=1, gateway=False, **more):
        router_id = new_id()
        self.routers[router_id] = {
            "id": router_id,
            "project_id": "7e" * 16,
            "generation": "g1",
            "name": "r",
            "admin_state_up": True,
            "status": "DOWN",
            "ha": False,
            "flavor_id": None,
            "enable_snat": True,
            "routes": [],
            "ports": [],
            "networks": [],
            "floatingips": [],
        } | more
        for _ in range(networks):
            self.add_interface(router_id)
        return router_id

    def add_interface(self, router_id):
        router = self.routers[router_id]
        n = 1 + max(
            (int(s["cidr"].split(".")[1]) for net in router["networks"] for s in net["subnets"]),
            default=0,
        )
        net, subnet = new_id(), new_id()
        router["networks"].append(
            {
                "id": net,
                "name": f"net{n}",
                "project_id": router["project_id"],
                "mtu": 1450,
                "port_security_enabled": True,
                "external": False,
                "dns_domain": None,
                "subnets": [
                    {
                        "id": subnet,
                        "name": "",
                        "cidr": f"10.{n}.0.0/24",
                        "ip_version": 4,
                        "gateway_ip": f"10.{n}.0.1",
                        "enable_dhcp": True,
                        "ipv6_ra_mode": None,
                        "ipv6_address_mode": None,
                        "dns_nameservers": [],
                        "host_routes": [],
                    }
                ],
                "allocations": [],
            }
        )
        router["ports"].append(
            {
                "id": new_id(),
                "network_id": net,
                "mac_address": self._mac(),
                "device_owner": "network:router_interface",
                "status": "DOWN",
                "admin_state_up": True,
                "fixed_ips": [{"ip_address": f"10.{n}.0.1", "subnet_id": subnet}],
            }
        )
        return net

    def remove_interface(self, router_id, network_id):
        router = self.routers[router_id]
        router["networks"] = [n for n in router["networks"] if n["id"] != network_id]
        router["ports"] = [p for p in router["ports"] if p["network_id"] != network_id]

    def ports_of(self, router_id):
        return [p for p in self.ports.values() if p["description"] == f"astara:router:{router_id}"]

    def silence(self, silent=True):
        for appliance in self.appliances.values():
            appliance["silent"] = silent

    def _mac(self):
        return "fa:16:3e:" + ":".join(f"{b:02x}" for b in next(self.macs).to_bytes(3, "big"))

    # Neutron

    def neutron(self, method, path, query, body):
        if path == "/v2.0/extensions":
            return 200, {"extensions": [{"alias": alias} for alias in EXTENSIONS]}
        if path == "/v2.0/astara-routers":
            ids = sorted(self.routers)
            if "id" in query:  # with `fields`: whole routers
                found = [self.routers[i] for i in ids if i in every(query["id"])]
                return 200, {"astara_routers": found}
            start = ids.index(query["marker"]) + 1 if "marker" in query else 0
            page = ids[start : start + int(query["limit"])]
            return 200, {"astara_routers": [self.routers[i] for i in page]}
        if match := re.fullmatch(r"/v2.0/astara-routers/(.+)", path):
            router = self.routers.get(match[1])
            return (200, {"astara_router": router}) if router else self._no_router(match[1])
        if match := re.fullmatch(r"/v2.0/dhrouterstatus/(.+)", path):
            return self._put_status(match[1], body["routerstatus"])
        if path == f"/v2.0/subnets/{MGT_SUBNET}":
            return 200, {
                "subnet": {
                    "id": MGT_SUBNET,
                    "network_id": MGT_NET,
                    "ip_version": 4,
                    "cidr": f"{self.base}0/24",
                }
            }
        if path == f"/v2.0/networks/{MGT_NET}":
            return 200, {"network": {"id": MGT_NET, "mtu": 1400}}
        return self._ports(method, path, query, body)

    def _no_router(self, router_id):
        if self.extension_missing:
            return 404, {"NeutronError": {"type": "HTTPNotFound", "message": "no such resource"}}
        message = f"Router {router_id} could not be found"
        return 404, {"NeutronError": {"type": "RouterNotFound", "message": message}}

    def _put_status(self, router_id, wanted):
        router = self.routers.get(router_id)
        if router is None:
            return self._no_router(router_id)
        if self.refuse_reports:
            return 500, {"NeutronError": {"type": "DBError", "message": "no database"}}
        self.status_puts.append((router_id, wanted))
        router["status"] = wanted["status"]
        for key in ("ports", "floatingips"):
            if key in wanted:
                for item in router[key]:
                    item["status"] = "ACTIVE" if item["id"] in wanted[key] else "DOWN"
        return 200, {"routerstatus": {"status": wanted["status"]}}

    def _ports(self, method, path, query, body):
        if path == "/v2.0/ports" and method == "GET":
            wanted = {k: v for k, v in query.items() if k not in ("limit", "marker")}
            found = [
                p
                for _, p in sorted(self.ports.items())
                if all(p.get(k) in every(v) for k, v in wanted.items())
            ]
            if "marker" in query:
                found = [p for p in found if p["id"] > query["marker"]]
            return 200, {"ports": found[: int(query.get("limit", 1000))]}
        if path == "/v2.0/ports":
            port = self._new_port(body["port"])
            self.ports[port["id"]] = port
            return 201, {"port": port}
        port = self.ports.get(path.rpartition("/")[2])
        if port is None:
            return 404, {"NeutronError": {"type": "PortNotFound", "message": path, "detail": ""}}
        if method == "DELETE":
            del self.ports[port["id"]]
            for server in self.servers.values():
                server["_ports"] = [p for p in server["_ports"] if p != port["id"]]
            return 204, None
        if method == "PUT":
            port.update(body["port"])
        return 200, {"port": port}

    def _new_port(self, body):
        number = next(self.hosts)
        managed = body["network_id"] == MGT_NET
        return {
            **body,
            "id": new_id(),
            "project_id": PROJECT,
            "mac_address": self._mac(),
            "device_id": body.get("device_id", ""),
            "device_owner": body.get("device_owner", ""),
            "description": body.get("description", ""),
            "status": "DOWN",
            "created_at": f"{number:05d}",
            "ip_allocation": "immediate" if managed else "none",
            "fixed_ips": [{"ip_address": f"{self.base}{number}", "subnet_id": MGT_SUBNET}]
            if managed
            else [],
        }

    # Nova

    def nova(self, method, path, query, body):
        if path == "/servers/detail":
            pattern = re.compile(query.get("name", ""))
            self._settle()
            found = [
                self._shown(s)
                for _, s in sorted(self.servers.items())
                if pattern.search(s["name"])
            ]
            if "marker" in query:
                found = [s for s in found if s["id"] > query["marker"]]
            return 200, {"servers": found[: int(query.get("limit", 1000))]}
        if path == "/flavors":
            return 200, {"flavors": [{"id": "f1", "name": "m1.astara"}]}
        if path == "/servers":
            return self._create_server(body["server"], body.get("os:scheduler_hints", {}))
        if path.startswith("/os-server-groups"):
            return self._groups(method, path.rpartition("/")[2], body)
        server_id = path.split("/")[2]
        self._settle()
        server = self.servers.get(server_id)
        if server is None:
            return 404, {"itemNotFound": {"code": 404, "message": "gone"}}
        if path.endswith("os-interface") and method == "POST":
            return self._attach(server, body["interfaceAttachment"]["port_id"])
        if "/os-interface/" in path:
            return self._detach(server, path.rpartition("/")[2])
        if path.endswith("/action") and "os-resetState" in body:
            server.update(status="ERROR", _deleting=None)
            return 202, None
        if method == "DELETE" and server["_deleting"] is not None:
            return 204, None  # Nova says yes, and ignores it
        if method == "DELETE":
            server["_deleting"] = self.deletion_takes
            self._settle()
            return 204, None
        return 200, {"server": self._shown(server)}

    def _shown(self, server):
        return {k: v for k, v in server.items() if not k.startswith("_")} | {
            "OS-EXT-STS:task_state": "deleting" if server["_deleting"] is not None else None
        }

    def _settle(self):
        """Let deletions go on and servers become ACTIVE."""
        for server in list(self.servers.values()):
            if server["_deleting"] is not None:
                server["_deleting"] -= 1
                if server["_deleting"] < 0:
                    self._erase(server)
            elif server["status"] == "BUILD" and not server["_held"]:
                server["status"] = "ERROR" if self.boots_to_error else "ACTIVE"
                if server["status"] == "ACTIVE":
                    self._start_appliance(server)

    def _erase(self, server):
        del self.servers[server["id"]]
        for port_id in server["_ports"]:
            if port_id in self.ports:
                self.ports[port_id].update(device_id="", device_owner="")
        self.appliances = {a: s for a, s in self.appliances.items() if s["server"] != server["id"]}

    def _start_appliance(self, server):
        for port_id in server["_ports"]:
            port = self.ports[port_id]
            if port["network_id"] == MGT_NET:
                self.appliances[port["fixed_ips"][0]["ip_address"]] = {
                    "digest": None,
                    "server": server["id"],
                    "silent": False,
                    "refuse": None,
                }

    def _groups(self, method, group_id, body):
        if method == "GET":
            return 200, {"server_groups": list(self.groups.values())}
        if method == "DELETE":
            found = self.groups.pop(group_id, None)
            return (204, None) if found else (404, {"itemNotFound": {"message": "gone"}})
        made = {"id": new_id(), **body["server_group"]}
        self.groups[made["id"]] = made
        return 200, {"server_group": made}

    def _create_server(self, body, hints):
        if self.refuse_create:
            return self.refuse_create
        ports = [self.ports.get(n["port"]) for n in body["networks"]]
        if None in ports:
            return 400, {"badRequest": {"code": 400, "message": "Port could not be found"}}
        if any(p["device_id"] for p in ports):
            return 409, {"conflictingRequest": {"code": 409, "message": "Port is in use"}}
        if any(not p["fixed_ips"] and p["ip_allocation"] != "none" for p in ports):
            return 400, {"badRequest": {"code": 400, "message": "requires a FixedIP"}}
        server = {
            "id": new_id(),
            "name": body["name"],
            "status": "BUILD",
            "metadata": body["metadata"],
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "_deleting": None,
            "_ports": [p["id"] for p in ports],
            "_held": False,
            "_body": body,
            "_hints": hints,
        }
        self.servers[server["id"]] = server
        for port in ports:
            port.update(device_id=server["id"], device_owner="compute:nova")
        return 202, {"server": {"id": server["id"]}}

    def _attach(self, server, port_id):
        port = self.ports[port_id]
        if port["device_id"]:
            return 409, {"conflictingRequest": {"code": 409, "message": "Port is in use"}}
        port.update(device_id=server["id"], device_owner="compute:nova")
        server["_ports"].append(port_id)
        return 200, {"interfaceAttachment": {"port_id": port_id}}

    def _detach(self, server, port_id):
        server["_ports"].remove(port_id)
        self.ports[port_id].update(device_id="", device_owner="")
        return 202, None

    # Appliances

    def appliance(self, address, method, path, raw, epoch=0):
        appliance = self.appliances.get(address)
        if appliance is None or appliance["silent"]:
            return None, None
        if path == "/v1/system/role":
            self.handed_over.append(appliance["server"])
            return 200, self._hand_over(address, json.loads(raw)["role"])
        if method == "PUT":
            if appliance["refuse"]:
                return appliance["refuse"]
            accepted = appliance.setdefault("epoch", 0)
            if epoch < accepted:
                reason = f"epoch {epoch} is lower than {accepted}"
                return 409, {"error": {"code": "stale-epoch", "reason": reason}}
            appliance["epoch"] = epoch
            return self._push(address, appliance, raw)
        if path.endswith("/config"):
            return 200, {"configuration": appliance["committed"], "digest": appliance["digest"]}
        if path == "/v1/system/stats":
            counted = appliance.get("counted")
            return (
                (200, counted)
                if counted
                else (404, {"error": {"code": "not-found", "reason": "no"}})
            )
        server = self.servers[appliance["server"]]
        return 200, {
            "v4": True,
            "v6": True,
            "digest": appliance["digest"],
            "epoch": appliance.get("epoch", 0),
            "role": appliance.get("role", "single"),
            "interfaces": [
                {"ifname": f"ge{n}", "lladdr": self.ports[p]["mac_address"]}
                for n, p in enumerate(server["_ports"])
            ],
        }

    def _hand_over(self, address, role):
        """All other appliances take over: a test that hands over has one pair."""
        for each, other in self.appliances.items():
            other["role"] = role if each == address else "master"
        return {"role": role}

    def _push(self, address, appliance, raw):
        parsed = document.parse(raw)
        appliance["digest"] = document.digest(parsed)
        self.pushes.append((address, parsed))
        return 200, {"configuration": json.loads(raw), "digest": appliance["digest"]}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _any(self):
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length) if length else b""
        status, body = self.server.answer(self.command, self.path, raw, self.request, self.headers)
        if status is None:
            self.close_connection = True
            return
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _any  # noqa: N815  # names of the base class

    def log_message(self, *_):
        pass


class Served:
    """The cloud behind one port on all addresses of 127.0.0.0/8; close it when done."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.http = http.server.ThreadingHTTPServer(("0.0.0.0", 0), _Handler)
        self.http.daemon_threads = True
        self.http.answer = self._answer
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def _answer(self, method, target, raw, connection, headers):
        path, _, question = target.partition("?")
        parsed = urllib.parse.parse_qs(question)
        query = {k: v[0] if len(v) == 1 else v for k, v in parsed.items()}
        address = connection.getsockname()[0]
        cloud = self.cloud
        with cloud.lock:
            cloud.count += 1
            cloud.log.append(f"{method} {path}")
            if address != "127.0.0.1":
                epoch = int(headers.get("Astara-Epoch", 0))
                status, body = cloud.appliance(address, method, path, raw, epoch)
            else:
                side = cloud.neutron if path.startswith("/network") else cloud.nova
                inner = re.sub(r"^/(network|compute)", "", path)
                status, body = side(method, inner, query, json.loads(raw) if raw else None)
            if cloud.break_at is not None and cloud.count == cloud.break_at:
                return None, None
            return status, body
