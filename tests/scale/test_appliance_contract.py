"""What a simulated appliance and the real agent both hold to, asked by the orchestrator's client.

The agent runs in throw-away namespaces with its daemons; the simulated appliance is one of the
fleet that `make scale` measures with.
"""

import http.client
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import simulated  # noqa: E402  found by the path above
import world  # noqa: E402

from astara.clients import appliance  # noqa: E402
from astara_contract import document  # noqa: E402
from lab.appliance import ApplianceHost  # noqa: E402

pytestmark = pytest.mark.functional

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Subject:
    """An appliance that was never pushed anything, and where it is reached from."""

    address: str
    macs: list[str]
    inside: Callable[[Callable[[], Any]], Any]

    def client(self, name: str, *arguments: object) -> Any:
        """Call the orchestrator's client."""
        asking = appliance.Appliances(world.DOCUMENT_PORT, 20, 60)
        return self.inside(lambda: getattr(asking, name)(self.address, *arguments))

    def raw(self, *requests: tuple[Any, ...]) -> list[tuple[int, Any]]:
        """Send requests one after the other over one connection; give statuses and bodies."""

        def ask() -> list[tuple[int, Any]]:
            link = http.client.HTTPConnection(self.address, world.DOCUMENT_PORT, timeout=60)
            answers = []
            for request in requests:
                link.request(*request)
                answer = link.getresponse()
                answers.append((answer.status, json.loads(answer.read())))
            link.close()
            return answers

        found: list[tuple[int, Any]] = self.inside(ask)
        return found

    def push(self, desired: document.Document, epoch: int) -> appliance.Pushed:
        """Push a document."""
        pushed: appliance.Pushed = self.client("configure", document.encode(desired), epoch)
        return pushed

    def desired(self, hostname: str) -> document.Document:
        """Make a document with the management network alone."""
        interface = {
            "ifname": "ge0",
            "lladdr": self.macs[0],
            "addresses": [f"{self.address}/{world.PREFIX_LENGTH}"],
        }
        management = {
            "network_id": "mgt",
            "network_type": "management",
            "interface": interface,
        }
        body = {
            "router_id": "11111111-2222-3333-4444-555555555555",
            "tenant_id": "tenant",
            "hostname": hostname,
            "networks": [management],
        }
        return document.parse(json.dumps(body).encode())


def _simulated() -> Iterator[Subject]:
    with simulated.room("appliances") as room:
        macs = [
            port["mac_address"] for port in world.own_ports(world.routers(simulated.ROUTERS)[0])
        ]
        yield Subject(world.address(0), macs, room.inside)


def _real() -> Iterator[Subject]:
    host = ApplianceHost()
    try:
        host.plug("blue")
        host.start_agent()
        yield Subject(host.address, [nic.mac for nic in host.nics], host.orchestrator.inside)
    finally:
        host.close()


@pytest.fixture(scope="module", params=[_simulated, _real], ids=["simulated", "agent"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from request.param()


def test_one_that_was_just_booted_tells_its_nics_and_runs_nothing(subject: Subject) -> None:
    status = subject.client("status")
    assert [nic.lladdr for nic in status.interfaces] == subject.macs
    assert (status.digest, status.epoch) == (None, 0)
    assert (status.pushes_applied, status.pushes_unchanged) == (0, 0)
    assert status.agent_version
    assert status.booted_at
    assert subject.client("committed").digest is None


def test_a_push_is_told_by_its_digest_and_epoch(subject: Subject) -> None:
    before, desired = subject.client("status"), subject.desired("first")
    pushed = subject.push(desired, before.epoch + 3)
    after = subject.client("status")
    assert pushed.digest == after.digest == document.digest(desired)
    assert subject.client("committed").digest == after.digest
    assert after.epoch == before.epoch + 3
    assert after.pushes_applied == before.pushes_applied + 1


def test_the_same_document_again_changes_nothing(subject: Subject) -> None:
    desired, epoch = subject.desired("again"), subject.client("status").epoch
    subject.push(desired, epoch)
    before = subject.client("status")
    assert subject.push(desired, epoch).digest == before.digest
    after = subject.client("status")
    assert after.pushes_applied == before.pushes_applied
    assert after.pushes_unchanged == before.pushes_unchanged + 1


def test_a_lower_epoch_is_refused_and_an_equal_one_is_not(subject: Subject) -> None:
    epoch = subject.client("status").epoch + 10
    subject.push(subject.desired("owner"), epoch)
    before = subject.client("status")
    with pytest.raises(appliance.StaleEpoch):
        subject.push(subject.desired("former-owner"), epoch - 1)
    assert subject.client("status") == before
    subject.push(subject.desired("owner-again"), epoch)
    assert subject.client("status").digest == document.digest(subject.desired("owner-again"))


@pytest.mark.parametrize(
    ("request_", "status", "code", "path"),
    [
        (("PUT", "/v1/system/config", b'{"surprise": 1}', JSON), 400, "invalid-document", "$."),
        (("PUT", "/v1/system/config", b"{", JSON), 400, "invalid-document", None),
        (("PUT", "/v1/system/config", b"{}", {"Content-Type": "text/plain"}), 415, None, None),
        (("GET", "/v1/nothing"), 404, None, None),
    ],
    ids=["unknown-key", "no-json", "media-type", "path"],
)
def test_what_is_wrong_is_refused_with_a_code(
    subject: Subject, request_: tuple[Any, ...], status: int, code: str | None, path: str | None
) -> None:
    before = subject.client("status")
    [(number, answer)] = subject.raw(request_)
    assert number == status
    assert answer["error"]["reason"]
    assert answer["error"]["code"] == (code or answer["error"]["code"])
    assert answer["error"].get("path", "").startswith(path or "")
    assert subject.client("status") == before


def test_a_connection_serves_a_probe_and_the_push_that_follows(subject: Subject) -> None:
    body = document.encode(subject.desired("together"))
    epoch = str(subject.client("status").epoch)
    answers = subject.raw(
        ("GET", "/v1/status"), ("PUT", "/v1/system/config", body, {**JSON, "Astara-Epoch": epoch})
    )
    assert [status for status, _ in answers] == [200, 200]
    assert answers[1][1]["digest"] == document.digest(subject.desired("together"))
