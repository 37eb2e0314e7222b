"""The document: what is accepted, what is refused and where, and when two digests are equal."""

import ipaddress
import json
import random

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from astara_contract import document as contract
from astara_contract.errors import ContractError

SEED_SHAPE = {
    "configuration": {
        "networks": [
            {
                "address_allocations": [],
                "interface": {
                    "addresses": ["203.0.113.4/24", "2001:db8::4/64"],
                    "description": "",
                    "groups": [],
                    "ifname": "ge1",
                    "lladdr": None,
                    "media": None,
                    "mtu": 1500,
                    "state": "up",
                },
                "name": "",
                "network_id": "f0f8c937-9fb7-4a58-b83f-57e9515e36cb",
                "network_type": "external",
                "v4_conf_service": "static",
                "v6_conf_service": "static",
            },
            {
                "address_allocations": [
                    {
                        "device_id": "7c400585-1743-42ca-a2a3-6b30dd34f83b",
                        "hostname": "10-10-10-1.local",
                        "ip_addresses": {"10.10.10.1": True, "2607:f298:6050:f0ff::1": False},
                        "mac_address": "fa:16:4d:c3:95:81",
                    }
                ],
                "interface": {"addresses": ["10.10.10.254/24"], "ifname": "ge2"},
                "network_id": "31a242a0-95aa-49cd-b2db-cc00f33dfe88",
                "network_type": "internal",
                "v4_conf_service": "static",
                "v6_conf_service": "static",
            },
        ],
        "static_routes": [],
    }
}

PUSHED_SHAPE = {
    "asn": 64512,
    "neighbor_asn": 64512,
    "default_v4_gateway": "172.16.77.1",
    "tenant_id": "c25992581e574b6485dbfdf39a3df46c",
    "hostname": "ak-c25992581e574b6485dbfdf39a3df46c",
    "orchestrator": {
        "host": "ctl1",
        "address": "fdca:3ba5:a17a:acda::10",
        "metadata_port": 9697,
    },
    "labels": {"ext": ["192.168.57.0/24"]},
    "vpn": {},
    "floating_ips": [{"floating_ip": "172.16.77.50", "fixed_ip": "192.168.0.2"}],
    "networks": [
        {
            "network_id": "mgt-id",
            "network_type": "management",
            "mtu": 1450,
            "v4_conf_service": "static",
            "v6_conf_service": "static",
            "interface": {
                "ifname": "ge0",
                "addresses": ["fdca:3ba5:a17a:acda:f816:3eff:fe00:1/64"],
                "mtu": 1450,
            },
            "subnets": [
                {
                    "id": "s0",
                    "cidr": "fdca:3ba5:a17a:acda::/64",
                    "gateway_ip": "fdca:3ba5:a17a:acda::1",
                    "dhcp_enabled": False,
                    "dns_nameservers": [],
                    "host_routes": [],
                }
            ],
            "allocations": [],
        },
        {
            "network_id": "ext-id",
            "network_type": "external",
            "mtu": 1500,
            "interface": {"ifname": "ge1", "addresses": ["172.16.77.2/24"], "mtu": 1500},
            "subnets": [{"id": "s1", "cidr": "172.16.77.0/24", "gateway_ip": "172.16.77.1"}],
        },
        {
            "network_id": "int-id",
            "network_type": "internal",
            "mtu": 1450,
            "interface": {"lladdr": "fa:16:3e:00:00:09", "addresses": ["192.168.0.1/24"]},
            "subnets": [
                {
                    "id": "s2",
                    "cidr": "192.168.0.0/24",
                    "gateway_ip": "192.168.0.1",
                    "dhcp_enabled": True,
                    "dns_nameservers": ["8.8.8.8", "8.8.4.4"],
                    "host_routes": [{"destination": "192.240.128.0/20", "nexthop": "192.168.0.9"}],
                }
            ],
            "allocations": [
                {
                    "ip_addresses": {"192.168.0.2": True},
                    "device_id": "vm-id",
                    "hostname": "192-168-0-2.local",
                    "mac_address": "fa:16:3e:1b:93:76",
                },
                {
                    "ip_addresses": {"192.168.0.3": True},
                    "mac_address": "fa:16:3e:1b:93:77",
                    "extra_dhcp_opts": [{"name": "bootfile-name", "value": "pxe.0"}],
                },
            ],
        },
    ],
}


def changed(path: str, value: object) -> dict:
    """Return the pushed shape with `value` at a dotted path (numbers index lists)."""
    whole = json.loads(json.dumps(PUSHED_SHAPE))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = whole
    for part in parents:
        place = place[part]
    place[last] = value
    return whole


