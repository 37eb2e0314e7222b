"""Whatever the contract lets pass, every driver renders, and the tools' own checkers take.

Documents are made of few addresses, so that they overlap and collide, and of hostile words. The
real pipeline's stages run up to the check; nothing is applied. In a namespace of its own.
"""

import collections
import ipaddress
import pathlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astara_appliance import errors, stages
from astara_appliance.drivers import base, hangs, registry
from astara_appliance.system.paths import Paths
from astara_contract import document as contract
from astara_contract.errors import ContractError

pytestmark = pytest.mark.functional

EXAMPLES = 60
MACS = tuple(f"fa:16:3e:00:00:{number:02x}" for number in range(6))
FACTS = base.Facts(
    {mac: base.Nic(mac, f"eth{number}", f"ge{number}") for number, mac in enumerate(MACS)}
)
# Refused on purpose: what no tool is asked about.
KNOWN_REFUSALS = ("MTU ",)

CIDRS = ["10.0.0.0/24", "10.0.0.0/25", "10.0.0.0/8", "192.168.1.0/26", "203.0.113.0/24"]
CIDRS += ["fd00:1::/64", "fd00:1::/48", "2001:db8::/64", "0.0.0.0/0", "::/0", "10.9.9.9/32"]
WORDS = ["", "a", 'x"; flush ruleset', "$(reboot)", "a,b;c", "#", "é", "dhcp-script=/bin/sh", "%"]

ODD = ["10.9.9.9", "169.254.169.254", "255.255.255.255", "0.0.0.0", "127.0.0.1", "224.0.0.5"]
ODD += ["fe80::1", "::", "::1", "ff02::1"]


def of_version(version, texts):
    """Return those of `texts` that are IPv4 or IPv6."""
    return [text for text in texts if (":" in text) == (version == 6)]


CIDRS_OF = {version: of_version(version, CIDRS) for version in (4, 6)}
ADDRESSES = [str(ipaddress.ip_network(cidr)[n]) for cidr in CIDRS[:-3] for n in (1, 2, 3)] + ODD
ADDRESSES_OF = {version: of_version(version, ADDRESSES) for version in (4, 6)}
versions = st.sampled_from([4, 6])
addresses = st.sampled_from(ADDRESSES)
routes = versions.flatmap(
    lambda version: st.tuples(
        st.sampled_from(CIDRS_OF[version]), st.sampled_from(ADDRESSES_OF[version])
    )
)
macs = st.sampled_from([mac.replace("fa:", "fe:") for mac in MACS] + ["FE:16:3E:00:00:0A"])
texts = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12
)
names = st.sampled_from(["", "vm", "a.b.example.", "_srv", "x" * 63]) | st.from_regex(
    r"\A[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\Z"
)


def sometimes(strategy, blank=""):
    return st.just(blank) | strategy


def lists(strategy, most=3):
    return st.lists(strategy, max_size=most)


OPTIONS = "mtu 26 router dns-server tftp-server option6:dns-server bootfile-name domain-search"
OPTIONS += " 23 255 0 server-ip-address classless-static-route"
options = st.fixed_dictionaries(
    {
        "name": st.sampled_from(OPTIONS.split()),
        "value": texts | addresses | st.integers(0, 70000).map(str),
        "ip_version": st.sampled_from([4, 6]),
    }
)
allocations = st.fixed_dictionaries(
    {
        "mac_address": macs,
        "ip_addresses": st.dictionaries(addresses, st.booleans(), max_size=3),
        "hostname": names,
        "device_id": texts,
        "tenant_id": texts,
        "extra_dhcp_opts": lists(options),
    }
)
modes = st.sampled_from([None, "slaac", "dhcpv6-stateful", "dhcpv6-stateless"])


def subnets_of(version):
    plain = {
        "cidr": st.sampled_from(CIDRS_OF[version]),
        "gateway_ip": sometimes(st.sampled_from(ADDRESSES_OF[version])),
        "dhcp_enabled": st.booleans(),
        "dns_nameservers": lists(addresses),
        "host_routes": lists(
            routes.map(lambda route: {"destination": route[0], "nexthop": route[1]})
        ),
    }
    only_v6 = {"ipv6_ra_mode": modes, "ipv6_address_mode": modes} if version == 6 else {}
    return st.fixed_dictionaries(plain | only_v6)


