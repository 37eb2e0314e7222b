"""The ring: everybody agrees, nobody gets much more than a share, nothing moves without need."""

import collections
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from astara.cluster.ring import Ring

NAMES = st.sets(st.text("abcdefghij0123456789.-", min_size=1, max_size=12), min_size=1, max_size=6)
IDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, f"router-{number}")) for number in range(400)]
EXPONENT = 5


def owners(members):
    ring = Ring(members, EXPONENT)
    return {resource_id: ring.owner(resource_id) for resource_id in IDS}


@settings(deadline=None)
@given(NAMES)
def test_every_resource_has_one_owner_whatever_the_order_of_names(members):
    assert set(owners(members).values()) <= members
    assert owners(sorted(members)) == owners(sorted(members, reverse=True))


@settings(deadline=None)
@given(NAMES, st.text("klm", min_size=1, max_size=5))
def test_a_node_that_joins_takes_and_moves_nothing_else(members, newcomer):
    before, after = owners(members), owners({*members, newcomer})
    assert all(after[each] == before[each] or after[each] == newcomer for each in IDS)


@settings(deadline=None)
@given(NAMES.filter(lambda names: len(names) > 1), st.data())
def test_a_node_that_leaves_gives_up_what_it_had_and_nothing_else_moves(members, data):
    gone = data.draw(st.sampled_from(sorted(members)))
    before, after = owners(members), owners(members - {gone})
    assert all(after[each] == before[each] for each in IDS if before[each] != gone)


def test_without_nodes_nothing_is_owned():
    assert Ring((), EXPONENT).owner(IDS[0]) is None


def test_shares_are_even_with_the_default_number_of_points():
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range(10_000)]
    for count in (2, 3, 5):
        ring = Ring((f"node{number}" for number in range(count)), 8)
        shares = collections.Counter(ring.owner(each) for each in ids)
        fair = len(ids) / count
        assert all(0.8 * fair < share < 1.2 * fair for share in shares.values()), shares
