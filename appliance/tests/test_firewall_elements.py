"""What the firewall's sets hold for a document, and the steps from one content to another."""

import concurrent.futures
import ctypes
import ipaddress
import itertools
import re
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astara_appliance.drivers import base, links
from astara_appliance.drivers.firewall import changes, conntrack, driver, elements, nft, skeleton
from astara_appliance.system import paths
from astara_contract import document as contract

MANAGEMENT = elements.Management("eth0", ("fd00::2/64", "172.31.0.2/24"), (22, 5000))


def nic(at):
    return f"fa:16:3e:00:00:{at:02x}"


FACTS = base.Facts({nic(at): base.Nic(nic(at), f"eth{at}", f"ge{at}") for at in range(12)})


def network(at, kind, addresses, subnets=(), **keys):
    return {
        "network_id": f"net{at}",
        "network_type": kind,
        "interface": {"lladdr": nic(at), "addresses": list(addresses)},
        "subnets": [item if isinstance(item, dict) else {"cidr": item} for item in subnets],
    } | keys


NETWORKS = (
    network(0, "management", ["fd00::2/64"]),
    network(1, "external", ["203.0.113.2/24", "2001:db8:e::2/64"], ["203.0.113.0/24"]),
    network(
        2, "internal", ["192.168.0.1/24", "fe80::1/64"], ["192.168.0.0/24", "2001:db8:b::/64"]
    ),
    network(3, "internal", ["192.168.1.1/24"], ["192.168.1.0/24"]),
    network(4, "isolated", ["192.168.2.1/24"], ["192.168.2.0/24"]),
)


def render(networks=NETWORKS, **keys):
    document = contract.parse({"networks": list(networks)} | keys)
    return elements.elements(document, links.links(document, FACTS), MANAGEMENT)


def test_roles_decide_the_zones():
    wanted = render()
    assert wanted["input_zone"] == {
        '"eth0" : jump input_management',
        '"eth1" : jump input_external',
        '"eth2" : jump input_tenant',
        '"eth3" : jump input_tenant',
        '"eth4" : jump input_tenant',
    }
    assert wanted["forward_zone"] == {
        '"eth1" : jump forward_external',
        '"eth2" : jump forward_internal',
        '"eth3" : jump forward_internal',
    }
    assert wanted["management_if"] == {'"eth0"'}
    assert wanted["management_port"] == {"22", "5000"}
    assert wanted["tenant_if"] - wanted["internal_if"] == {'"eth4"'}


def test_before_the_first_document_management_alone_is_open():
    wanted = render(networks=())
    assert wanted["input_zone"] == {'"eth0" : jump input_management'}
    assert wanted["management6"] == {"fd00::2"}
    assert wanted["management4"] == {"172.31.0.2"}
    filled = {name for name, items in wanted.items() if items}
    assert filled == {
        "input_zone", "management_if", "management_port", "management4", "management6",
    }  # fmt: skip


def test_floating_ip_is_translated_both_ways_and_public():
    wanted = render(floating_ips=[{"floating_ip": "203.0.113.9", "fixed_ip": "192.168.0.9"}])
    assert wanted["floating_to_fixed"] == {"203.0.113.9 : 192.168.0.9"}
    assert wanted["fixed_to_floating"] == {"192.168.0.9 : 203.0.113.9"}
    assert wanted["public4"] == {"203.0.113.2", "203.0.113.9"}


def test_two_floating_ips_of_one_machine_leave_under_the_lower():
    pairs = [
        {"floating_ip": ip, "fixed_ip": "192.168.0.9"} for ip in ("203.0.113.10", "203.0.113.9")
    ]
    wanted = render(floating_ips=pairs)
    assert wanted["fixed_to_floating"] == {"192.168.0.9 : 203.0.113.9"}
    assert len(wanted["floating_to_fixed"]) == 2


def test_snat_off_means_crossing_untranslated():
    on, off = render(), render(enable_snat=False)
    assert (on["snat_address"], on["unnatted_if"]) == ({'"eth1" : 203.0.113.2'}, frozenset())
    assert (off["snat_address"], off["unnatted_if"]) == (frozenset(), {'"eth1"'})
    assert on["hairpin_address"] == off["hairpin_address"]


