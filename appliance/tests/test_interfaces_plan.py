"""Planning of links and addresses; the kernel's part is tested in functional/."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base
from astara_appliance.drivers.interfaces import plan
from astara_contract import document as contract

MANAGEMENT = base.Nic("fa:16:3e:00:00:00", "eth0", "ge0")
BLUE = base.Nic("fa:16:3e:00:00:01", "ens5", "ge1")
EXT = base.Nic("fa:16:3e:00:00:02", "ens6", "ge2")
FACTS = base.Facts({nic.mac: nic for nic in (MANAGEMENT, BLUE, EXT)})


def network(kind, nic, addresses=(), cidrs=(), **keys):
    return {
        "network_id": nic.device,
        "network_type": kind,
        "interface": {"lladdr": nic.mac.upper(), "addresses": list(addresses)},
        "subnets": [{"cidr": cidr} for cidr in cidrs],
    } | keys


def plans(*networks, **keys):
    document = contract.parse({"networks": list(networks)} | keys)
    desired = plan.plan_interfaces(document, FACTS)
    return {link.device: link for link in desired.links}


def test_given_link_local_address_replaces_the_one_of_the_nic():
    given_one = network("internal", BLUE, ["fd00::1/64", "fe80::abcd/64"])
    derived = network("internal", BLUE, ["fd00::1/64"])
    assert plans(given_one)["ens5"].addresses == {
        "fd00::1/64",
        "fe80::abcd/64",
        "fe80::a9fe:a9fe/128",
    }
    assert "fe80::f816:3eff:fe00:1/64" in plans(derived)["ens5"].addresses


def test_network_without_ipv6_has_no_ipv6_address():
    assert plans(network("internal", BLUE, ["10.0.0.1/24"]))["ens5"].addresses == {"10.0.0.1/24"}


def test_external_network_does_not_get_the_metadata_address():
    addresses = plans(network("external", EXT, ["2001:db8::1/64"]))["ens6"].addresses
    assert "fe80::a9fe:a9fe/128" not in addresses


def test_floating_ips_go_to_the_external_network_that_has_them():
    floating = [{"floating_ip": "203.0.113.7", "fixed_ip": "10.0.0.5"}]
    made = plans(
        network("external", BLUE, ["198.51.100.2/24"], ["198.51.100.0/24"]),
        network("external", EXT, ["203.0.113.2/24"], ["203.0.113.0/24"]),
        floating_ips=floating,
    )
    assert "203.0.113.7/32" in made["ens6"].addresses
    assert "203.0.113.7/32" not in made["ens5"].addresses


def test_floating_ip_outside_all_subnets_goes_to_the_first_external_network():
    made = plans(
        network("external", EXT, ["203.0.113.2/24"], ["203.0.113.0/24"]),
        floating_ips=[{"floating_ip": "192.0.2.7", "fixed_ip": "10.0.0.5"}],
    )
    assert "192.0.2.7/32" in made["ens6"].addresses


def test_management_is_kept_up_even_if_the_document_forgets_it():
    made = plans()
    assert made["eth0"].up
    assert made["eth0"].keep_others
    assert not made["eth0"].addresses


def test_addresses_are_compared_in_one_spelling():
    assert (
        "fd00::1/64" in plans(network("internal", BLUE, ["FD00:0:0::0001/64"]))["ens5"].addresses
    )


def test_ipv6_below_its_lowest_mtu_is_a_complaint():
    small = contract.parse({"networks": [network("internal", BLUE, ["fd00::1/64"], mtu=1279)]})
    assert "1280" in plan.complaint(plan.plan_interfaces(small, FACTS))
    v4 = contract.parse({"networks": [network("internal", BLUE, ["10.0.0.1/24"], mtu=1279)]})
    assert plan.complaint(plan.plan_interfaces(v4, FACTS)) is None


# Properties: any desired state is reached from any observed state in one change.

addresses = st.sets(
    st.sampled_from(
        ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.1/25", "fd00::1/64", "fd00::1/48", "fe80::1/64"]
    )
)
devices = st.sampled_from(["eth0", "ens5", "ens6", "ens7"])
sysctl_values = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from("01"))


@st.composite
def link_plans(draw):
    return plan.LinkPlan(
        device=draw(devices),
        mac="fa:16:3e:00:00:01",
        up=draw(st.booleans()),
        mtu=draw(st.none() | st.integers(1280, 1500)),
        addresses=frozenset(draw(addresses)),
        keep_others=draw(st.booleans()),
        sysctls=(("a", "1"), ("b", "0")),
    )


desired_states = st.builds(
    plan.Desired,
    links=st.lists(link_plans(), unique_by=lambda link: link.device).map(tuple),
    sysctls=st.just((("h", "1"),)),
)
observed_states = st.builds(
    plan.Observed,
    links=st.lists(
        st.builds(
            plan.ObservedLink,
            device=devices,
            mac=st.just("fa:16:3e:00:00:01"),
            up=st.booleans(),
            mtu=st.integers(1280, 1500),
            addresses=addresses.map(frozenset),
        ),
        unique_by=lambda link: link.device,
    ).map(tuple),
    sysctls=sysctl_values,
)


def play(observed, change):
    """What the kernel would make of a change."""
    values = dict(observed.sysctls) | dict(change.sysctls)
    changes = {link.device: link for link in change.links}
    links = []
    for link in observed.links:
        todo = changes.get(link.device, plan.LinkChange(link.device, link.mac))
        values |= dict(todo.sysctls)
        kept = link.addresses - set(todo.remove_first)
        # IPv6 refuses an address that is there with another prefix length.
        for address in todo.add:
            same = {a for a in kept if ":" in a and ip(a) == ip(address)}
            assert not same, "the kernel would refuse this"
            kept = kept | {address}
        links.append(
            plan.ObservedLink(
                device=link.device,
                mac=link.mac,
                up=link.up if todo.up is None else todo.up,
                mtu=todo.mtu or link.mtu,
                addresses=kept - set(todo.remove),
            )
        )
    return plan.Observed(tuple(links), values)


def ip(address):
    return ipaddress.ip_interface(address).ip


def without_contradiction(desired):
    """Only what the kernel could hold: no IPv6 address with two prefix lengths on one device."""
    return all(
        len({ip(a) for a in link.addresses if ":" in a})
        == len([a for a in link.addresses if ":" in a])
        for link in desired.links
    )


@given(observed_states, desired_states.filter(without_contradiction))
def test_one_change_leads_to_the_desired_state(observed, desired):
    kept = {link.device for link in desired.links if link.keep_others}
    if any(link.device in kept for link in observed.links):
        # Kept addresses may contradict what is wanted; management is only ever added to.
        desired = plan.Desired(
            tuple(link for link in desired.links if not link.keep_others), desired.sysctls
        )
    reached = play(observed, plan.change_interfaces(observed, desired))
    assert not plan.change_interfaces(reached, desired)
    for link in reached.links:
        wanted = next((item for item in desired.links if item.device == link.device), None)
        assert link.addresses == (wanted.addresses if wanted else frozenset())
        assert link.up == (wanted.up if wanted else False)


@given(observed_states, desired_states)
def test_management_never_loses_an_address(observed, desired):
    change = plan.change_interfaces(observed, desired)
    kept = {link.device for link in desired.links if link.keep_others}
    for link in change.links:
        if link.device in kept:
            assert not link.remove
            assert not link.remove_first
