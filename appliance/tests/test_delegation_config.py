"""What dhcpcd's script noted, and which subnet gets what."""

import pathlib

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers.delegation import config

NOTED = """reason=BOUND6
new_dhcp6_ia_pd1_prefix1=2001:db8:f0ff::
new_dhcp6_ia_pd1_prefix1_length=64
new_dhcp6_ia_pd1_prefix2=2001:db8:e000::
new_dhcp6_ia_pd1_prefix2_length=56
new_dhcp6_ia_pd1_prefix3=2001:db8:aaaa::
new_dhcp6_ia_pd1_prefix3_length=80
"""


def test_a_router_asks_as_itself_whatever_appliance_it_has():
    first, second = (config.identity(f"1111111{at}-2222-3333-4444-555555555555") for at in "12")
    assert first == "00:04:11:11:11:11:22:22:33:33:44:44:55:55:55:55:55:55"
    assert first != second
    assert len(config.identity("router-1")) == len(first)
    told = config.text("eth1", ["a"], pathlib.Path("/x"), "router-1")
    assert f"duid {config.identity('router-1')}\n" in told


def test_prefixes_are_cut_to_subnets_and_too_small_ones_left():
    assert config.delegated(NOTED) == ("2001:db8:e000::/64", "2001:db8:f0ff::/64")


def test_after_the_lease_there_are_none():
    assert config.delegated(NOTED.replace("BOUND6", "EXPIRE6")) == ()
    assert config.delegated("") == ()


@given(st.text(max_size=200))
def test_nothing_that_is_noted_breaks_the_status(text):
    assert isinstance(config.delegated("reason=BOUND6\nnew_dhcp6_ia_pd1_prefix1=" + text), tuple)


SUBNETS = st.sets(st.sampled_from("abcdef"))
PREFIXES = st.sets(st.sampled_from(["p1", "p2", "p3", "p4"]))


@given(SUBNETS, PREFIXES, SUBNETS, PREFIXES)
def test_who_has_a_prefix_keeps_it_while_it_is_delegated(first, some, second, more):
    before = config.assign(first, sorted(some), {})
    after = config.assign(second, sorted(more), before)
    for subnet, prefix in before.items():
        if subnet in second and prefix in more:
            assert after[subnet] == prefix
    assert len(set(after.values())) == len(after) == min(len(second), len(more))