def test_router_without_external_network_translates_nothing():
    wanted = render(networks=[item for item in NETWORKS if item["network_type"] != "external"])
    for name in ("snat_address", "hairpin_address", "public4", "external_if", "unnatted_if"):
        assert wanted[name] == frozenset()


def test_routes_make_true_sources_on_their_next_hops_network_alone():
    host_route = {"destination": "10.60.0.0/16", "nexthop": "192.168.1.7"}
    networks = [*NETWORKS]
    networks[3] = network(
        3,
        "internal",
        ["192.168.1.1/24"],
        [{"cidr": "192.168.1.0/24", "host_routes": [host_route]}],
    )
    routes = [["10.50.0.0/16", "192.168.0.7"], ["10.70.0.0/16", "192.168.0.1"]]
    wanted = render(networks=networks, static_routes=routes)
    assert wanted["source4"] == {
        '"eth2" . 192.168.0.0/24',
        '"eth2" . 10.50.0.0/16',
        '"eth3" . 192.168.1.0/24',
        '"eth3" . 10.60.0.0/16',
        '"eth4" . 192.168.2.0/24',
    }
    # What is behind a route is no martian outside: the way there may be asymmetric.
    assert "10.50.0.0/16" not in wanted["connected4"]


def test_advertisements_leave_only_where_a_subnet_asks():
    networks = [*NETWORKS]
    networks[2] = network(
        2, "internal", ["2001:db8:b::1/64"], [{"cidr": "2001:db8:b::/64", "ipv6_ra_mode": "slaac"}]
    )
    assert render(networks=networks)["advertising_if"] == {'"eth2"'}
    assert render()["advertising_if"] == frozenset()


def test_strange_device_name_is_refused():
    facts = base.Facts({nic(0): base.Nic(nic(0), 'e" }', "ge0")})
    document = contract.parse({"networks": [network(0, "internal", ["10.0.0.1/24"])]})
    with pytest.raises(base.CheckFailed, match="device name"):
        links.links(document, facts)


v4_networks = st.builds(
    lambda number, length: str(ipaddress.ip_network((number, length), strict=False)),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(8, 32),
)
v6_networks = st.builds(
    lambda number, length: str(ipaddress.ip_network((number, length), strict=False)),
    st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + (1 << 96) - 1),
    st.integers(32, 128),
)


@st.composite
def documents(draw):
    networks = [network(0, "management", ["fd00::2/64"])]
    for at in range(1, draw(st.integers(2, 6))):
        kind = draw(st.sampled_from(["external", "internal", "isolated"]))
        subnets = draw(st.lists(st.one_of(v4_networks, v6_networks), max_size=4))
        networks.append(network(at, kind, [], subnets))
    hops = [subnet["cidr"].partition("/")[0] for item in networks for subnet in item["subnets"]]
    chosen = draw(st.lists(st.sampled_from(hops), max_size=4)) if hops else []
    routes = [[draw(v6_networks if ":" in hop else v4_networks), hop] for hop in chosen]
    has_external = any(item["network_type"] == "external" for item in networks)
    numbers = draw(st.sets(st.integers(1, 250), max_size=5 if has_external else 0))
    floating = [{"floating_ip": f"203.0.113.{n}", "fixed_ip": f"10.0.0.{n // 2}"} for n in numbers]
    return contract.parse(
        {"networks": networks, "static_routes": routes, "floating_ips": floating,
         "enable_snat": draw(st.booleans())}
    )  # fmt: skip


@given(documents())
def test_interval_sets_never_overlap(document):
    """nft refuses overlapping elements, which would refuse the whole push."""
    wanted = elements.elements(document, links.links(document, FACTS), MANAGEMENT)
    for name, (_, is_interval) in skeleton.SETS.items():
        if not is_interval:
            continue
        groups = {}
        for element in wanted[name]:
            device, _, cidr = element.rpartition(" . ")
            groups.setdefault(device, []).append(ipaddress.ip_network(cidr))
        for cidrs in groups.values():
            cidrs.sort()
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(cidrs))


@given(documents())
def test_every_connected_address_is_a_true_source_there(document):
    of = links.links(document, FACTS)
    wanted = elements.elements(document, of, MANAGEMENT)
    for link in of:
        for cidr in links.connected(link) if link.is_tenant else ():
            allowed = [
                ipaddress.ip_network(element.partition(" . ")[2])
                for element in wanted[f"source{cidr.version}"]
                if element.startswith(f'"{link.device}"')
            ]
            assert any(cidr.subnet_of(network) for network in allowed)