subnets = versions.flatmap(subnets_of)


def one_address(cidr, number):
    """Return an address of a network of ours in `cidr`, with the prefix length."""
    network = ipaddress.ip_network(cidr)
    return f"{network[8 * CIDRS.index(cidr) + number + 1]}/{network.prefixlen}"


@st.composite
def networks(draw):
    number = draw(st.integers(0, len(MACS) - 1))
    roles = ["management"] if number == 0 else ["external", "internal", "isolated", "loadbalancer"]
    held = draw(st.sets(st.sampled_from(CIDRS[:-3]), max_size=3))
    return {
        "network_id": f"net-{number}",
        "network_type": draw(st.sampled_from(roles)),
        "name": draw(texts),
        "interface": {
            "lladdr": MACS[number],
            # Each network its own, of prefixes that overlap.
            "addresses": sorted(one_address(cidr, number) for cidr in held),
            "mtu": draw(st.sampled_from([None, None, 68, 1279, 1450, 9000])),
            "state": draw(st.sampled_from(["up", "up", "down"])),
            "description": draw(texts),
        },
        "subnets": draw(lists(subnets)),
        "allocations": draw(lists(allocations, 4)),
    }


documents = st.fixed_dictionaries(
    {
        "networks": st.lists(
            networks(), min_size=1, max_size=5, unique_by=lambda one: one["network_id"]
        ),
        "hostname": names,
        "router_id": st.sampled_from(["", "r-1"]),
        "enable_snat": st.booleans(),
        "floating_ips": lists(
            st.fixed_dictionaries(
                {
                    "floating_ip": st.sampled_from(ADDRESSES_OF[4]),
                    "fixed_ip": st.sampled_from(ADDRESSES_OF[4]),
                }
            )
        ),
        "static_routes": lists(routes),
        "default_v4_gateway": sometimes(st.sampled_from(ADDRESSES_OF[4])),
        "dns_forwarders": lists(addresses),
        "dns_domain": names,
        "orchestrator": st.fixed_dictionaries(
            {"address": sometimes(addresses), "metadata_key": st.sampled_from(["", "ab" * 32])}
        ),
    }
)


def accepted(raw):
    """Return the document, without the parts that the contract refuses; None if it refuses all."""
    for without in ([], ["floating_ips"]):
        kept = {key: value for key, value in raw.items() if key not in without}
        try:
            return contract.parse(msgspec.json.encode(kept))
        except ContractError:
            continue
    return None


def refusals(driver, document):
    """Return why `driver` refuses `document`, but for what it may refuse."""
    line = stages.Stages(hangs.Hangs(pathlib.Path("/nonexistent")))
    try:
        step = line.plan(driver, document, FACTS)
        assert step.desired == line.plan(driver, document, FACTS).desired
        driver.check(step.desired)
    except (errors.PushFailed, base.DriverError) as refused:
        return [] if refused.reason.startswith(KNOWN_REFUSALS) else [str(refused)]
    return []


def test_accepted_documents_are_rendered_and_pass_the_checkers(appliance_host, tmp_path):
    drivers, sizes = None, []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents)
    def run(raw):
        document = accepted(raw)
        sizes.append(-1 if document is None else len(document.networks))
        if document is None:
            return
        found = [reason for driver in drivers for reason in refusals(driver, document)]
        assert not found, document

    def inside():
        nonlocal drivers
        drivers = registry.build_drivers(Paths.under(tmp_path), hangs.Hangs(tmp_path))
        run()

    # A namespace where nothing runs: the checkers look at its ruleset, and change nothing.
    appliance_host.orchestrator.inside(inside)
    print("networks in the documents:", sorted(collections.Counter(sizes).items()))
    assert sum(size > 1 for size in sizes) > EXAMPLES / 4
    assert appliance_host.orchestrator.run("nft", "list", "ruleset") == ""
