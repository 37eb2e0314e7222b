"""What BIRD is told, held against BIRD's own parser."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astara_appliance.drivers import base
from astara_appliance.drivers.bgp import BgpDriver, config
from astara_appliance.system import paths
from astara_contract import document as contract
from astara_contract.errors import ContractError

MACS = [f"fa:16:3e:00:00:0{at}" for at in range(3)]
FACTS = base.Facts({mac: base.Nic(mac, f"eth{at}", f"ge{at}") for at, mac in enumerate(MACS)})


def network(at, kind, addresses):
    nic = {"lladdr": f"fa:16:3e:00:00:0{at}", "addresses": addresses}
    return {"network_id": f"net{at}", "network_type": kind, "interface": nic}


def document(neighbors, **keys):
    networks = [
        network(1, "external", ["203.0.113.9/24", "2001:db8:cafe::9/64"]),
        network(2, "internal", ["192.168.0.1/24", "2001:db8:b::1/64"]),
    ]
    return contract.parse({"networks": networks, "bgp": {"neighbors": neighbors}} | keys)


def text(neighbors, **keys):
    return config.configuration(document(neighbors, **keys), FACTS)


PEER = {"address": "203.0.113.1", "accept": ["10.0.0.0/8"]}


def announced(told):
    return re.findall(r"route (\S+) blackhole", told)


def test_without_neighbours_bird_does_not_run():
    assert text([]) is None


def test_translated_prefixes_stay_at_home():
    floating = [{"floating_ip": "203.0.113.50", "fixed_ip": "192.168.0.10"}]
    assert announced(text([PEER], floating_ips=floating)) == [
        "203.0.113.50/32",
        "2001:db8:b::/64",
    ]
    assert "192.168.0.0/24" in announced(text([PEER], enable_snat=False))


def exported(told):
    return re.findall(r"export (where proto[^;]*|where source = RTS_STATIC|none);", told)


@pytest.mark.parametrize(
    ("peer", "filters"),
    [
        ({}, "where source = RTS_STATIC"),
        ({"announce_floating_ips": False, "announce_networks": "none"}, "none"),
        ({"announce_networks": "none"}, 'where proto = "floating4"'),
        (
            {"announce_networks": "in-scope"},
            'where proto = "floating4" || proto = "in_scope4"',
        ),
        ({"announce_floating_ips": False, "announce_networks": "reachable"},
         'where proto = "in_scope4" || proto = "reachable4"'),
    ],
    ids=["all", "nothing", "floating-ips", "scoped", "networks"],
)  # fmt: skip
def test_a_neighbour_hears_what_it_is_to_hear(peer, filters):
    assert exported(text([PEER | peer])) == [filters]


def scoped(four, six, **keys):
    networks = [
        network(1, "external", ["203.0.113.9/24", "2001:db8:cafe::9/64"])
        | {"address_scope4": "a", "address_scope6": "b"},
        network(2, "internal", ["192.168.0.1/24", "2001:db8:b::1/64"])
        | {"address_scope4": four, "address_scope6": six},
    ]
    told = contract.parse({"networks": networks, "bgp": {"neighbors": [PEER]}} | keys)
    return config.configuration(told, FACTS)


def kind(told, name):
    body = told.partition(f"protocol static {name} ")[2].partition("}")[0]
    return announced(body)


def test_prefixes_of_an_external_scope_are_announced_though_ipv4_is_translated():
    told = scoped("a", "b")
    assert kind(told, "in_scope4") == ["192.168.0.0/24"]
    assert kind(told, "in_scope6") == ["2001:db8:b::/64"]


def test_prefixes_of_another_scope_cannot_be_reached():
    assert announced(scoped("x", "y")) == []
    assert announced(scoped("", "", enable_snat=False)) == []


def test_a_session_may_be_of_an_as_of_its_own():
    told = text([PEER | {"local_asn": 65010}, {"address": "2001:db8:cafe::1"}])
    assert re.findall(r"local \S+ as (\d+)", told) == ["64512", "65010"]


def test_nothing_is_learned_unasked():
    assert "import none;" in text([{"address": "203.0.113.1"}])


def test_sessions_keep_their_names_when_another_comes():
    names = re.findall(r"protocol bgp (\S+)", text([PEER]))
    more = text([{"address": "2001:db8:cafe::1"}, {"address": "203.0.113.0"}, PEER])
    assert set(names) < set(re.findall(r"protocol bgp (\S+)", more))


@pytest.mark.parametrize(
    ("neighbor", "path"),
    [
        ({"address": "198.51.100.1"}, "$.bgp.neighbors[0].address"),
        ({"address": "192.168.0.5"}, "$.bgp.neighbors[0].address"),
        ({"address": "203.0.113.9"}, "$.bgp.neighbors[0].address"),
        ({"address": "203.0.113.1", "asn": 0}, "$.bgp.neighbors[0]"),
        ({"address": "203.0.113.1", "local_asn": 0}, "$.bgp.neighbors[0]"),
        ({"address": "203.0.113.1", "accept": ["::/0"]}, "$.bgp.neighbors[0].accept[0]"),
        ({"address": "203.0.113.1", "password": 'a"; x'}, "$.bgp.neighbors[0].password"),
        ({"address": "203.0.113.1", "password": "a\n"}, "$.bgp.neighbors[0].password"),
    ],
    ids=[
        "not-connected",
        "tenant",
        "itself",
        "as-0",
        "own-as-0",
        "other-version",
        "quote",
        "newline",
    ],
)
def test_a_neighbour_that_cannot_be_is_refused(neighbor, path):
    with pytest.raises(ContractError) as refused:
        document([neighbor])
    assert refused.value.path == path


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\'),
                    min_size=1, max_size=80)  # fmt: skip


@given(PASSWORDS)
def test_a_password_adds_nothing_but_itself(password):
    told, plain = (text([PEER | {"password": word}]) for word in (password, "plain"))
    marks = (config.mark_of(told), config.mark_of(plain))
    quoted = told.replace(f'password "{password}"', 'password "plain"')
    assert quoted.replace(marks[0], marks[1]) == plain


@pytest.mark.functional
@settings(max_examples=15, deadline=None)
@given(PASSWORDS, st.integers(1, 2**32 - 1), st.booleans(), st.booleans())
def test_bird_takes_whatever_the_contract_takes(tmp_path_factory, password, asn, bfd, snat):
    peer = PEER | {"password": password, "asn": asn, "bfd": bfd, "local_asn": asn}
    peer["announce_networks"] = "reachable" if bfd else "in-scope"
    told = text([peer, {"address": "2001:db8:cafe::1"}], enable_snat=snat)
    driver = BgpDriver(paths.Paths.under(tmp_path_factory.mktemp("bgp")))
    driver.check(driver.render(document([peer]), FACTS))
    assert told.count("protocol bgp ") == 2


def test_passwords_are_not_shown():
    shown = contract.without_secrets(document([PEER | {"password": "hidden-word"}]))
    assert b"hidden-word" not in contract.encode(shown)
