"""Networks of one address scope are routed, those of two are not. Real kernel, real agent.

outside 203.0.113.1 --- ext --- [203.0.113.2  appliance] --- blue   192.168.0.0/24  vm1
                                                        |--- green  192.168.1.0/24  vm2
                                                        `--- red    192.168.2.0/24  vm3
"""

import socket

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, GATEWAY, FLOATING = "203.0.113.1", "203.0.113.2", "203.0.113.103"
VMS = {"blue": "192.168.0.11", "green": "192.168.1.12", "red": "192.168.2.13"}
V6 = {"blue": "fd00:b::11", "green": "fd00:c::12", "red": "fd00:d::13"}


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    host = shared_appliance_host
    host.ext = host.plug("ext")
    host.outside = host.ext.segment.add_host("outside", [f"{OUTSIDE}/24"])
    host.outside.run("ip", "route", "add", "192.168.0.0/16", "via", GATEWAY)
    host.inside, host.vms = {}, {}
    for at, name in enumerate(VMS):
        nic = host.inside[name] = host.plug(name)
        address = [f"{VMS[name]}/24", f"{V6[name]}/64"]
        vm = nic.segment.add_host(f"vm{at}", address, gateway=f"192.168.{at}.1")
        vm.run("ip", "-6", "route", "add", "default", "via", V6[name].rpartition(":")[0] + ":1")
        host.vms[name] = vm
    host.start_agent()
    return host


def push(host, scopes, floating=(), **keys):
    """Push a router whose networks have these scopes, by network; the same for both versions."""

    def network(kind, name, nic, addresses, subnets):
        scope = scopes.get(name, "")
        own = {"address_scope4": scope, "address_scope6": scope}
        return host.network(kind, nic, addresses, subnets, **own)

    networks = [network("external", "ext", host.ext, [f"{GATEWAY}/24"], ["203.0.113.0/24"])]
    for at, (name, nic) in enumerate(host.inside.items()):
        prefix = V6[name].rpartition(":")[0]
        addresses = [f"192.168.{at}.1/24", f"{prefix}:1/64"]
        subnets = [f"192.168.{at}.0/24", f"{prefix}:/64"]
        networks.append(network("internal", name, nic, addresses, subnets))
    pairs = [{"floating_ip": public, "fixed_ip": fixed} for public, fixed in floating]
    host.push(host.document(networks, floating_ips=pairs, default_v4_gateway=OUTSIDE) | keys)


def reaches(host, one, other, table=VMS):
    return host.vms[one].succeeds("ping", "-n", "-c1", "-W", "0.5", table[other])


def seen_outside(host, name):
    """Under which address the world outside sees a machine; None if nothing arrives."""
    with (
        host.outside.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as listener,
        host.vms[name].inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client,
    ):
        listener.bind((OUTSIDE, 7777))
        listener.settimeout(0.5)
        client.sendto(b"x", (OUTSIDE, 7777))
        try:
            return listener.recvfrom(10)[1][0]
        except TimeoutError:
            return None


def test_within_a_scope_there_is_routing_and_between_scopes_none(host):
    push(host, {"blue": "one", "green": "one", "red": "two"})
    for table in (VMS, V6):
        assert reaches(host, "blue", "green", table)
        assert not reaches(host, "blue", "red", table)
        assert not reaches(host, "red", "green", table)


def test_no_scope_is_a_scope_too(host):
    push(host, {"red": "two"})
    assert reaches(host, "blue", "green")
    assert not reaches(host, "blue", "red")
    push(host, {})
    assert reaches(host, "blue", "red")


def test_every_scope_leaves_translated_but_that_of_the_external_network(host):
    push(host, {"ext": "world", "blue": "world", "red": "two"})
    assert seen_outside(host, "red") == GATEWAY
    assert seen_outside(host, "green") == GATEWAY
    assert seen_outside(host, "blue") == VMS["blue"]
    assert host.outside.pings(VMS["blue"])
    assert not host.outside.succeeds("ping", "-n", "-c1", "-W", "0.5", VMS["red"])


def test_without_translation_another_scope_does_not_leave(host):
    push(host, {"ext": "world", "blue": "world", "red": "two"}, enable_snat=False)
    assert seen_outside(host, "blue") == VMS["blue"]
    assert seen_outside(host, "red") is None


def test_a_floating_ip_is_reached_from_any_scope(host):
    push(host, {"blue": "one", "red": "two"}, floating=[(FLOATING, VMS["red"])])
    assert host.outside.pings(FLOATING)
    assert host.vms["blue"].pings(FLOATING)
    assert not reaches(host, "blue", "red")


def test_a_scope_that_changes_ends_what_it_allowed(host):
    push(host, {})
    server = host.vms["red"].inside(lambda: socket.socket())
    client = host.vms["blue"].inside(lambda: socket.socket())
    with server, client:
        server.bind((VMS["red"], 8080))
        server.listen()
        server.settimeout(5)
        client.settimeout(5)
        client.connect((VMS["red"], 8080))
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(0.5)
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
            push(host, {"red": "two"})
            client.sendall(b"y")
            with pytest.raises(TimeoutError):
                accepted.recv(1)
