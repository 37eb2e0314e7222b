"""What objects of Neutron's service plug-ins become in the document of a router."""

import pathlib

import msgspec

from astara.clients import topology
from astara.drivers.router import document, needs
from astara_contract import document as contract

GOLDEN = pathlib.Path(__file__).parent / "golden"
MANAGEMENT = document.Nic("fa:16:3e:00:00:01", "net-mgt", ("fdca::5/64",), 1400)
ROUTER = msgspec.json.decode((GOLDEN / "router.json").read_bytes(), type=topology.RouterDetail)
FLOATING = topology.FloatingIp(id="f", floating_ip_address="203.0.113.77")


def build(**changes):
    router = msgspec.structs.replace(ROUTER, **changes)
    carriers = {
        network: document.Nic(f"fa:16:3e:ff:00:{number:02x}", network)
        for number, network in enumerate(sorted(needs.carrier_networks(router)))
    }
    built = document.build(router, MANAGEMENT, carriers, document.Site())
    assert contract.parse(contract.encode(built)) == built
    return built


def forwarding(first, last, inner, inner_last, protocol="tcp"):
    return topology.PortForwarding(
        protocol=protocol,
        external_port=first,
        external_port_end=last,
        internal_ip_address="192.168.0.5",
        internal_port=inner,
        internal_port_end=inner_last,
    )


def forwarded(*items):
    floating = msgspec.structs.replace(FLOATING, port_forwardings=items)
    return build(floatingips=(floating,)).port_forwardings


def test_single_ports_ranges_in_step_and_ranges_that_join():
    found = forwarded(
        forwarding(80, 80, 8080, 8080),
        forwarding(100, 109, 200, 209, "udp"),
        forwarding(300, 309, 22, 22),
    )
    assert {(i.protocol, i.port, i.port_end, i.fixed_port, i.fixed_port_end) for i in found} == {
        ("tcp", 80, None, 8080, None),
        ("udp", 100, 109, 200, 209),
        ("tcp", 300, 309, 22, None),
    }


def test_a_protocol_without_ports_is_left_out():
    assert forwarded(forwarding(1, 1, 1, 1, "icmp")) == ()


def test_a_forwarded_floating_ip_is_served_but_leads_nowhere_as_a_whole():
    floating = msgspec.structs.replace(FLOATING, port_forwardings=(forwarding(80, 80, 80, 80),))
    router = msgspec.structs.replace(ROUTER, floatingips=(floating,))
    assert needs.associated_floatingips(router) == (floating,)
    assert build(floatingips=(floating,)).floating_ips == ()


def test_limits_of_a_floating_ip_and_of_the_gateway():
    both = (
        topology.RateLimit(direction="egress", max_kbps=2000, max_burst_kbps=200),
        topology.RateLimit(direction="ingress", max_kbps=1000),
    )
    floating = msgspec.structs.replace(
        FLOATING, port_id="p", fixed_ip_address="192.168.0.5", rate_limits=both
    )
    built = build(floatingips=(floating,), gateway_rate_limits=both[:1])
    limits = {item.address: item for item in built.rate_limits}
    assert limits["203.0.113.77"].ingress == contract.Rate(kbit=1000)
    assert limits["203.0.113.77"].egress == contract.Rate(kbit=2000, burst_kbit=200)
    gateways = set(limits) - {"203.0.113.77"}
    own = {
        text.partition("/")[0]
        for network in built.networks
        if network.network_type == "external"
        for text in network.interface.addresses
        if "." in text
    }
    assert gateways == own
    assert all(limits[address].ingress is None for address in gateways)


def test_helpers_that_no_kernel_has_are_left_out():
    helpers = (
        topology.ConntrackHelper(protocol="udp", port=69, helper="tftp"),
        topology.ConntrackHelper(protocol="tcp", port=1, helper="nonsense"),
    )
    [kept] = build(conntrack_helpers=helpers).conntrack_helpers
    assert (kept.protocol, kept.port, kept.helper) == ("udp", 69, "tftp")


def test_the_older_remote_prefix_is_the_end_outside():
    rules = (
        topology.MeteringRule(direction="ingress", remote_ip_prefix="198.51.100.9/24"),
        topology.MeteringRule(direction="egress", remote_ip_prefix="198.51.100.0/24"),
        topology.MeteringRule(direction="egress", source_ip_prefix="192.168.0.5", excluded=True),
    )
    labels = (topology.MeteringLabel(id="l", rules=rules), topology.MeteringLabel(id="idle"))
    [label] = build(metering_labels=labels).metering_labels
    assert {(r.direction, r.source, r.destination, r.excluded) for r in label.rules} == {
        ("ingress", "198.51.100.0/24", None, False),
        ("egress", None, "198.51.100.0/24", False),
        ("egress", "192.168.0.5/32", None, True),
    }


def test_a_router_without_any_of_it_says_nothing_of_it():
    text = contract.encode(build(floatingips=()))
    for key in ("port_forwardings", "rate_limits", "conntrack_helpers", "metering_labels"):
        assert f'"{key}"'.encode() not in text
