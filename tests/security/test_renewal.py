"""Renewal and roll-over as health checks do them: real client, store and server, with OpenSSL."""

import threading
import types

import pytest

from astara import clock
from astara.clients.appliance import Appliances
from astara.instance.renewal import renew_if_due
from astara.pki import trust

ROUTERS = tuple(f"{number}1111111-2222-3333-4444-555555555555" for number in range(1, 4))
ROUTER = ROUTERS[0]
DAY = 86400
SETTINGS = trust.Settings("s3cret", 7 * DAY, 90 * DAY, 3650 * DAY)
HERE = "127.0.0.1"


class Past(clock.SystemClock):
    """Four days ago: more than half of a certificate's life."""

    def wall(self):
        return super().wall() - 4 * DAY


class Node:
    """What of an orchestrator speaks to one appliance."""

    def __init__(self, stored, port):
        self.trust = trust.Trust(stored, SETTINGS)
        self.appliances = Appliances(port, 20, 20, self.trust)
        self.tools = types.SimpleNamespace(appliances=self.appliances)

    def health_check(self, router_id=ROUTER):
        assert self.appliances.status(HERE, router_id).v4
        return renew_if_due(self.tools, router_id, HERE)


def test_a_certificate_half_over_is_renewed_once(stored, serve):
    port, *_ = serve(trust.Trust(stored, SETTINGS, Past()).first(ROUTER))
    node = Node(stored, port)
    assert node.health_check()
    assert not node.health_check()


def test_a_young_certificate_is_left_alone(stored, serve):
    port, *_ = serve(trust.Trust(stored, SETTINGS).first(ROUTER))
    assert not Node(stored, port).health_check()


def test_without_tls_nothing_is_renewed():
    tools = types.SimpleNamespace(appliances=Appliances(1, 1, 1))
    assert not renew_if_due(tools, ROUTER, HERE)


def test_an_appliance_that_cannot_take_it_now_gets_it_later(stored, serve, caplog):
    bundle = trust.Trust(stored, SETTINGS, Past()).first(ROUTER)
    port, _, process = serve(bundle)
    node = Node(stored, port)
    assert node.appliances.status(HERE, ROUTER).v4
    process.kill()
    process.wait()
    assert not renew_if_due(node.tools, ROUTER, HERE)
    assert "certificate.not_renewed" in caplog.text
    assert "PRIVATE" not in caplog.text
    port, *_ = serve(bundle)
    node.appliances = Appliances(port, 20, 20, node.trust)
    node.tools.appliances = node.appliances
    assert node.health_check()


def test_no_call_fails_while_certificates_change(stored, serve):
    port, *_ = serve(trust.Trust(stored, SETTINGS).first(ROUTER))
    other = Node(stored, port)
    over, failures, calls = threading.Event(), [], []

    def ask():
        while not over.is_set():
            try:
                calls.append(other.appliances.status(HERE, ROUTER).v4)
            except Exception as failure:
                failures.append(failure)

    asking = threading.Thread(target=ask)
    asking.start()
    node = Node(stored, port)
    for _ in range(20):
        node.appliances.renew(HERE, node.trust.next(ROUTER), ROUTER)
    over.set()
    asking.join(60)
    assert not failures
    assert calls


def test_an_authority_is_replaced_by_health_checks_alone(stored, serve):
    first = trust.Trust(stored, SETTINGS)
    ports = {router_id: serve(first.first(router_id))[0] for router_id in ROUTERS}
    first.add_authority()  # astara-pki rotate
    nodes = {router_id: Node(stored, port) for router_id, port in ports.items()}
    assert stored.users(1) == len(ROUTERS)
    assert [nodes[router_id].health_check(router_id) for router_id in ROUTERS] == [True] * 3
    assert (stored.users(1), stored.users(2)) == (0, len(ROUTERS))
    stored.retire_authority(1)
    for router_id, port in ports.items():
        fresh = Node(stored, port)  # another process, which never knew the first authority
        assert not fresh.health_check(router_id)
        # One that knew it notices within a minute; told to look, at once.
        nodes[router_id].trust.forget(router_id)
        assert not nodes[router_id].health_check(router_id)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rebuild_beside_a_rotation_leaves_one_true_appliance(stored, serve, when):
    own = trust.Trust(stored, SETTINGS)
    old_port, *_ = serve(own.first(ROUTER))
    if when == "after":
        own.add_authority()
    port, *_ = serve(trust.Trust(stored, SETTINGS).first(ROUTER))
    if when == "before":
        own.add_authority()
    node = Node(stored, port)
    assert node.health_check() == (when == "before")
    with pytest.raises(Exception, match="ertificate"):
        Node(stored, old_port).health_check()
