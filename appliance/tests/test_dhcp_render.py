"""What dnsmasq is told for a document: served subnets, options, reservations, names, leases."""

import pathlib
import re
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astara_appliance.drivers import base, links
from astara_appliance.drivers.dhcp import (
    config,
    driver,
    hosts,
    leases,
    options,
    parts,
    service,
)
from astara_appliance.system import paths, process
from astara_contract import document as contract
from astara_contract.errors import ContractError

MAC = "fa:16:3e:00:00:01"
VM = "fa:16:3e:aa:bb:cc"
FACTS = base.Facts({MAC: base.Nic(MAC, "eth1", "ge1")})


def parsed(subnets, allocations=(), addresses=("10.0.0.1/24",), **keys):
    network = {
        "network_id": "blue",
        "network_type": "internal",
        "interface": {"lladdr": MAC, "addresses": list(addresses)},
        "subnets": subnets,
        "allocations": list(allocations),
    }
    return contract.parse({"networks": [network | keys.pop("network", {})]} | keys)


def made(subnets, allocations=(), **keys):
    document = parsed(subnets, allocations, **keys)
    of = links.links(document, FACTS)
    told = config.config(of, document.dns_forwarders, document.dns_domain)
    if told is None:
        return None
    (everything,) = parts.parts(told, 0)
    return types.SimpleNamespace(base=everything.base, **everything.files)


def v4(**keys):
    return {"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1", "dhcp_enabled": True} | keys


def v6(ra=None, address=None, **keys):
    modes = {"ipv6_ra_mode": ra, "ipv6_address_mode": address}
    return {"cidr": "2001:db8::/64", "dhcp_enabled": True} | modes | keys


def port(*addresses, **keys):
    return {
        "mac_address": VM,
        "ip_addresses": dict.fromkeys(addresses, True),
        "hostname": "vm",
    } | keys


def option_values(text, tag, name):
    lines = [line for line in text.splitlines() if line.startswith(f"tag:{tag},{name}")]
    return [line.removeprefix(f"tag:{tag},{name}").removeprefix(",") for line in lines]


SLAAC, STATELESS, STATEFUL = "slaac", "dhcpv6-stateless", "dhcpv6-stateful"


@pytest.mark.parametrize(
    ("ra", "address", "by_dhcp", "mode", "reserves"),
    [
        (SLAAC, SLAAC, False, "ra-only", False),
        (SLAAC, None, False, "ra-only", False),
        (STATELESS, STATELESS, True, "ra-stateless", False),
        (STATEFUL, STATEFUL, True, "static", True),
        (STATEFUL, None, True, "static", True),
        (None, STATEFUL, True, "static", True),
        (None, STATELESS, True, "ra-stateless", False),
        (None, SLAAC, True, None, None),
        (None, None, True, None, None),
        (None, STATEFUL, False, None, None),
    ],
)
def test_ipv6_modes_decide_the_service(ra, address, by_dhcp, mode, reserves):
    document = parsed([v6(ra, address, dhcp_enabled=by_dhcp)])
    served = service.served(links.links(document, FACTS))
    assert [(item.mode, item.reserves) for item in served] == ([(mode, reserves)] if mode else [])


@pytest.mark.parametrize(("ra", "cidr"), [(SLAAC, "2001:db8::/80"), (STATEFUL, "2001:db8::/56")])
def test_prefix_that_dnsmasq_cannot_serve_is_left_out(ra, cidr):
    assert "dhcp-range" not in made([v6(ra, ra, cidr=cidr)]).base


def test_no_tenant_network_no_dnsmasq():
    assert made([], network={"network_type": "external"}) is None


def test_network_without_dhcp_still_gets_names():
    told = made([v4(dhcp_enabled=False)], [port("10.0.0.5")])
    assert "dhcp-range" not in told.base
    assert "interface=eth1\n" in told.base
    assert told.reservations == ""
    assert told.names == "10.0.0.5 vm\n"


