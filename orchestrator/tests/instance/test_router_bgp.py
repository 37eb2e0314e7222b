"""With whom the appliance of a router speaks BGP."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from astara.clients import topology
from astara.drivers.router import bgp, document, needs
from astara_contract import document as contract


def network(addresses, gateways):
    return contract.Network(
        network_id="ext",
        network_type="external",
        interface=contract.Interface(lladdr="fa:16:3e:00:00:01", addresses=tuple(addresses)),
        subnets=tuple(contract.Subnet(cidr=cidr, gateway_ip=ip) for cidr, ip in gateways),
    )


EXTERNAL = network(
    ["203.0.113.9/24", "2001:db8:cafe::9/64"],
    [
        ("203.0.113.0/24", "203.0.113.1"),
        ("198.51.100.0/24", "198.51.100.1"),
        ("2001:db8:cafe::/64", "2001:db8:cafe::1"),
    ],
)


def test_nobody_is_spoken_to_unless_switched_on():
    assert bgp.sessions(bgp.Policy(), [EXTERNAL]) is None
    assert bgp.sessions(bgp.Policy(gateways=True), []) is None


def test_gateways_within_reach_are_neighbours_of_their_version():
    policy = bgp.Policy(
        gateways=True, password="key", bfd=True, accept=("0.0.0.0/0", "2001:db8::/32")
    )
    found = bgp.sessions(policy, [EXTERNAL])
    assert [(item.address, item.accept) for item in found.neighbors] == [
        ("203.0.113.1", ("0.0.0.0/0",)),
        ("2001:db8:cafe::1", ("2001:db8::/32",)),
    ]
    assert all(item.password == "key" and item.bfd for item in found.neighbors)
    assert "key" not in repr(policy)


PEER = topology.BgpPeer(
    id="p1", peer_ip="203.0.113.20", remote_as=64602, auth_type="md5", password="secret"
)
SPEAKER = topology.BgpSpeaker(id="s1", local_as=64601, ip_version=4, peers=(PEER,))


def with_peers(*peers, **keys):
    return msgspec.structs.replace(SPEAKER, peers=peers, **keys)


def peer(**keys):
    return msgspec.structs.replace(PEER, **keys)


def spoken_to(*speakers, **policy):
    found = bgp.sessions(bgp.Policy(**policy), [EXTERNAL], speakers)
    return found.neighbors if found else ()


def test_a_peer_of_a_speaker_is_said_in_the_words_of_the_contract():
    assert spoken_to(SPEAKER, bfd=True, accept=("10.0.0.0/8", "2001:db8::/32")) == (
        contract.BgpNeighbor(
            address="203.0.113.20",
            asn=64602,
            local_asn=64601,
            password="secret",
            bfd=True,
            accept=("10.0.0.0/8",),
            announce_networks="in-scope",
        ),
    )
    assert spoken_to(SPEAKER, asn=64601)[0].local_asn is None
    assert "secret" not in repr(SPEAKER)


def test_a_speaker_announces_what_it_is_asked_for():
    silent = {"advertise_floating_ip_host_routes": False, "advertise_tenant_networks": False}
    [made] = spoken_to(with_peers(PEER, **silent))
    assert (made.announce_floating_ips, made.announce_networks) == (False, "none")


def test_a_password_without_md5_is_none():
    assert spoken_to(with_peers(peer(auth_type="none")))[0].password == ""


def test_what_no_appliance_can_do_leaves_the_others_alone():
    far, itself = peer(id="p0", peer_ip="192.0.2.1"), peer(id="p2", peer_ip="203.0.113.9")
    quote = peer(id="p3", peer_ip="203.0.113.21", password='a"; evil')
    other_version = peer(id="p4", peer_ip="2001:db8:cafe::20")
    made = spoken_to(with_peers(far, itself, quote, other_version, PEER))
    assert [item.address for item in made] == ["203.0.113.20"]


def test_a_speaker_comes_before_the_operators_word_on_gateways():
    gateway = peer(peer_ip="203.0.113.1")
    ipv6 = with_peers(peer(id="p6", peer_ip="2001:db8:cafe:0::20"), id="s6", ip_version=6)
    made = {item.address: item for item in spoken_to(with_peers(gateway), ipv6, gateways=True)}
    assert set(made) == {"203.0.113.1", "2001:db8:cafe::1", "2001:db8:cafe::20"}
    assert made["203.0.113.1"].asn == 64602
    assert made["2001:db8:cafe::1"].asn is None


@given(st.text(max_size=60), st.sampled_from(["peer_ip", "password", "auth_type"]))
def test_no_word_of_a_peer_stops_a_router(text, key):
    fixed = topology.FixedIp(ip_address="203.0.113.9", subnet_id="s")
    port = topology.RouterPort(
        id="g", network_id="ext", mac_address="fa:16:3e:00:00:02",
        device_owner=needs.GATEWAY_OWNER, fixed_ips=(fixed,),
    )  # fmt: skip
    subnet = topology.Subnet(id="s", cidr="203.0.113.0/24", ip_version=4)
    router = topology.RouterDetail(
        id="r1", project_id="p1", generation="1", ports=(port,),
        networks=(topology.Network(id="ext", external=True, subnets=(subnet,)),),
        bgp_speakers=(with_peers(peer(**{key: text}), peer(id="p9", peer_ip="203.0.113.99")),),
    )  # fmt: skip
    nic = document.Nic("fa:16:3e:00:00:01", "net-mgt", ("fdca::5/64",), 1400)
    carrier = document.Nic("fa:16:3e:00:00:03", "ext")
    built = document.build(router, nic, {"ext": carrier}, document.Site())
    told = contract.parse(contract.encode(built)).bgp
    assert "203.0.113.99" in [item.address for item in told.neighbors]