@given(documents())
def test_elements_are_of_harmless_characters(document):
    wanted = elements.elements(document, links.links(document, FACTS), MANAGEMENT)
    for items in wanted.values():
        for element in items:
            assert re.fullmatch(r'[A-Za-z0-9_.:/" -]+', element)


def simulate(state, commands):
    """What a list of element commands makes of sets, as nft would."""
    state = {name: dict(items) for name, items in state.items()}
    for line in commands.splitlines():
        verb, kind, _, _, name, *rest = line.split(" ", 5)
        if (verb, kind) == ("flush", "set"):
            state[name] = {}
            continue
        listed = rest[0].removeprefix("{ ").removesuffix(" }").split(", ")
        for element in listed:
            key, value = elements.key_of(element), elements.value_of(element)
            if verb == "delete":
                del state[name][key]
            else:
                assert state[name].get(key, value) == value, "nft refuses another value for a key"
                state[name][key] = value
    return state


def by_key(content):
    return {
        name: {elements.key_of(item): elements.value_of(item) for item in items}
        for name, items in content.items()
    }


@given(documents(), documents())
def test_steps_lead_from_any_content_to_any_other(first, second):
    before, after = (
        elements.elements(document, links.links(document, FACTS), MANAGEMENT)
        for document in (first, second)
    )
    steps = changes.commands(changes.differences(before, after), after, ())
    assert simulate(by_key(before), steps) == by_key(after)
    again = {name: frozenset(list(items)) for name, items in after.items()}
    assert not changes.differences(after, again)


def ended(before, after):
    differing = changes.differences(before, after)
    return changes.ended(differing, before, after, conntrack.Cut())


def test_connections_end_with_their_translation():
    pair = {"floating_ip": "203.0.113.9", "fixed_ip": "192.168.0.9"}
    moved = {"floating_ip": "203.0.113.9", "fixed_ip": "192.168.0.10"}
    none, one, other = render(), render(floating_ips=[pair]), render(floating_ips=[moved])
    assert ended(none, one) == conntrack.Cut()
    assert ended(one, none) == conntrack.Cut(frozenset({"203.0.113.9"}))
    assert ended(one, other) == conntrack.Cut(frozenset({"203.0.113.9"}))


def test_untranslated_connections_end_when_snat_is_switched_on():
    cut = ended(render(enable_snat=False), render())
    assert cut.sources == {"192.168.0.0/23", "192.168.2.0/24"}
    assert ended(render(), render(enable_snat=False)).public == {"203.0.113.2"}


NEW_NETWORK, NEW_MOUNTS = 0x40000000, 0x20000  # CLONE_* of unshare(2)


