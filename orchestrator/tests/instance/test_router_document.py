"""The document of a router: one written out in full, and what holds for any router."""

import dataclasses
import ipaddress
import json
import pathlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from astara.clients import topology
from astara.drivers.router import document, needs
from astara_contract import document as contract

GOLDEN = pathlib.Path(__file__).parent / "golden"
SITE = document.Site(
    host="node1",
    address="fdca::1",
    metadata_secret="secret",
    dns_forwarders=("203.0.113.1",),
    dns_domain="example.test",
)
MANAGEMENT = document.Nic("fa:16:3e:00:00:01", "net-mgt", ("fdca::5/64",), 1400)


def carriers_of(router):
    """A carrier for every network that the router needs."""
    return {
        network: document.Nic(f"fa:16:3e:ff:00:{number:02x}", network)
        for number, network in enumerate(sorted(needs.carrier_networks(router)))
    }


def build(router):
    return document.build(router, MANAGEMENT, carriers_of(router), SITE)


def test_the_document_of_a_router_with_everything():
    answer = (GOLDEN / "router.json").read_bytes()
    router = msgspec.json.decode(answer, type=topology.RouterDetail)

    written = json.loads((GOLDEN / "document.json").read_text())

    assert json.loads(contract.encode(build(router))) == written
    assert build(router) == contract.parse(json.dumps(written))


def test_proxy_ndp_is_for_external_networks_where_the_operator_asks():
    answer = (GOLDEN / "router.json").read_bytes()
    router = msgspec.json.decode(answer, type=topology.RouterDetail)
    asking = dataclasses.replace(SITE, proxy_ndp=True)
    built = document.build(router, MANAGEMENT, carriers_of(router), asking)
    asked = {network.network_type for network in built.networks if network.proxy_ndp}
    assert asked == {"external"}


def test_link_local_addresses_follow_the_rfc():
    # The example of RFC 2464 section 4.
    assert document.link_local("34:56:78:9a:bc:de") == "fe80::3656:78ff:fe9a:bcde"


V4 = [ipaddress.ip_network(f"10.{n}.0.0/24") for n in range(6)]
V6 = [ipaddress.ip_network(f"fd00:{n}::/64") for n in range(6)]
MODES = [None, "slaac", "dhcpv6-stateful", "dhcpv6-stateless", "invented"]
words = st.text(max_size=12)


@st.composite
def networks(draw, number, external):
    """A network with its logical ports, and what tenants may have written on it."""
    name = f"net{number}"
    prefixes = [V4[number], V6[number]][draw(st.integers(0, 1)) :]
    subnets = tuple(
        topology.Subnet(
            id=f"{name}-sub{prefix.version}",
            cidr=str(prefix),
            ip_version=prefix.version,
            gateway_ip=draw(st.sampled_from([None, str(prefix[1])])),
            enable_dhcp=draw(st.booleans()),
            ipv6_ra_mode=draw(st.sampled_from(MODES)) if prefix.version == 6 else None,
            ipv6_address_mode=draw(st.sampled_from(MODES)) if prefix.version == 6 else None,
            dns_nameservers=tuple(draw(st.lists(st.just(str(prefix[3])), max_size=1))),
        )
        for prefix in prefixes
    )
    fixed = [
        topology.FixedIp(ip_address=str(prefix[1]), subnet_id=subnet.id)
        for prefix, subnet in zip(prefixes, subnets, strict=True)
    ]
    owner = needs.GATEWAY_OWNER if external else "network:router_interface"
    split = not external and len(fixed) > 1 and draw(st.booleans())
    ports = [
        topology.RouterPort(
            id=f"port{number}{part}",
            network_id=name,
            mac_address=f"fa:16:3e:00:{number:02x}:{part:02x}",
            device_owner=owner,
            fixed_ips=tuple(addresses),
        )
        for part, addresses in enumerate([[f] for f in fixed] if split else [fixed])
    ]
    allocations = tuple(
        topology.Allocation(
            port_id=f"{name}-vm{host}",
            mac_address=f"fa:16:3f:00:{number:02x}:{host:02x}",
            project_id="tenant",
            device_id=draw(words),
            device_owner="compute:nova",
            dns_name=draw(st.one_of(st.none(), words)),
            fixed_ips=tuple(
                topology.FixedIp(ip_address=str(prefix[host + 10]), subnet_id=subnet.id)
                for prefix, subnet in zip(prefixes, subnets, strict=True)
            ),
            extra_dhcp_opts=tuple(
                draw(
                    st.lists(
                        st.builds(topology.DhcpOption, opt_name=words, opt_value=words), max_size=2
                    )
                )
            ),
        )
        for host in range(draw(st.integers(0, 3)))
    )
    network = topology.Network(
        id=name,
        name=draw(words),
        mtu=draw(st.sampled_from([None, 1280, 1450, 9000])),
        external=external,
        subnets=subnets,
        allocations=() if external else allocations,
    )
    return network, ports


