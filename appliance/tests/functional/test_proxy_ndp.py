"""Machines outside reach IPv6 hosts inside without a route, because the appliance answers."""

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    shared_appliance_host.ext = shared_appliance_host.plug("ext")
    shared_appliance_host.blue = shared_appliance_host.plug("blue")
    shared_appliance_host.start_agent()
    return shared_appliance_host


def document(host, *, asked, hosts):
    external = host.network(
        "external", host.ext, ["2001:db8:cafe::9/64"], ["2001:db8:cafe::/64"], proxy_ndp=asked
    )
    allocations = [
        {"mac_address": f"fa:16:3e:00:01:{at:02x}", "ip_addresses": {address: False}}
        for at, address in enumerate(hosts)
    ]
    internal = host.network(
        "internal", host.blue, ["2001:db8:b::1/64"], ["2001:db8:b::/64"], allocations=allocations
    )
    return host.document([external, internal])


def proxied(host):
    return host.execute("ip", "-6", "neighbour", "show", "proxy")


def test_hosts_inside_are_answered_for_where_asked_and_no_others(host, eventually):
    vm = host.segments["blue"].add_host("vm", ["2001:db8:b::10/64", "2001:db8:b::11/64"])
    vm.run("ip", "-6", "route", "add", "default", "via", "2001:db8:b::1")
    outside = host.segments["ext"].add_host("out", ["2001:db8:cafe::1/64"])
    # The provider takes the prefix for on-link.
    outside.run("ip", "-6", "route", "add", "2001:db8:b::/64", "dev", "eth0")

    host.push(document(host, asked=False, hosts=["2001:db8:b::10"]))
    assert proxied(host) == ""
    assert not outside.pings("2001:db8:b::10")

    host.push(document(host, asked=True, hosts=["2001:db8:b::10"]))
    eventually(lambda: outside.pings("2001:db8:b::10"), 15, "ping of a host that is answered for")
    assert not outside.pings("2001:db8:b::11")

    host.execute("ip", "-6", "neighbour", "del", "proxy", "2001:db8:b::10", "dev", host.ext.device)
    host.push(document(host, asked=True, hosts=["2001:db8:b::10", "2001:db8:b::11"]))
    eventually(lambda: outside.pings("2001:db8:b::11"), 15, "ping of another one")
    assert proxied(host).count("2001:db8:b::1") == 2

    host.push(document(host, asked=False, hosts=["2001:db8:b::10"]))
    assert proxied(host) == ""
    assert host.execute("cat", f"/proc/sys/net/ipv6/conf/{host.ext.device}/proxy_ndp") == "0\n"