@pytest.fixture(scope="module", params=["library", "program", "library without /etc/protocols"])
def kernel(request):
    """A way to the nftables of a fresh network namespace."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        # A thread that leaves its namespaces takes only what it starts along.
        thread.submit(_unshare, NEW_NETWORK).result()
        if "without" in request.param:  # as in the image
            thread.submit(_hide_protocols).result()
        tool = thread.submit(nft.Program if request.param == "program" else nft.Library).result()

        class InNamespace:
            def run(self, commands, **options):
                return thread.submit(tool.run, commands, **options).result()

            def generation(self):
                return thread.submit(tool.generation).result()

        yield InNamespace()


def _unshare(flags):
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def _hide_protocols():
    _unshare(NEW_MOUNTS)
    for argv in (["--make-rprivate", "/"], ["--bind", "/dev/null", "/etc/protocols"]):
        subprocess.run(["mount", *argv], check=True, timeout=10)


@pytest.mark.functional
def test_protocols_are_listed_as_they_are_spelled(kernel, tmp_path):
    ports = [
        base.Opening(sources=("203.0.113.0/24",), protocol=number) for number in (47, 50, 51, 99)
    ]
    where, needs = paths.Paths.under(tmp_path), base.Openings(ports=tuple(ports))
    firewall = driver.FirewallDriver(where, kernel, lambda _: needs)
    forwarded = [
        {"floating_ip": "203.0.113.9", "protocol": name, "port": 1, "fixed_ip": "192.168.0.9",
         "fixed_port": 2}
        for name in ("tcp", "udp", "sctp", "dccp")
    ]  # fmt: skip
    asked = contract.parse({"networks": list(NETWORKS), "port_forwardings": forwarded})
    desired = firewall.render(asked, FACTS)
    firewall.check(desired)
    firewall.apply(firewall.diff(firewall.observe(), desired))
    listed = driver.FirewallDriver(where, kernel).observe()
    assert listed.elements == desired.elements


@pytest.mark.functional
@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(documents(), documents())
def test_kernel_holds_what_is_wanted_and_lists_it_back(kernel, tmp_path, first, second):
    """Whole load, element steps and dry run, for documents nobody thought of."""
    firewall = driver.FirewallDriver(paths.Paths.under(tmp_path), kernel)
    for document in (first, second, second):
        desired = firewall.render(document, FACTS)
        firewall.check(desired)
        before = firewall.observe()
        change = firewall.diff(before, desired)
        if change.commands:
            firewall._commit(change)
        listed = driver.FirewallDriver(paths.Paths.under(tmp_path), kernel).observe()
        assert firewall.observe() == listed
        assert listed.elements == desired.elements
        assert not firewall.diff(listed, desired).commands
        assert change.replaces is None or before.skeleton is None


@pytest.mark.functional
def test_what_somebody_else_changes_is_seen(kernel, tmp_path):
    firewall = driver.FirewallDriver(paths.Paths.under(tmp_path), kernel)
    desired = firewall.render(contract.parse({"networks": list(NETWORKS)}), FACTS)
    firewall.apply(firewall.diff(firewall.observe(), desired))
    firewall.verify(desired)
    kernel.run("add element inet astara public4 { 192.0.2.99 }")
    with pytest.raises(base.VerifyFailed, match=r"192\.0\.2\.99"):
        firewall.verify(desired)
    firewall.apply(firewall.diff(firewall.observe(), desired))
    kernel.run("add table inet other")
    firewall.verify(desired)
    kernel.run("flush ruleset")
    assert firewall.observe().skeleton is None


@pytest.mark.functional
def test_refused_change_leaves_everything_as_it_was(kernel, tmp_path):
    firewall = driver.FirewallDriver(paths.Paths.under(tmp_path), kernel)
    desired = firewall.render(contract.parse({"networks": list(NETWORKS)}), FACTS)
    firewall.apply(firewall.diff(firewall.observe(), desired))
    before = firewall.listing()
    bad = "add element inet astara public4 { 10.0.0.1 }\nadd element inet astara nowhere { 1 }\n"
    with pytest.raises(base.ApplyFailed, match="No such file"):
        firewall.apply(driver.Change(bad, None, conntrack.Cut()))
    assert firewall.listing() == before
    wrong = driver.Desired(desired.skeleton, dict(desired.elements, source4=frozenset({"x y"})))
    with pytest.raises(base.CheckFailed):
        firewall.check(wrong)
    # Plain addresses come parsed; one that is none all the same is refused with all else.
    wrong = driver.Desired(desired.skeleton, dict(desired.elements, public4=frozenset({"x y"})))
    with pytest.raises(base.ApplyFailed):
        firewall.apply(firewall.diff(firewall.observe(), wrong))
    assert firewall.listing() == before
    with pytest.raises(base.VerifyFailed):
        firewall.verify(driver.Desired(desired.skeleton, dict(desired.elements, public4=set())))


@pytest.mark.functional
def test_flows_are_offloaded_where_the_kernel_can(kernel, tmp_path):
    firewall = driver.FirewallDriver(paths.Paths.under(tmp_path), kernel)
    asked = contract.parse({"networks": list(NETWORKS), "flow_offload": True})
    desired = firewall.render(asked, FACTS)
    if nft.lacks_flowtables(kernel) is None:
        assert "flowtable established" in desired.skeleton
        firewall.apply(firewall.diff(firewall.observe(), desired))
        firewall.verify(desired)
    else:
        assert desired.skeleton == skeleton.text()
        # What it would load is well-formed: the kernel alone is what refuses it.
        with pytest.raises(nft.Refused, match="No such file or directory"):
            kernel.run(skeleton.text(["eth1", "eth2"]), dry=True)