@pytest.mark.parametrize(
    ("gateway", "lifetime"),
    [("2001:db8::1", 1800), ("fe80::1", 1800), ("2001:db8::9", 0), ("", 0)],
)
def test_router_lifetime_follows_the_gateway(gateway, lifetime):
    addresses = ["2001:db8::1/64", "fe80::1/64"]
    subnets = [v6(SLAAC, SLAAC, gateway_ip=gateway)]
    told = made(subnets, addresses=addresses, network={"mtu": 1400})
    assert f"ra-param=eth1,mtu:1400,100,{lifetime}\n" in told.base


def test_host_routes_are_cut_where_the_option_is_full():
    routes = [{"destination": f"10.{at}.0.0/16", "nexthop": "10.0.0.9"} for at in range(1, 60)]
    (value,) = option_values(
        made([v4(host_routes=routes)]).options, "eth1-10-0-0-0-24", "option:classless-static-route"
    )
    words = value.split(",")
    lengths = [5 + (int(cidr.partition("/")[2]) + 7) // 8 for cidr in words[::2]]
    assert 245 < sum(lengths) <= 255
    assert words[:4] == ["0.0.0.0/0", "10.0.0.1", "169.254.169.254/32", "10.0.0.1"]


def test_one_line_for_each_ipv4_address():
    allocation = port("10.0.0.6", "10.0.0.5", "2001:db8::5")
    told = made([v4(), v6(STATEFUL, STATEFUL)], [allocation])
    assert told.reservations == f"{VM},10.0.0.5,[2001:db8::5],vm\n{VM},10.0.0.6,vm\n"


def test_address_that_dhcp_does_not_hand_out_is_not_reserved():
    allocation = port("2001:db8::5") | {"ip_addresses": {"10.0.0.5": False, "2001:db8::5": True}}
    told = made([v4(), v6(SLAAC, SLAAC)], [allocation])
    assert told.reservations == ""
    assert told.names == "10.0.0.5 vm\n2001:db8::5 vm\n"


@pytest.mark.parametrize("word", ["ignore", "infinite", "3600", "45m", "2h", "_x"])
def test_name_that_dnsmasq_would_misread_is_only_resolved(word):
    told = made([v4()], [port("10.0.0.5", hostname=word)])
    assert told.reservations == f"{VM},10.0.0.5\n"
    assert told.names == f"10.0.0.5 {word}\n"


@pytest.mark.parametrize(
    ("hostname", "domain", "names"),
    [
        ("vm", "", ["vm"]),
        ("vm", "cloud.example.", ["vm.cloud.example", "vm"]),
        ("10-0-0-5.local", "", ["10-0-0-5.local", "10-0-0-5"]),
        ("www.bank.example", "cloud.example", ["www.cloud.example", "www"]),
        ("", "cloud.example", []),
    ],
)
def test_no_port_can_take_a_name_of_the_world(hostname, domain, names):
    assert hosts.host_names(hostname, domain) == names


def test_port_options_come_last_and_tag_their_port():
    allocation = port("10.0.0.5", extra_dhcp_opts=[{"name": "mtu", "value": "1300"}])
    told = made([v4()], [allocation], network={"mtu": 1450})
    lines = told.options.splitlines()
    assert lines[-1] == "tag:p-fa163eaabbcc,option:mtu,1300"
    assert f"dhcp-mac=set:p-fa163eaabbcc,{VM}\n" in told.base
    assert "dhcp-mac" not in made([v4()], [port("10.0.0.5")]).base


@pytest.mark.parametrize(
    ("name", "value", "version", "line"),
    [
        ("mtu", "1400", 4, "option:mtu,1400"),
        ("option:mtu", "1400", 4, "option:mtu,1400"),
        ("26", "1400", 4, "26,1400"),
        ("mtu", "a lot", 4, None),
        ("router", "10.0.0.9, 10.0.0.10", 4, "option:router,10.0.0.9,10.0.0.10"),
        ("router", "10.0.0.300", 4, None),
        ("tftp-server", "boot.example", 4, "option:tftp-server,boot.example"),
        ("tftp-server", 'a"b', 4, None),
        ("tftp-server", "a #b", 4, None),
        ("tftp-server", "a\\b", 4, None),
        ("tftp-server", " ", 4, None),
        ("121", "10.0.0.0/8,10.0.0.9", 4, "121,10.0.0.0/8,10.0.0.9"),
        ("121", "10.0.0.0/8", 4, None),
        ("249", "x,y", 4, None),
        ("server-ip-address", "10.0.0.9", 4, "option:server-ip-address,10.0.0.9"),
        ("54", "10.0.0.9", 4, None),
        ("53", "1", 4, None),
        ("999", "1", 4, None),
        ("unheard-of", "1", 4, None),
        ("dns-server", "2001:db8::53", 6, "option6:dns-server,[2001:db8::53]"),
        ("23", "[2001:db8::53]", 6, "option6:23,[2001:db8::53]"),
        ("dns-server", "10.0.0.1", 6, None),
        ("domain-search", "a.example,b.example", 6, "option6:domain-search,a.example,b.example"),
        ("1", "00:01", 6, None),
    ],
)
def test_port_option_passes_only_in_its_kind(name, value, version, line):
    option = {"name": name, "value": value, "ip_version": version}
    document = parsed([v4()], [port("10.0.0.5", extra_dhcp_opts=[option])])
    allocation = document.networks[0].allocations[0]
    assert options.port_lines(allocation) == ([f"tag:p-fa163eaabbcc,{line}"] if line else [])


hostile = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True),
    st.sampled_from(
        ["a\ndhcp-script=/bin/sh", "a,b", 'x"', "# c", "tag:eth1", "option:router,1.1.1.1", "a b",
         "\\n", "${x}", "é", "\u2028port=0", "vm,ignore", "fa:16:3e:00:00:02"]
    ),
)  # fmt: skip
OPTION_LINE = re.compile(
    r"tag:[a-z0-9-]+,((option6?:)?[A-Za-z0-9+-]+)(,[!$-\[\]-~][ !$-\[\]-~]*)?"
)
HOST_LINE = re.compile(
    r"([0-9a-f]{2}:){5}[0-9a-f]{2}(,[0-9.]+|,\[[0-9a-f:]+\])+(,[A-Za-z0-9_-]+)?"
)
NAME_LINE = re.compile(r"[0-9a-f.:]+( [A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)+")
BASE_LINE = re.compile(
    r"(bind-dynamic|no-(resolv|hosts|poll)|domain-needed|bogus-priv|localise-queries|enable-ra"
    r"|quiet-(dhcp6?|ra)|dhcp-(authoritative|ignore-names)|dhcp-lease-max=\d+|except-interface=lo"
    r"|interface=eth1|domain=[A-Za-z0-9_.-]+|dhcp-range=set:[a-z0-9-]+,[0-9a-f.:]+,[a-z-]+,[0-9.]+"
    r",\d+s|ra-param=eth1,(mtu:\d+,)?\d+,\d+|dhcp-mac=set:p-[0-9a-f]{12},[0-9a-f:]{17})"
)


