"""A generation covers everything but statuses, and does not depend on the order of rows."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_neutron import facts, generation

ROUTER = facts.RouterFacts(
    id="r", project_id="p", name="n", admin_state_up=True, status="BUILD", ha=False,
    flavor_id=None, enable_snat=True,
)  # fmt: skip
PORT = facts.PortFacts(
    id="port", router_id="r", network_id="net", mac_address="fa:16:3e:00:00:01",
    device_owner="network:router_interface", status="DOWN", admin_state_up=True,
    fixed_ips=(facts.FixedIp("10.0.0.1", "sub"),),
)  # fmt: skip
SUBNET = facts.SubnetFacts(
    id="sub", network_id="net", name="s", cidr="10.0.0.0/24", ip_version=4, gateway_ip="10.0.0.1",
    enable_dhcp=True, ipv6_ra_mode=None, ipv6_address_mode=None,
    dns_nameservers=("9.9.9.9", "1.1.1.1"), host_routes=(facts.Route("10.1.0.0/16", "10.0.0.9"),),
)  # fmt: skip
NETWORK = facts.NetworkFacts(
    id="net", name="n", project_id="p", mtu=1450, port_security_enabled=True, external=False,
    dns_domain="", subnets=(SUBNET,),
)  # fmt: skip
LIMIT = facts.RateLimit("egress", 1000, 100)
RULE = facts.MeteringRule("egress", None, None, "198.51.100.0/24", excluded=False)
LABEL = facts.MeteringLabel("label", "n", (RULE,))
FLOATING = facts.FloatingIpFacts(
    id="fip", router_id="r", floating_ip_address="203.0.113.9", fixed_ip_address="10.0.0.5",
    port_id="vm", floating_network_id="ext", status="DOWN",
    port_forwardings=(facts.PortForwarding("pf", "tcp", 80, 80, "10.0.0.5", 8080, 8080),),
    rate_limits=(LIMIT,),
)  # fmt: skip
TALLY = facts.PortTally(ports=2, revisions=7, ids=31, newest_id=20)
VIEW = facts.RouterView(
    router=ROUTER, routes=(facts.Route("10.2.0.0/16", "10.0.0.7"),), ports=(PORT,),
    networks=(NETWORK,), floatingips=(FLOATING,), tallies={"net": TALLY},
    neighbours={"net": (dataclasses.replace(PORT, id="other", router_id="q"),)},
    gateway_rate_limits=(LIMIT,), metering_labels=(LABEL,),
    conntrack_helpers=(facts.ConntrackHelper("udp", 69, "tftp"),),
)  # fmt: skip


def other_value(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return value[:-1]
    return "something else"


def with_first(field: str, item: object) -> facts.RouterView:
    return dataclasses.replace(VIEW, **{field: (item,)})


def variants() -> list[tuple[str, facts.RouterView]]:
    parts = {
        "router": (ROUTER, lambda item: dataclasses.replace(VIEW, router=item)),
        "port": (PORT, lambda item: with_first("ports", item)),
        "network": (NETWORK, lambda item: with_first("networks", item)),
        "subnet": (
            SUBNET,
            lambda item: with_first("networks", dataclasses.replace(NETWORK, subnets=(item,))),
        ),
        "floatingip": (FLOATING, lambda item: with_first("floatingips", item)),
        "tally": (TALLY, lambda item: dataclasses.replace(VIEW, tallies={"net": item})),
        "neighbour": (PORT, lambda item: dataclasses.replace(VIEW, neighbours={"net": (item,)})),
    }
    return [
        (
            f"{name}.{field.name}",
            rebuild(
                dataclasses.replace(part, **{field.name: other_value(getattr(part, field.name))})
            ),
        )
        for name, (part, rebuild) in parts.items()
        for field in dataclasses.fields(part)
    ]


@pytest.mark.parametrize(("name", "changed"), variants(), ids=[name for name, _ in variants()])
def test_every_field_but_a_status_changes_the_generation(
    name: str, changed: facts.RouterView
) -> None:
    same = generation.generation(changed) == generation.generation(VIEW)
    # The sample neighbour differs from the port it is made of in id and router.
    assert same == (name.endswith(".status") and not name.startswith("neighbour"))


@pytest.mark.parametrize("field", ["routes", "ports", "networks", "floatingips"])
def test_a_part_that_goes_away_changes_the_generation(field: str) -> None:
    changed = dataclasses.replace(VIEW, **{field: ()})
    assert generation.generation(changed) != generation.generation(VIEW)


@given(st.lists(st.integers(0, 99), unique=True, min_size=1), st.randoms())
def test_the_order_of_rows_does_not_matter(numbers: list[int], rng: random.Random) -> None:
    ports = [dataclasses.replace(PORT, id=f"port-{number}") for number in numbers]
    straight = dataclasses.replace(VIEW, ports=tuple(ports))
    rng.shuffle(ports)
    shuffled = dataclasses.replace(VIEW, ports=tuple(ports))
    assert generation.generation(straight) == generation.generation(shuffled)


def test_the_order_of_name_servers_matters() -> None:
    swapped = dataclasses.replace(SUBNET, dns_nameservers=("1.1.1.1", "9.9.9.9"))
    changed = with_first("networks", dataclasses.replace(NETWORK, subnets=(swapped,)))
    assert generation.generation(changed) != generation.generation(VIEW)
