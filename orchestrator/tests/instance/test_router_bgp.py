"""With whom the appliance of a router speaks BGP."""

from astara.drivers.router import bgp
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
    assert bgp.sessions(None, [EXTERNAL]) is None
    assert bgp.sessions(bgp.Policy(), []) is None


def test_gateways_within_reach_are_neighbours_of_their_version():
    policy = bgp.Policy(password="key", bfd=True, accept=("0.0.0.0/0", "2001:db8::/32"))
    found = bgp.sessions(policy, [EXTERNAL])
    assert [(item.address, item.accept) for item in found.neighbors] == [
        ("203.0.113.1", ("0.0.0.0/0",)),
        ("2001:db8:cafe::1", ("2001:db8::/32",)),
    ]
    assert all(item.password == "key" and item.bfd for item in found.neighbors)
    assert "key" not in repr(policy)