@pytest.mark.parametrize("shape", [SEED_SHAPE, PUSHED_SHAPE], ids=["seed", "pushed"])
def test_both_historic_shapes_are_accepted_and_survive_a_round_trip(shape: dict) -> None:
    document = contract.parse(json.dumps(shape))
    assert contract.parse(contract.encode(document)) == document


def test_the_wrapped_and_the_bare_shape_have_one_digest() -> None:
    bare = contract.parse(PUSHED_SHAPE)
    wrapped = contract.parse({"configuration": PUSHED_SHAPE})
    assert contract.digest(bare) == contract.digest(wrapped)


REFUSED = [
    ("colour", "red", "$.colour"),
    ("networks.0.colour", "red", "$.networks[0].colour"),
    ("networks.2.interface.mtuu", 9, "$.networks[2].interface.mtuu"),
    ("networks.2.interface.mtu", 67, "$.networks[2].interface.mtu"),
    (
        "networks.2.interface.addresses.0",
        "192.168.0.300/24",
        "$.networks[2].interface.addresses[0]",
    ),
    ("networks.2.interface.addresses.0", "224.0.0.1/4", "$.networks[2].interface.addresses[0]"),
    ("networks.2.interface.lladdr", "01:00:5e:00:00:01", "$.networks[2].interface.lladdr"),
    ("networks.2.interface", {"addresses": []}, "$.networks[2].interface"),
    ("networks.2.network_id", "ext-id", "$.networks[2].network_id"),
    ("networks.2.network_type", "management", "$.networks[2].network_type"),
    ("networks.2.network_type", "wormhole", "$.networks[2].network_type"),
    ("networks.2.subnets.0.cidr", "192.168.0.1/24", "$.networks[2].subnets[0].cidr"),
    ("networks.2.subnets.0.gateway_ip", "fe80::1", "$.networks[2].subnets[0].gateway_ip"),
    ("networks.2.subnets.0.ipv6_ra_mode", "slaac", "$.networks[2].subnets[0]"),
    (
        "networks.2.subnets.0.host_routes.0.nexthop",
        "fe80::1",
        "$.networks[2].subnets[0].host_routes[0].nexthop",
    ),
    ("networks.2.allocations.0.hostname", "a\nb", "$.networks[2].allocations[0].hostname"),
    ("networks.2.allocations.0.hostname", "a\n", "$.networks[2].allocations[0].hostname"),
    (
        "networks.2.allocations.1.extra_dhcp_opts.0.value",
        "x\ndhcp-script=/bin/sh",
        "$.networks[2].allocations[1].extra_dhcp_opts[0].value",
    ),
    ("networks.1.interface.addresses.0", "192.168.0.1/24", "$.networks[2].interface.addresses[0]"),
    ("floating_ips.0.fixed_ip", "2001:db8::1", "$.floating_ips[0].fixed_ip"),
    ("floating_ips.0.fixed_ip", "10.0.0.5\n", "$.floating_ips[0].fixed_ip"),
    ("floating_ips.0.fixed_ip", "10.0.0.5\0", "$.floating_ips[0].fixed_ip"),
    ("floating_ips.0.fixed_ip", "10.0.0.05", "$.floating_ips[0].fixed_ip"),
    ("floating_ips.0.floating_ip", "", "$.floating_ips[0].floating_ip"),
    ("floating_ips.0.floating_ip", "203.0.113.7 }", "$.floating_ips[0].floating_ip"),
    ("floating_ips.0.floating_ip", "\u0661.2.3.4", "$.floating_ips[0].floating_ip"),
    ("floating_ips.0.floating_ip", "1" * 9000, "$.floating_ips[0].floating_ip"),
    ("default_v4_gateway", "fe80::1", "$.default_v4_gateway"),
    ("static_routes", [["10.0.0.0/8", "fe80::1"]], "$.static_routes[0][1]"),
    ("dns_forwarders", ["1.2.3"], "$.dns_forwarders[0]"),
    ("orchestrator.metadata_port", 0, "$.orchestrator.metadata_port"),
    ("schema_version", 2, "$.schema_version"),
    ("vpn", {"ipsec": []}, "$.vpn"),
    ("ha_resource", True, "$.ha_resource"),
    ("ha_config", {"peers": ["fdca::3"]}, "$.ha_config"),
    ("ha_config", {"peers": ["fdca::3"], "password": "x"}, "$.ha_config.password"),
    (
        "ha_config",
        {"peers": ["fdca::3"], "advert_interval_ms": 105},
        "$.ha_config.advert_interval_ms",
    ),
    (
        "ha_config",
        {"peers": ["fdca::3"], "virtual_router_id": 256},
        "$.ha_config.virtual_router_id",
    ),
]


