"""What strongSwan is told: hostile values stay values, pairs of subnets become rules."""

import pathlib
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base, functions
from astara_appliance.drivers.firewall import openings
from astara_appliance.drivers.ipsec import config, routing, states
from astara_appliance.system import vici
from astara_contract import document as contract
from astara_contract import ipsec

HOSTILE = st.text(max_size=80) | st.sampled_from(
    [
        "%any",
        "@#00",
        'a" }',
        "a\nchildren {",
        "{x}",
        "a\0b",
        "C=US, CN=*",
        "$(id)",
        "=",
        "..",
        "\\",
    ]
)


def connection(**keys):
    plain = {
        "id": "c1",
        "local_address": "203.0.113.1",
        "local_id": "203.0.113.1",
        "peer_address": "203.0.113.2",
        "peer_id": "203.0.113.2",
        "psk_secret": "secret",
        "local_subnets": ["10.1.0.0/24", "10.3.0.0/24"],
        "peer_subnets": ["10.2.0.0/24"],
    }
    return msgspec.convert(plain | keys, ipsec.Connection)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["id", "local_id", "peer_id", "peer_address", "psk_secret"], HOSTILE)))  # fmt: skip
def test_no_string_adds_a_key_or_a_section(strings):
    try:
        wanted = connection(**strings)
    except msgspec.ValidationError:
        return
    for kernel in (True, False):
        asked = config.message(wanted, kernel=kernel)
        assert vici.decode(vici.encode(asked)) == plain(asked)
    key = config.shared_key(wanted)
    assert vici.decode(vici.encode(key)) == plain(key)
    assert set(config.message(wanted, kernel=False)[wanted.id]) == set(
        config.message(connection(), kernel=False)["c1"]
    )


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple | list) else value


NAMES = st.text(string.ascii_letters, min_size=1, max_size=20)
TREES = st.recursive(
    st.text(string.printable, max_size=50),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(st.text(max_size=9), max_size=4)),
    max_leaves=12,
)


@given(TREES)
def test_vici_messages_are_read_back(tree):
    message = {"root": tree}
    assert vici.decode(vici.encode(message)) == message


@given(st.binary(max_size=60))
def test_half_a_message_is_an_error_of_the_connection(raw):
    try:
        vici.decode(raw)
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    ("keys", "ike", "esp"),
    [
        ({}, "aes128-sha1-modp1536", "aes128-sha1-modp1536"),
        (
            {"encryption": "aes-256-gcm-16", "integrity": "sha384", "group": 20},
            "aes256gcm16-prfsha384-ecp384",
            "aes256gcm16-ecp384",
        ),
        (
            {"encryption": "3des", "integrity": "aes-xcbc", "group": 2},
            "3des-aesxcbc-modp1024",
            "3des-aesxcbc-modp1024",
        ),
    ],
    ids=["defaults", "combined", "old"],
)
def test_proposals_in_strongswans_words(keys, ike, esp):
    wanted = msgspec.convert(keys, ipsec.Proposal)
    assert config.proposal(wanted, with_prf=True) == ike
    assert config.proposal(wanted, with_prf=False) == esp


def test_ikev1_has_a_tunnel_for_each_pair_of_subnets():
    children = config.message(connection(), kernel=False)["c1"]["children"]
    assert sorted((c["local_ts"], c["remote_ts"]) for c in children.values()) == [
        (["10.1.0.0/24"], ["10.2.0.0/24"]),
        (["10.3.0.0/24"], ["10.2.0.0/24"]),
    ]
    one = config.message(connection(ike_version=2), kernel=False)["c1"]["children"]["c1"]
    assert one["local_ts"] == ["10.1.0.0/24", "10.3.0.0/24"]


def test_the_kernels_policies_are_tied_to_our_device():
    child = config.message(connection(ike_version=2), kernel=True)["c1"]["children"]["c1"]
    assert child["if_id_in"] == child["if_id_out"] == str(config.INTERFACE_ID)
    file = config.daemon_file(pathlib.Path("/run/s"), pathlib.Path("/log"), kernel=True)
    assert "kernel-libipsec" not in file


def router(*connections):
    inside = {
        "network_id": "a",
        "network_type": "internal",
        "interface": {"lladdr": "fa:16:3e:00:00:01", "addresses": ["10.1.0.1/24", "10.3.0.1/24"]},
    }
    return contract.parse(
        {
            "networks": [inside],
            "functions": {"ipsec": {"connections": msgspec.to_builtins(connections)}},
        }
    )


def test_traffic_inside_stays_inside_when_the_other_site_claims_everything():
    wanted = connection(peer_subnets=["0.0.0.0/0"], local_subnets=["10.1.0.0/24"])
    ways = routing.plan(router(wanted), [wanted])
    assert ways.rules == {
        routing.Rule("10.1.0.0/24", "0.0.0.0/0", enters=True),
        routing.Rule("10.1.0.0/24", "10.1.0.0/24", enters=False),
        routing.Rule("10.1.0.0/24", "10.3.0.0/24", enters=False),
    }
    assert ways.tables == {4}


def test_gateways_by_name_may_be_anywhere_and_swallow_the_others():
    ports = tuple(
        base.Opening(config.sources(peer), udp_port=500)
        for peer in ("203.0.113.2", "gw.example.", "2001:db8::2")
    )
    found = openings.elements(base.Openings(("ipsec0",), ports))
    assert found["open_udp4"] == {"0.0.0.0/0 . 500"}
    assert found["open_udp6"] == {"::/0 . 500"}
    assert found["tunnel_if"] == {'"ipsec0"'}


def test_a_key_is_hidden_in_what_is_shown():
    shown = contract.without_secrets(router(connection()))
    assert "secret" not in msgspec.json.encode(shown.functions["ipsec"]["connections"]).decode(
    ).replace("psk_secret", "")  # fmt: skip
    assert functions.section_of(shown, "ipsec", ipsec.Section).connections[0].psk_secret == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tried 1 shared key for 'a' - 'b', but MAC mismatched", "another pre-shared key"),
        ("received AUTHENTICATION_FAILED notify error", "pre-shared key or identities"),
        ("giving up after 5 retransmits", "does not answer"),
        ("received NO_PROPOSAL_CHOSEN notify error", "algorithms"),
        ("initiating IKE_SA c1[1] to 203.0.113.2", "not established"),
    ],
)
def test_the_log_tells_why(line, reason):
    log = f"2026-01-01T00:00:00 05[IKE] <c10|1> received TS_UNACCEPTABLE\n05[IKE] <c1|7> {line}\n"
    [told] = states.report(["c1"], {}, [], log).connections
    assert (told.status, reason in told.reason) == ("DOWN", True)