@settings(max_examples=300)
@given(hostile, hostile, hostile, hostile, st.sampled_from([4, 6]))
def test_no_word_of_a_tenant_adds_a_line_or_a_field(hostname, domain, name, value, version):
    """What the contract lets in comes out as exactly one thing of the kind it should be."""
    option = {"name": name, "value": value, "ip_version": version}
    allocation = port("10.0.0.5", "2001:db8::5", hostname=hostname, extra_dhcp_opts=[option])
    try:
        told = made([v4(), v6(STATEFUL, STATEFUL)], [allocation], dns_domain=domain)
    except ContractError:
        return
    assert all(BASE_LINE.fullmatch(line) for line in told.base.splitlines()), told.base
    assert all(OPTION_LINE.fullmatch(line) for line in told.options.splitlines())
    assert len(told.reservations.splitlines()) == 1
    assert all(HOST_LINE.fullmatch(line) for line in told.reservations.splitlines())
    assert all(NAME_LINE.fullmatch(line) for line in told.names.splitlines())
    assert hosts.reserved_addresses(told.reservations.splitlines()) == {
        "10.0.0.5": VM,
        "2001:db8::5": VM,
    }


LEASE_FILE = f"""\
1795309233 {VM} 10.0.0.5 vm 01:{VM}
1795309233 fa:16:3e:00:00:77 10.0.0.6 * *
duid 00:01:00:01:32:93:a9:b1:fa:16:3e:9e:8f:9f
1795309233 12345 2001:db8::5 vm 00:03:00:01:{VM}
"""


