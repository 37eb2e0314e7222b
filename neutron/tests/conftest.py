"""A Neutron of our own for the tests of this folder, spoken to over HTTP like any other."""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

START_DEADLINE_S = 120.0
PROGRAM = pathlib.Path(__file__).with_name("neutron_server.py")

ADMIN = {"X-User-Id": "admin", "X-Project-Id": "admin-project", "X-Roles": "admin,member,reader"}
SERVICE = {"X-User-Id": "astara", "X-Project-Id": "service-project", "X-Roles": "service"}
TENANT = {"X-User-Id": "ann", "X-Project-Id": "demo-project", "X-Roles": "member,reader"}


def pytest_collection_finish() -> None:
    """Let tests import Neutron: to pytest this folder is `neutron.tests`, which hides the package.

    Modules of tests that import it while they are collected are still wrong; they had better run
    a program, as `start_neutron` does.
    """
    shadow = sys.modules.get("neutron")
    if shadow is not None and getattr(shadow, "__file__", None) is None:
        del sys.modules["neutron"]


@dataclasses.dataclass
class NeutronClient:
    """Calls the API as one user; every method raises on an unexpected answer."""

    http: httpx.Client
    identity: dict[str, str]
    statements: int = 0

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        answer = self.http.request(
            method, path, json=body, params=params, headers={**self.identity, "X-User": "x"}
        )
        self.statements = int(answer.headers.get("X-Sql-Statements", 0))
        return answer

    def get(self, path: str, **params: Any) -> Any:
        return self._unwrap(self.call("GET", path, **params))

    def create(self, kind: str, **attributes: Any) -> Any:
        answer = self._unwrap(self.call("POST", f"/{kind}s", {kind: attributes}))
        return answer[kind]

    def update(self, kind: str, item: str, **attributes: Any) -> Any:
        return self._unwrap(self.call("PUT", f"/{kind}s/{item}", {kind: attributes}))[kind]

    def delete(self, kind: str, item: str) -> None:
        answer = self.call("DELETE", f"/{kind}s/{item}")
        assert answer.status_code == 204, answer.text

    def act(self, path: str, body: Any) -> Any:
        return self._unwrap(self.call("PUT", path, body))

    def report(self, router: str, **report: Any) -> Any:
        return self.act(f"/dhrouterstatus/{router}", {"routerstatus": report})

    def view(self, router: str) -> Any:
        return self.get(f"/astara-routers/{router}")["astara_router"]

    def generation(self, router: str) -> Any:
        return self.view(router)["generation"]

    @staticmethod
    def _unwrap(answer: httpx.Response) -> Any:
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@dataclasses.dataclass
class Neutron:
    """The API as seen by the three kinds of users."""

    admin: NeutronClient
    service: NeutronClient
    tenant: NeutronClient
    octets: Iterator[int]

    def announced(self) -> list[tuple[str, Any]]:
        """Return the notifications since the last call."""
        return [tuple(item) for item in self.admin.get("/_notifications")]

    def port_deletions(self) -> list[Any]:
        """Return the ports whose deletion Nova would have heard of since the last call."""
        found: list[Any] = self.admin.get("/_port_deletions")
        return found

    def cidr(self) -> str:
        """Return an IPv4 prefix that no other subnet of this run has."""
        octet = next(self.octets)
        return f"10.{octet // 256}.{octet % 256}.0/24"

    def network(self, **attributes: Any) -> Any:
        """Make a tenant network with one IPv4 subnet; return the network with key `subnet`."""
        net = self.tenant.create("network", **attributes)
        subnet = self.tenant.create("subnet", network_id=net["id"], ip_version=4, cidr=self.cidr())
        return {**net, "subnet": subnet}

    def attach(self, router: str, subnet: str) -> Any:
        return self.tenant.act(f"/routers/{router}/add_router_interface", {"subnet_id": subnet})

    def external(self) -> Any:
        """Make an external network with an IPv4 subnet."""
        net = self.admin.create("network", **{"name": "outside", "router:external": True})
        self.admin.create(
            "subnet", network_id=net["id"], ip_version=4, cidr=self.cidr(), enable_dhcp=False
        )
        return net


StartNeutron = Callable[[str, str], contextlib.AbstractContextManager[Neutron]]


@pytest.fixture(scope="session")
def neutron(start_neutron: StartNeutron) -> Iterator[Neutron]:
    """The one Neutron that nearly all tests share: its start takes seconds."""
    with start_neutron("astara_router", "service-project") as found:
        yield found


@pytest.fixture(scope="session")
def start_neutron(tmp_path_factory: pytest.TempPathFactory) -> StartNeutron:
    """Return what starts a Neutron with a router plug-in and a service project."""
    return lambda plugin, project: running(tmp_path_factory.mktemp("neutron"), plugin, project)


@contextlib.contextmanager
def running(
    state_dir: pathlib.Path, router_plugin: str, service_project_id: str
) -> Iterator[Neutron]:
    """Run a Neutron until the caller has done with it."""
    arguments = [str(state_dir), router_plugin, service_project_id]
    with (
        (state_dir / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            port = _port(process, state_dir / "log")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                yield Neutron(
                    admin=NeutronClient(http, ADMIN),
                    service=NeutronClient(http, SERVICE),
                    tenant=NeutronClient(http, TENANT),
                    octets=itertools.count(),
                )
        finally:
            process.kill()


@pytest.fixture(scope="session")
def external(neutron: Neutron) -> Any:
    return neutron.external()


def _port(process: "subprocess.Popen[str]", log: pathlib.Path) -> int:
    deadline = time.monotonic() + START_DEADLINE_S
    assert process.stdout is not None
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 1.0)
        line = process.stdout.readline() if ready else ""
        if line.startswith("PORT "):
            return int(line.split()[1])
        if process.poll() is not None:
            break
    pytest.fail(f"Neutron did not start:\n{log.read_text()[-3000:]}")


def compact(value: Any) -> str:
    """Return one line of JSON for messages of assertions."""
    return json.dumps(value, sort_keys=True)