@st.composite
def routers(draw):
    """A router as Neutron might describe it."""
    gateway = draw(st.booleans())
    count = draw(st.integers(0, 4))
    drawn = [draw(networks(n, external=gateway and n == 0)) for n in range(count)]
    fixed = draw(st.lists(st.sampled_from(["10.1.0.10", None]), max_size=3))
    return topology.RouterDetail(
        id="router-1",
        project_id="tenant",
        generation="g",
        admin_state_up=draw(st.booleans()),
        enable_snat=draw(st.booleans()),
        routes=tuple(
            topology.HostRoute(destination=f"10.{n}.0.0/16", nexthop="10.1.0.9")
            for n in draw(st.sets(st.integers(100, 104)))
        ),
        ports=tuple(port for _, ports in drawn for port in ports),
        networks=tuple(network for network, _ in drawn),
        floatingips=tuple(
            topology.FloatingIp(
                id=f"fip{n}",
                floating_ip_address=f"10.0.0.{100 + n}",
                fixed_ip_address=address,
                port_id="p" if address else None,
            )
            for n, address in enumerate(fixed)
        ),
    )


def shuffled(draw, router):
    """The same router, listed in another order."""

    def mix(items):
        return tuple(draw(st.permutations(items)))

    return msgspec.structs.replace(
        router,
        ports=mix(router.ports),
        routes=mix(router.routes),
        floatingips=mix(router.floatingips),
        networks=mix(
            [
                msgspec.structs.replace(
                    network, subnets=mix(network.subnets), allocations=mix(network.allocations)
                )
                for network in router.networks
            ]
        ),
    )


@given(routers())
def test_any_router_gives_a_document_that_the_contract_takes(router):
    built = build(router)

    assert contract.parse(contract.encode(built)) == built


@given(st.data())
def test_the_order_in_which_neutron_lists_things_does_not_matter(data):
    router = data.draw(routers())
    other = shuffled(data.draw, router)

    assert contract.encode(build(router)) == contract.encode(build(other))


@given(routers())
def test_every_needed_network_appears_once_on_its_carrier(router):
    carriers = carriers_of(router)
    built = {network.network_id: network for network in build(router).networks}
    expected = set(carriers) if router.admin_state_up else set()

    assert set(built) == expected | {"net-mgt"}
    assert all(built[n].interface.lladdr == carriers[n].mac_address for n in expected)


@given(routers())
def test_every_address_of_the_router_is_on_the_appliance_with_its_prefix(router):
    if not router.admin_state_up:
        return
    found = {
        str(ipaddress.ip_interface(address).ip): ipaddress.ip_interface(address)
        for network in build(router).networks
        for address in network.interface.addresses
    }
    cidrs = {s.id: ipaddress.ip_network(s.cidr) for n in router.networks for s in n.subnets}
    for port in router.ports:
        for fixed in port.fixed_ips:
            assert found[fixed.ip_address].network == cidrs[fixed.subnet_id]


@given(routers())
def test_only_associated_floating_ips_travel_and_only_with_a_gateway(router):
    built = build(router)
    external = {n.network_id for n in built.networks if n.network_type == "external"}
    associated = {f.floating_ip_address for f in router.floatingips if f.port_id}

    assert {f.floating_ip for f in built.floating_ips} == (associated if external else set())


@given(routers())
def test_addresses_are_leased_only_where_dhcp_hands_them_out(router):
    subnets = {s.cidr: s for n in router.networks for s in n.subnets}
    for network in build(router).networks:
        for allocation in network.allocations:
            for address, leased in allocation.ip_addresses.items():
                [subnet] = [
                    s
                    for c, s in subnets.items()
                    if ipaddress.ip_address(address) in ipaddress.ip_network(c)
                ]
                mode = subnet.ipv6_address_mode or subnet.ipv6_ra_mode
                by_dhcp = mode not in ("slaac", "dhcpv6-stateless")
                assert leased == (subnet.enable_dhcp and by_dhcp)


@given(routers(), st.data())
def test_a_network_without_carrier_is_left_out_until_it_is_plugged(router, data):
    carriers = carriers_of(router)
    plugged = data.draw(st.sets(st.sampled_from(sorted(carriers)))) if carriers else set()

    built = document.build(router, MANAGEMENT, {n: carriers[n] for n in plugged}, SITE)

    assert {n.network_id for n in built.networks} <= plugged | {"net-mgt"}
    assert contract.parse(contract.encode(built)) == built
