"""How hosts, options and leases are shared out among several dnsmasq."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base, links
from astara_appliance.drivers.dhcp import config, fan_out, hosts, leases, parts, shards
from astara_contract import document as contract

MAC = "fa:16:3e:00:00:01"
FACTS = base.Facts({MAC: base.Nic(MAC, "eth1", "ge1")})
many = st.integers(0, 20000)


def mac(number):
    return f"fa:16:3f:00:{number >> 8:02x}:{number & 255:02x}"


def made(count, *, with_v6=True):
    allocations = [
        {
            "mac_address": mac(n).upper(),
            "ip_addresses": {f"10.0.0.{n + 10}": True} | ({f"2001:db8::{n + 10:x}": True}),
            "hostname": f"h{n}",
            "extra_dhcp_opts": [{"name": "mtu", "value": "1300"}] if n == 0 else [],
        }
        for n in range(count)
    ]
    v4 = {"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1", "dhcp_enabled": True}
    modes = dict.fromkeys(("ipv6_ra_mode", "ipv6_address_mode"), "dhcpv6-stateful")
    v6 = {"cidr": "2001:db8::/64", "dhcp_enabled": True} | modes
    network = {
        "network_id": "blue",
        "network_type": "internal",
        "interface": {"lladdr": MAC, "addresses": ["10.0.0.1/24"]},
        "subnets": [v4, v6] if with_v6 else [v4],
        "allocations": allocations,
    }
    document = contract.parse({"networks": [network], "dns_domain": "cloud.example"})
    told = config.config(links.links(document, FACTS), ["192.0.2.53"], "cloud.example")
    assert told is not None
    return told


@given(many, many, st.integers(1, 3000))
def test_shards_hold_all_hosts_and_settle(hosts_now, hosts_then, limit):
    first = shards.count(hosts_now, 0, limit)
    then = shards.count(hosts_then, first, limit)
    assert shards.count(hosts_then, then, limit) == then
    assert hosts_then <= max(then, 1) * limit
    assert then == 0 or then & (then - 1) == 0


def test_count_goes_up_at_once_and_down_with_a_margin():
    wanted = [1500, 1501, 1500, 1126, 1125, 10000, 5000, 4500, 0]
    counts, now = [], 0
    for of in wanted:
        now = shards.count(of, now, 1500)
        counts.append(now)
    assert counts == [0, 2, 2, 2, 0, 8, 8, 4, 0]


@given(st.integers(0, 2**48 - 1), st.integers(0, 4))
def test_host_stays_or_moves_to_the_new_twin_of_its_shard(number, power):
    address = ":".join(f"{octet:02x}" for octet in number.to_bytes(6, "big"))
    few, more = (
        shards.shard_of(address, 2**power),
        shards.shard_of(address.upper(), 2 ** (power + 1)),
    )
    assert more in (few, few + 2**power)


def test_hosts_are_shared_out_evenly():
    sizes = [0] * 8
    for number in range(10000):
        sizes[shards.shard_of(mac(number), 8)] += 1
    assert max(sizes) < 1500


def test_one_dnsmasq_or_one_for_each_task():
    told = made(12)
    assert [part.name for part in parts.parts(told, 0)] == ["dnsmasq"]
    names, v6, *rest = parts.parts(told, 2)
    assert [part.name for part in (names, v6, *rest)] == [
        "dnsmasq", "dnsmasq-v6", "dnsmasq-1of2", "dnsmasq-2of2",
    ]  # fmt: skip
    assert "dhcp" not in names.base
    assert names.lease_file == ""
    assert names.files["names"].count("\n") == 24
    assert "enable-ra\n" in v6.base
    assert all("port=0\n" in part.base for part in (v6, *rest))
    assert all("dhcp-ignore=tag:!known\n" in part.base for part in rest)
    assert all("ra-param" not in part.base for part in rest)
    assert [part.name for part in parts.parts(made(12, with_v6=False), 1)] == [
        "dnsmasq", "dnsmasq-1of1",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 8])
def test_each_reservation_is_told_once(count):
    told = made(12)
    _, *with_leases = parts.parts(told, count)
    addresses = [
        address
        for part in with_leases
        for address in hosts.reserved_addresses(part.files["reservations"].splitlines())
    ]
    assert sorted(addresses) == sorted(hosts.reserved_addresses(told.reservations))


def test_port_with_options_concerns_its_shard_alone():
    _, v6, *rest = parts.parts(made(12), 8)
    tag = f"dhcp-mac=set:p-{mac(0).replace(':', '')},{mac(0)}\n"
    concerned = [part for part in rest if tag in part.base]
    assert [mac(0) in part.files["reservations"] for part in concerned] == [True]
    assert [part for part in rest if "mtu,1300" in part.files["options"]] == concerned
    assert tag in v6.base


def test_one_more_host_changes_its_shard_and_the_names():
    before, after = parts.parts(made(12), 8), parts.parts(made(13), 8)
    changed = [new.name for old, new in zip(before, after, strict=True) if new != old]
    assert changed == [
        "dnsmasq", "dnsmasq-v6", f"dnsmasq-{shards.shard_of(mac(12), 8) + 1}of8",
    ]  # fmt: skip


def lease_files(count, number=12):
    """Return lease files in which every host has a lease of each version."""
    everything = "".join(f"1795309233 {mac(n)} 10.0.0.{n + 10} h{n} *\n" for n in range(number))
    everything += "duid 00:01:00:01:32:93:a9:b1:fa:16:3e:9e:8f:9f\n"
    everything += "".join(
        f"1795309233 {n + 1} 2001:db8::{n + 10:x} h{n} 00:03:00:01:{mac(n)}\n"
        for n in range(number)
    )
    return moved({"dnsmasq.leases": everything}, count)


def moved(files, count):
    into = [part.lease_file for part in parts.parts(made(12), count) if part.lease_file]
    return leases.shared_out(files, into, parts.placing(into))


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 8), (8, 4), (2, 0), (1, 1)])
def test_leases_follow_their_hosts(before, after):
    files = lease_files(before)
    assert parts.count_of(files) == before
    there = moved(files, after)
    back = moved(there, before)
    assert {name: sorted(text.splitlines()) for name, text in back.items()} == {
        name: sorted(text.splitlines()) for name, text in files.items()
    }
    found = [lease for text in there.values() for lease in leases.parse(text)]
    assert sorted(lease.address for lease in found) == sorted(
        address for n in range(12) for address in (f"10.0.0.{n + 10}", f"2001:db8::{n + 10:x}")
    )
    assert {lease.server_id[:5] for lease in found if ":" in lease.address} == {"00:01"}
    for name, text in there.items():
        for lease in leases.parse(text):
            assert parts.placing(there)(lease.address, lease.owner) == name


def test_later_one_of_two_leases_counts():
    old = f"1795309233 {mac(1)} 10.0.0.11 h *\n"
    files = {"dnsmasq.leases": old, "dnsmasq-1of1.leases": old.replace("1795", "1796")}
    into = ["dnsmasq-1of1.leases"]
    assert leases.shared_out(files, into, parts.placing(into)) == {
        "dnsmasq-1of1.leases": old.replace("1795", "1796")
    }


def test_fan_out_knows_its_own_rule():
    rule = fan_out.rule(["eth2", "eth1"])
    mark = rule.partition("comment ")[2]
    assert fan_out.is_loaded((mark,), rule)
    assert not fan_out.is_loaded((mark,), fan_out.rule(["eth1"]))
    assert not fan_out.is_loaded((), rule)
    assert not fan_out.is_loaded((mark,), "")
    assert fan_out.is_loaded((), "")
