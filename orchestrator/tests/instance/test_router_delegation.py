"""Subnets whose prefix a provider delegates: what is asked, and what Neutron is told."""

import msgspec
import pytest

from astara.clients import topology
from astara.drivers.router import delegation, document, functions, needs
from astara.instance import report
from astara.machine.vocabulary import InstanceState
from astara_contract import document as contract

GIVEN = "2001:db8:f000::/64"


def subnet(name, cidr, **keys):
    return topology.Subnet(id=name, cidr=cidr, ip_version=6, **keys)


def router(*subnets):
    inside = topology.RouterPort(
        id="p", network_id="net", mac_address="fa:16:3e:00:00:02",
        device_owner="network:router_interface",
        fixed_ips=tuple(
            topology.FixedIp(ip_address=item.cidr.replace("/64", "1"), subnet_id=item.id)
            for item in subnets
        ),
    )  # fmt: skip
    return topology.RouterDetail(
        id="r1", project_id="p1", generation="1", ports=(inside,), status="ACTIVE",
        networks=(topology.Network(id="net", subnets=subnets),),
    )  # fmt: skip


WAITING = subnet("s1", delegation.PROVISIONAL, prefix_delegation=True)
PLAIN = subnet("s2", "2001:db8:1::/64")


def built(found):
    site = document.Site(functions=(functions.Function("prefix-delegation", delegation.section),))
    nic = document.Nic("fa:16:3e:00:00:01", "mgt", ("fdca::5/64",), 1400)
    carriers = {"net": document.Nic("fa:16:3e:ff:00:01", "net")}
    return contract.parse(contract.encode(document.build(found, nic, carriers, site)))


def test_a_subnet_without_a_prefix_is_asked_for_and_not_served():
    made = built(router(WAITING, PLAIN))
    assert made.functions == {"prefix-delegation": {"subnets": ["s1"]}}
    [network] = [net for net in made.networks if net.network_id == "net"]
    assert [item.cidr for item in network.subnets] == [PLAIN.cidr]
    assert not [text for text in network.interface.addresses if text.startswith("::")]


def test_with_its_prefix_it_is_served_and_asked_for_still():
    delegated = msgspec.structs.replace(WAITING, cidr=GIVEN)
    made = built(router(delegated))
    assert made.functions == {"prefix-delegation": {"subnets": ["s1"]}}
    [network] = [net for net in made.networks if net.network_id == "net"]
    assert [item.cidr for item in network.subnets] == [GIVEN]
    assert "2001:db8:f000::1/64" in network.interface.addresses
    assert needs.internal_networks(router(delegated)) == {"net"}


def told(prefixes):
    return {"prefix-delegation": {"prefixes": prefixes}}


def test_what_is_new_is_reported_once():
    waits = router(WAITING, PLAIN)
    functions_say = told({"s1": GIVEN, "s2": GIVEN, "other": GIVEN})
    want = report.wanted(InstanceState.CONFIGURED, waits, serving=True, functions=functions_say)
    assert want.prefixes == {"s1": GIVEN}
    assert report.differs(want, report.shown(waits))
    has = router(msgspec.structs.replace(WAITING, cidr=GIVEN), PLAIN)
    again = report.wanted(InstanceState.CONFIGURED, has, serving=True, functions=functions_say)
    assert again.prefixes == report.shown(has).prefixes


@pytest.mark.parametrize(
    "said", [{}, told({}), told({"s1": "nonsense"}), told({"s1": "10.0.0.0/8"})]
)
def test_a_prefix_stays_until_another_one_is_delegated(said):
    has = router(msgspec.structs.replace(WAITING, cidr=GIVEN))
    assert delegation.prefixes(has, said) == {"s1": GIVEN}
