"""IPsec connections of Neutron in the document, and their statuses on the way back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara.clients import topology
from astara.drivers.router import document, functions, ipsec, needs
from astara.instance import report
from astara.machine.vocabulary import InstanceState
from astara_contract import document as contract
from astara_contract import ipsec as shape

POLICY = topology.VpnPolicy(
    encryption_algorithm="aes-256", auth_algorithm="sha256", pfs="group14", lifetime_value=7200,
    ike_version="v2", transform_protocol="esp", encapsulation_mode="tunnel",
    phase1_negotiation_mode="main",
)  # fmt: skip
CONNECTION = topology.IpsecSiteConnection(
    id="c1", peer_address="203.0.113.9", peer_id="site-b", psk="very secret", ikepolicy=POLICY,
    ipsecpolicy=POLICY, local_cidrs=("10.1.0.0/24",), peer_cidrs=("10.2.0.0/24",),
)  # fmt: skip
GATEWAY = topology.RouterPort(
    id="g", network_id="ext", mac_address="fa:16:3e:00:00:02", device_owner=needs.GATEWAY_OWNER,
    fixed_ips=(
        topology.FixedIp(ip_address="203.0.113.7", subnet_id="s"),
        topology.FixedIp(ip_address="2001:db8::7", subnet_id="s6"),
    ),
)  # fmt: skip


def router(*connections, **keys):
    return topology.RouterDetail(
        id="r1", project_id="p1", generation="1", ports=(GATEWAY,),
        ipsec_site_connections=connections, **keys,
    )  # fmt: skip


def changed(**keys):
    return msgspec.structs.replace(CONNECTION, **keys)


def sent(*connections):
    site = document.Site(functions=(functions.Function("ipsec", ipsec.section),))
    nic = document.Nic("fa:16:3e:00:00:01", "net-mgt", ("fdca::5/64",), 1400)
    built = document.build(router(*connections), nic, {}, site)
    found = contract.parse(contract.encode(built)).functions.get("ipsec", {})
    return msgspec.convert(found, shape.Section).connections


def test_a_connection_is_said_in_the_words_of_the_contract():
    [made] = sent(CONNECTION)
    assert made.local_address == made.local_id == "203.0.113.7"
    assert (made.peer_address, made.peer_id, made.psk_secret) == (
        "203.0.113.9", "site-b", "very secret",
    )  # fmt: skip
    assert made.ike == shape.Proposal(
        encryption="aes-256", integrity="sha256", group=14, lifetime_s=7200
    )
    assert (made.ike_version, made.initiate, made.aggressive) == (2, True, False)


def test_ipv6_peers_are_spoken_to_by_ipv6():
    [made] = sent(changed(peer_address="2001:db8::9"))
    assert made.local_address == "2001:db8::7"


def test_what_is_off_or_impossible_is_left_out_and_told():
    off = changed(admin_state_up=False)
    odd = changed(id="c2", peer_id='a" } evil {\n')
    twice = changed(
        id="c3", ipsecpolicy=msgspec.structs.replace(POLICY, transform_protocol="ah-esp")
    )
    assert sent(off, odd, twice) == ()
    told = ipsec.statuses(router(off, odd, twice), {})
    assert told == {"c1": "DOWN", "c2": "ERROR", "c3": "ERROR"}


@given(st.text(max_size=60), st.sampled_from(["peer_id", "local_id", "peer_address", "psk", "id"]))
def test_no_string_of_a_tenant_makes_a_document_that_is_refused(text, key):
    for made in sent(changed(**{key: text})):
        assert msgspec.convert(msgspec.to_builtins(made), shape.Connection) == made


def test_statuses_of_the_appliance_reach_neutrons_words():
    reported = {"ipsec": {"connections": [{"id": "c1", "status": "ACTIVE"}]}}
    want = report.wanted(
        InstanceState.CONFIGURED, router(CONNECTION), serving=True, functions=reported
    )
    assert want.connections == {"c1": "ACTIVE"}
    assert report.differs(want, report.shown(router(CONNECTION, status="ACTIVE")))
    gone = report.wanted(InstanceState.DOWN, router(CONNECTION), serving=False)
    assert gone.connections == {"c1": "DOWN"}


@pytest.mark.parametrize("told", [{}, {"ipsec": {}}, {"ipsec": {"connections": 7}}])
def test_nonsense_of_an_appliance_is_no_connection(told):
    assert ipsec.statuses(router(CONNECTION), told) == {"c1": "DOWN"}


def test_a_key_is_in_no_text_of_a_router():
    assert "very secret" not in repr(router(CONNECTION))