@pytest.mark.parametrize(
    ("before", "now", "gone"),
    [
        ({}, {"10.0.0.5": VM, "10.0.0.6": "fa:16:3e:00:00:77", "2001:db8::5": VM}, []),
        ({"x": "y"}, {}, ["10.0.0.5", "10.0.0.6", "2001:db8::5"]),
        ({}, {"10.0.0.5": VM, "10.0.0.6": VM, "2001:db8::5": VM}, ["10.0.0.6"]),
        (
            {"2001:db8::5": "fa:16:3e:00:00:77"},
            {"10.0.0.5": VM, "10.0.0.6": "fa:16:3e:00:00:77", "2001:db8::5": VM},
            ["2001:db8::5"],
        ),
    ],
    ids=["all-right", "none-reserved", "other-mac", "changed-hands"],
)
def test_stale_leases_are_those_without_ground(before, now, gone):
    found = leases.stale(LEASE_FILE, before, now)
    assert [lease.address for lease in found] == gone
    rest = leases.without(LEASE_FILE, found)
    assert [lease.address for lease in leases.parse(rest)] == [
        lease.address for lease in leases.parse(LEASE_FILE) if lease.address not in gone
    ]
    assert "duid 00:01" in rest


def test_release_names_holder_address_and_server():
    (lease, _, lease6) = leases.parse(LEASE_FILE)
    message = leases.release_message(lease, "10.0.0.1")
    mac = bytes.fromhex(VM.replace(":", ""))
    assert message[12:16] == bytes([10, 0, 0, 5])
    assert message[28:34] == mac
    assert message[236:].startswith(
        b"\x63\x82\x53\x63\x35\x01\x07\x36\x04\x0a\x00\x00\x01\x3d\x07\x01" + mac
    )
    message = leases.release_message(lease6, "")
    assert message[0] == 8
    assert (12345).to_bytes(4, "big") in message
    assert bytes.fromhex("20010db8" + "00" * 11 + "05") in message


@given(st.text(max_size=400))
def test_any_lease_file_is_read_without_an_error(text):
    for lease in leases.stale(text, {}, {}):
        try:
            leases.release_message(lease, "10.0.0.1")
        except ValueError:
            continue


@pytest.mark.functional
@settings(max_examples=40, deadline=None)
@given(hostile, hostile, st.lists(st.sampled_from([v4(), v6(SLAAC, SLAAC), v6(None, STATEFUL)])))
def test_dnsmasq_reads_whatever_the_contract_lets_through(hostname, domain, subnets):
    try:
        document = parsed(subnets, [port("10.0.0.5", hostname=hostname)], dns_domain=domain)
    except ContractError:
        return
    service_driver = driver.DhcpDriver(paths.Paths.under(pathlib.Path("/nowhere")))
    service_driver.check(service_driver.render(document, FACTS))


@pytest.mark.functional
def test_dnsmasq_knows_every_option_that_we_pass_on():
    """Each name of the tables, with a value of its kind, is one that dnsmasq takes."""
    kinds = [
        (4, options._V4_ADDRESSES, "192.0.2.1"),
        (4, options._V4_NUMBERS, "1"),
        (4, options._V4_TEXTS, "text"),
        (4, options._V4_ROUTES, "192.0.2.0/24,192.0.2.1"),
        (6, options._V6_ADDRESSES, "2001:db8::1"),
        (6, options._V6_TEXTS, "text"),
    ]
    lines = []
    for version, table, value in kinds:
        for name in table:
            option = {"name": name, "value": value, "ip_version": version}
            document = parsed([v4()], [port("10.0.0.5", extra_dhcp_opts=[option])])
            lines += options.port_lines(document.networks[0].allocations[0])
    assert len(lines) == sum(len(table) for _, table, _ in kinds)
    text = "".join(f"dhcp-option={line}\n" for line in lines)
    assert process.run(["dnsmasq", "--test", "--conf-file=-"], stdin=text)
