"""Whose turn it is in a pair: the rules that hold whatever was seen."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from astara.instance import names, pair
from astara.machine.vocabulary import InstanceState

# The others are those of a whole instance.
STATES = sorted(
    set(InstanceState) - {InstanceState.GONE, InstanceState.ERROR, InstanceState.DEGRADED}
)
VIEWS = st.builds(
    pair.View,
    state=st.sampled_from(STATES),
    answering=st.booleans(),
    serving=st.booleans(),
    role=st.sampled_from(["", "single", "master", "backup", "fault"]),
    held=st.booleans(),
    outdated=st.booleans(),
)
PAIRS = st.tuples(VIEWS, st.builds(dataclasses.replace, VIEWS, surplus=st.booleans()))
WELL = pair.View(state=InstanceState.CONFIGURED, answering=True, serving=True, role="backup")


@given(PAIRS, st.integers(0, 1))
def test_a_healthy_half_is_replaced_beside_a_well_one_only(views, before):
    care = pair.choose(views, before)
    mine, other = views[care.index], views[1 - care.index]
    if care.state is InstanceState.RESTART_NEEDED and mine.state is not care.state:
        assert other.well
        assert mine.outdated or mine.surplus


@given(PAIRS, st.integers(0, 1))
def test_a_pair_is_configured_only_if_both_halves_are(views, before):
    state = pair.choose(views, before).state
    both = all(view.well for view in views)
    assert state is not InstanceState.DEGRADED or (not both and any(v.well for v in views))
    settled = both and not any(view.outdated or view.surplus for view in views)
    assert not settled or state is InstanceState.CONFIGURED


@given(PAIRS)
def test_the_turn_stays_with_whom_it_was_while_both_need_it_alike(views):
    alike = (views[0], views[0])
    for before in (0, 1):
        assert pair.choose(alike, before).index == before


@given(VIEWS)
def test_one_alone_is_what_it_is(view):
    assert pair.choose([view], 0) == pair.Care(0, view.state)


def test_who_serves_alone_hears_of_the_pair_before_the_second_is_configured():
    alone = pair.View(InstanceState.UP, answering=True, serving=True, role="single")
    fresh = pair.View(InstanceState.UP, answering=True)
    assert pair.choose([fresh, alone], 0).index == 1
    silent = dataclasses.replace(alone, answering=False)
    assert pair.choose([silent, fresh], 1).index == 0, "it may have the addresses"


def test_the_tenant_sees_the_better_half():
    down = pair.View(InstanceState.DOWN, answering=False)
    assert pair.best([down, WELL]) is WELL


def test_names_tell_the_members_apart():
    router = "7a0c1f3e-0000-4000-8000-000000000001"
    for index in (0, 1):
        assert names.server_index(names.server(router, index)) == index
        assert names.port_index(names.port("MGT", router, index)) == index
    assert names.port_index(f"ASTARA:VRRP:{router}:7") == 0
    assert names.server_index("ak-router-x") == 0
    assert names.appliance(router, 0) == router
    assert names.appliance(router, 1) != router
