"""Merging of actions: whatever the burst, nothing asked for is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara.machine.collapse import ABSORBS, PRECEDENCE, collapse
from astara.machine.vocabulary import Action

C, R, U, D, P, E = (
    Action.CREATE,
    Action.READ,
    Action.UPDATE,
    Action.DELETE,
    Action.POLL,
    Action.REBUILD,
)
actions = st.sampled_from(list(Action))
bursts = st.lists(actions, max_size=12)
currents = st.none() | actions


@pytest.mark.parametrize(
    ("current", "burst", "chosen", "rest"),
    [
        (None, [], None, set()),
        (P, [], P, set()),
        (None, [P, P], P, set()),
        (P, [U, U, U], U, set()),
        (P, [C, U], C, set()),
        (P, [U, C], C, set()),
        (P, [U, U, P, P], U, set()),
        (P, [U, P, U, P, U, R], U, {R}),
        (P, [C, D], D, set()),
        (C, [E], E, set()),
        (U, [E, R], E, {R}),
        (E, [C, U], E, set()),
        (R, [P], R, set()),
        (R, [U], U, {R}),
        (E, [D], D, set()),
    ],
)
def test_known_bursts(current, burst, chosen, rest):
    assert collapse(current, burst) == (chosen, frozenset(rest))


@given(currents, bursts)
def test_what_was_asked_is_walked_absorbed_or_still_pending(current, burst):
    chosen, rest = collapse(current, burst)
    asked = set(burst) | ({current} if current else set())
    for action in asked:
        assert action == chosen or action in rest or action in ABSORBS[chosen]
    assert rest <= asked
    assert (chosen is None) == (not asked)


@given(currents, bursts)
def test_walking_until_nothing_is_pending_terminates_and_serves_every_action(current, burst):
    chosen, rest = collapse(current, burst)
    served, walks = set(), 0
    while chosen is not None:
        served |= ABSORBS[chosen]
        walks += 1
        chosen, rest = collapse(None, rest)
    assert served >= set(burst)
    assert walks <= 2


@given(currents, bursts, st.randoms())
def test_the_order_of_arrival_does_not_matter(current, burst, random):
    shuffled = list(burst)
    random.shuffle(shuffled)
    assert collapse(current, shuffled) == collapse(current, burst)


@given(currents, bursts)
def test_a_deletion_wins(current, burst):
    assert collapse(current, [*burst, D]) == (D, frozenset())


@given(currents, bursts)
def test_one_after_the_other_gives_the_same_as_all_at_once(current, burst):
    action, left = current, frozenset()
    for one in burst:
        action, left = collapse(action, [*left, one])
    assert (action, left) == collapse(current, burst)


def test_every_action_has_a_rank_and_absorbs_itself():
    assert set(PRECEDENCE) == set(Action) == set(ABSORBS)
    assert all(action in ABSORBS[action] for action in Action)