@pytest.mark.parametrize(
    ("place", "value", "path"), REFUSED, ids=[f"{p}={v!r}"[:60] for p, v, _ in REFUSED]
)
def test_a_bad_document_is_refused_with_the_path(place: str, value: object, path: str) -> None:
    with pytest.raises(ContractError) as refusal:
        contract.parse(changed(place, value))
    assert refusal.value.path == path
    assert refusal.value.reason


def test_floating_ips_need_an_external_network() -> None:
    document = json.loads(json.dumps(PUSHED_SHAPE))
    del document["networks"][1]
    with pytest.raises(ContractError, match="no external network"):
        contract.parse(document)


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'{"asn":', b"\xff", b"[" * 2000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ContractError) as refusal:
        contract.parse(text)
    assert refusal.value.path == "$"


def test_allocations_given_under_both_names_are_refused() -> None:
    with pytest.raises(ContractError, match="given twice"):
        contract.parse(changed("networks.2.address_allocations", []))


@given(st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_order(rng: random.Random) -> None:
    shuffled = json.loads(json.dumps(PUSHED_SHAPE))
    rng.shuffle(shuffled["networks"])
    for network in shuffled["networks"]:
        rng.shuffle(network.get("allocations", []))
        rng.shuffle(network["interface"]["addresses"])
    assert contract.digest(contract.parse(shuffled)) == contract.digest(
        contract.parse(PUSHED_SHAPE)
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("networks.2.subnets.0.dns_nameservers", ["8.8.4.4", "8.8.8.8"]),
        ("networks.2.mtu", 1400),
        ("enable_snat", False),
        ("floating_ips", []),
        ("networks.2.allocations.0.ip_addresses", {"192.168.0.2": False}),
    ],
)
def test_the_digest_changes_with_what_is_asked_for(place: str, value: object) -> None:
    assert contract.digest(contract.parse(changed(place, value))) != contract.digest(
        contract.parse(PUSHED_SHAPE)
    )


def test_secrets_are_not_shown() -> None:
    document = contract.parse(changed("orchestrator.metadata_key", "ab" * 32))
    assert b"abab" in contract.encode(document)
    assert b"abab" not in contract.encode(contract.without_secrets(document))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(sorted(contract.Document.__struct_fields__)) | st.text(max_size=8),
            children,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_whatever_is_sent_parses_or_is_refused_by_contract_error(value: object) -> None:
    try:
        document = contract.parse(msgspec.json.encode(value))
    except ContractError:
        return
    assert contract.parse(contract.encode(document)) == document


@given(st.text())
@example("\x85")
@example("\u2028")
def test_no_accepted_text_holds_a_line_break(text: str) -> None:
    try:
        document = contract.parse(changed("networks.2.name", text))
    except ContractError:
        return
    assert len(document.networks[2].name.splitlines()) <= 1


@given(st.text())
def test_a_floating_ip_is_spelled_in_one_way(text: str) -> None:
    try:
        document = contract.parse(changed("floating_ips.0.floating_ip", text))
    except ContractError:
        return
    assert document.floating_ips[0].floating_ip == str(ipaddress.IPv4Address(text))


def paired(**keys: object) -> dict[str, object]:
    return {**changed("ha_resource", True), "ha_config": keys}


def test_a_pair_has_useful_defaults() -> None:
    pair = contract.parse(paired(peers=["fdca:3ba5:a17a:acda::3"])).ha_config
    assert pair == contract.HighAvailability(
        peers=("fdca:3ba5:a17a:acda::3",),
        priority=100,
        virtual_router_id=1,
        advert_interval_ms=100,
        synchronise_connections=True,
    )


@pytest.mark.parametrize(
    ("peers", "path"),
    [
        ([], "$.ha_config.peers"),
        (["fdca::3", "fdca::4"], "$.ha_config.peers"),
        (["fdca::x"], "$.ha_config.peers[0]"),
        (["192.168.0.1"], "$.ha_config.peers[0]"),
    ],
    ids=["none", "two", "no-address", "itself"],
)
def test_a_pair_has_one_other_member(peers: list[str], path: str) -> None:
    with pytest.raises(ContractError) as refusal:
        contract.parse(paired(peers=peers))
    assert refusal.value.path == path


