"""Orchestrator and appliance over mutual TLS: the real client, store and server, with OpenSSL."""

import socket
import ssl
import stat

import pytest

from astara import clock
from astara.clients import errors
from astara.clients.appliance import Appliances
from astara.pki import authority, seal, trust
from astara_appliance.system import tls as appliance_tls
from astara_contract import tls

ROUTER = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
DAY = 86400


class Shifted(clock.SystemClock):
    """The system's clock, some seconds off."""

    def __init__(self, ahead_s=0.0):
        super().__init__()
        self.ahead_s = ahead_s

    def wall(self):
        return super().wall() + self.ahead_s


def values(**changed):
    wanted = {
        "secret": "s3cret",
        "certificate_lifetime_s": 7 * DAY,
        "renewal_grace_s": 90 * DAY,
        "authority_lifetime_s": 3650 * DAY,
    }
    return trust.Settings(**{**wanted, **changed})


def client(own, port):
    return Appliances(port, 20, 20, own)


def ask(context, port, name):
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=name) as secured,
    ):
        secured.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return secured.recv(100)


def test_each_side_knows_the_other_and_the_key_is_well_kept(stored, serve):
    own = trust.Trust(stored, values())
    bundle = own.first(ROUTER)
    port, directory, _ = serve(bundle)
    assert client(own, port).status("127.0.0.1", ROUTER).v4
    kept = directory / appliance_tls.BUNDLE_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert "PRIVATE" not in (directory / "log").read_text() + repr(bundle)


def test_nodes_share_the_authority_and_the_secret_opens_it(stored, serve):
    first = trust.Trust(stored, values())
    port, *_ = serve(first.first(ROUTER))
    assert client(trust.Trust(stored, values()), port).status("127.0.0.1", ROUTER).v4
    assert len(stored.authorities()) == 1
    assert "PRIVATE" not in stored.authorities()[0].closed_key
    with pytest.raises(seal.WrongSecret, match="same on all nodes"):
        trust.Trust(stored, values(secret="other")).first(OTHER)


def test_appliance_of_another_router_is_not_taken_for_this_one(stored, serve):
    own = trust.Trust(stored, values())
    own.first(ROUTER)
    port, *_ = serve(own.first(OTHER))
    assert client(own, port).status("127.0.0.1", OTHER).v4
    with pytest.raises(errors.Unavailable, match="ertificate"):
        client(own, port).status("127.0.0.1", ROUTER)


def test_rebuild_revokes_the_appliance_before_on_every_node(stored, serve):
    node, other_node = trust.Trust(stored, values()), trust.Trust(stored, values())
    port, *_ = serve(node.first(ROUTER))
    assert client(other_node, port).status("127.0.0.1", ROUTER).v4
    new_port, *_ = serve(node.first(ROUTER))
    for own in (node, other_node):
        assert client(own, new_port).status("127.0.0.1", ROUTER).v4
        with pytest.raises(errors.Unavailable, match="ertificate"):
            client(own, port).status("127.0.0.1", ROUTER)


def test_appliance_cannot_command_an_appliance(stored, serve):
    own = trust.Trust(stored, values())
    bundle, thief = own.first(ROUTER), own.first(OTHER)
    port, *_ = serve(bundle)
    pair = authority.Pair(thief.certificate, thief.key, 0, 0)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ask(trust.context(pair, bundle.authorities), port, bundle.name)


@pytest.mark.parametrize("shown", ["none", "foreign"])
def test_client_without_our_certificate_gets_nothing(stored, serve, shown):
    own = trust.Trust(stored, values())
    bundle = own.first(ROUTER)
    port, *_ = serve(bundle)
    context = ssl.create_default_context(cadata=bundle.authorities)
    if shown == "foreign":
        made = authority.create(1, own._now(), DAY)
        foreign = authority.load(1, made.certificate, made.key.encode())
        pair = authority.issue(
            foreign, authority.Role.ORCHESTRATOR, tls.ORCHESTRATOR, own._now(), DAY
        )
        context = trust.context(pair, bundle.authorities)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ask(context, port, bundle.name)


def test_nothing_older_than_tls_1_3_and_no_plaintext(stored, serve):
    own = trust.Trust(stored, values())
    bundle = own.first(ROUTER)
    port, *_ = serve(bundle)
    old = next(own.ways(ROUTER)).context
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ask(old, port, bundle.name)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " not in plain.recv(1000)


def test_certificate_is_renewed_and_a_connection_in_flight_survives(stored, serve):
    own = trust.Trust(stored, values())
    bundle = own.first(ROUTER)
    port, _, process = serve(bundle)
    way = next(own.ways(ROUTER))
    raw = socket.create_connection(("127.0.0.1", port), timeout=20)
    with raw, way.context.wrap_socket(raw, server_hostname=bundle.name) as flight:
        flight.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert not own.due(ROUTER)
        client(own, port).renew("127.0.0.1", own.next(ROUTER), ROUTER)
        process.stdin.write("\n")
        process.stdin.flush()
        assert flight.recv(100).startswith(b"HTTP/1.1 200")
    assert client(own, port).status("127.0.0.1", ROUTER).v4


def test_certificate_half_over_is_due(stored, serve):
    past = trust.Trust(stored, values(), Shifted(-4 * DAY))
    port, *_ = serve(past.first(ROUTER))
    own = trust.Trust(stored, values())
    assert client(own, port).status("127.0.0.1", ROUTER).v4
    assert own.due(ROUTER)
    client(own, port).renew("127.0.0.1", own.next(ROUTER), ROUTER)
    own.renewed(ROUTER)
    assert client(own, port).status("127.0.0.1", ROUTER).v4
    assert not own.due(ROUTER)


def test_appliance_that_missed_its_renewals_heals_within_the_grace(stored, serve):
    past = trust.Trust(stored, values(), Shifted(-20 * DAY))
    port, *_ = serve(past.first(ROUTER))
    strict = trust.Trust(stored, values(renewal_grace_s=5 * DAY))
    with pytest.raises(errors.Unavailable, match="beyond grace"):
        client(strict, port).status("127.0.0.1", ROUTER)
    own = trust.Trust(stored, values())
    assert client(own, port).status("127.0.0.1", ROUTER).v4
    assert own.due(ROUTER)
    client(own, port).renew("127.0.0.1", own.next(ROUTER), ROUTER)
    assert client(strict, port).status("127.0.0.1", ROUTER).v4


@pytest.mark.parametrize("off_s", [-3650 * DAY, 3650 * DAY], ids=["behind", "ahead"])
def test_appliance_with_a_wrong_clock_can_be_reached(stored, serve, off_s):
    own = trust.Trust(stored, values())
    port, *_ = serve(own.first(ROUTER), ahead_s=off_s)
    assert client(own, port).status("127.0.0.1", ROUTER).v4


def test_authority_is_rolled_over_without_losing_anybody(stored, serve):
    own = trust.Trust(stored, values())
    port, *_ = serve(own.first(ROUTER))
    own.add_authority()
    fresh = trust.Trust(stored, values())
    assert client(fresh, port).status("127.0.0.1", ROUTER).v4
    assert fresh.due(ROUTER)
    client(fresh, port).renew("127.0.0.1", fresh.next(ROUTER), ROUTER)
    assert stored.users(1) == 0
    stored.retire_authority(1)
    assert client(trust.Trust(stored, values()), port).status("127.0.0.1", ROUTER).v4


def test_appliance_back_on_its_first_bundle_is_reached_while_its_authority_lives(stored, serve):
    own = trust.Trust(stored, values())
    first = own.first(ROUTER)
    own.add_authority()
    fresh = trust.Trust(stored, values())
    fresh.next(ROUTER)
    port, *_ = serve(first)  # rebooted: memory is lost, the config drive is not
    assert client(fresh, port).status("127.0.0.1", ROUTER).v4
    assert fresh.due(ROUTER)


def test_plaintext_appliance_is_silent_unless_the_operator_accepts_it(stored, serve):
    port, *_ = serve(None)
    with pytest.raises(errors.Unavailable, match="accept_plaintext"):
        client(trust.Trust(stored, values()), port).status("127.0.0.1", ROUTER)
    lenient = trust.Trust(stored, values(accept_plaintext=True))
    assert client(lenient, port).status("127.0.0.1", ROUTER).v4


def test_bundle_of_another_appliance_is_refused(stored, tmp_path):
    own = trust.Trust(stored, values())
    keeper = appliance_tls.Gatekeeper(tmp_path, own.first(ROUTER))
    with pytest.raises(appliance_tls.BundleError, match="another appliance"):
        keeper.replace(own.first(OTHER))