@pytest.mark.parametrize(
    "text",
    [b'{"hostname": "\xff"}', b"\xff\xfe", b"", b"[" * 100_000, b'{"asn": 1e999}', b"[]", b"null"],
    ids=["not-utf8", "bytes", "empty", "deep", "huge-number", "list", "null"],
)
def test_what_is_no_document_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(ContractError):
        contract.parse(text)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("orchestrator.address", "fdca:3ba5:a17a:acda::99"),
        ("orchestrator.host", "another-node"),
        ("orchestrator.metadata_port", 9999),
    ],
)
def test_the_digest_does_not_depend_on_who_asks(place: str, value: object) -> None:
    assert contract.digest(contract.parse(changed(place, value))) == contract.digest(
        contract.parse(PUSHED_SHAPE)
    )


KEYS_OF_THE_FIRST_RELEASE = {
    "$": "address_book anchors asn default_v4_gateway dns_domain dns_forwarders enable_snat"
    " floating_ips ha_config ha_resource hostname labels neighbor_asn networks orchestrator"
    " router_id schema_version services static_routes tenant_id vpn",
    "networks": "allocations interface mtu name network_id network_type subnets v4_conf_service"
    " v6_conf_service",
    "interface": "addresses description groups ifname lladdr media mtu state",
    "subnets": "cidr dhcp_enabled dns_nameservers gateway_ip host_routes id ipv6_address_mode"
    " ipv6_ra_mode",
    "allocations": "device_id extra_dhcp_opts hostname ip_addresses mac_address tenant_id",
    "floating_ips": "fixed_ip floating_ip",
    "orchestrator": "address host metadata_key metadata_port",
}


def keys_of(value: object, name: str = "$") -> dict[str, set[str]]:
    """All keys of the objects in a document, by the key under which they are."""
    found: dict[str, set[str]] = {}
    if isinstance(value, dict):
        found[name] = set(value)
        parts = list(value.items())
    else:
        parts = [(name, item) for item in value] if isinstance(value, list) else []
    for key, item in parts:
        for where, keys in keys_of(item, key).items():
            found[where] = found.get(where, set()) | keys
    return found


def test_a_plain_router_asks_nothing_that_the_first_release_did_not_know() -> None:
    text = contract.encode(contract.parse(PUSHED_SHAPE))
    found = keys_of(json.loads(text))
    for where, known in KEYS_OF_THE_FIRST_RELEASE.items():
        assert found.get(where, set()) <= set(known.split()), where


def test_the_digest_of_a_plain_router_stays_from_release_to_release() -> None:
    """Else an upgrade of the orchestrator would push every document anew."""
    plain = contract.parse(SEED_SHAPE)
    text = json.loads(contract.encode(plain))
    assert set(text) == set(KEYS_OF_THE_FIRST_RELEASE["$"].split())
    assert contract.digest(plain) == (
        "fafd409435116bbef3ada956116ffb0e6c12c27c40780af1546888613adb5e50"
    )


# -- one release apart


def test_what_a_later_release_tells_is_read_without_what_is_unknown() -> None:
    told = json.loads(contract.encode(contract.parse(SEED_SHAPE)))
    plain = contract.parse_of_newer(told)[0]
    told["teleports"] = [{"to": "mars"}]
    told["networks"][1]["quantum"] = True
    read, unknown = contract.parse_of_newer(told)
    assert read == plain
    assert set(unknown) == {"$.teleports", "$.networks[1].quantum"}
    assert contract.digest(read) == contract.digest(plain)


def test_what_is_wrong_in_what_a_later_release_tells_is_not_read_over() -> None:
    with pytest.raises(ContractError, match=r"mtu"):
        contract.parse_of_newer({"networks": [{"interface": {"mtu": "big"}}]})


def test_a_document_says_what_an_older_appliance_would_refuse_in_it() -> None:
    plain = contract.parse(SEED_SHAPE)
    assert contract.additions_of(plain) == ()
    network = msgspec.structs.replace(plain.networks[0], proxy_ndp=True)
    more = msgspec.structs.replace(
        plain, flow_offload=True, networks=(network, *plain.networks[1:])
    )
    assert contract.additions_of(more) == ("flow_offload", "networks[].proxy_ndp")
    assert set(contract.additions_of(more)) < set(contract.additions())


def test_which_node_asks_is_no_difference():
    ours, theirs = (
        contract.Document(orchestrator=contract.Orchestrator(address=address, host=host))
        for address, host in (("fd00::1", "left"), ("fd00::2", "right"))
    )
    assert contract.without_owner(ours) == contract.without_owner(theirs)
    assert contract.digest(ours) == contract.digest(theirs)
