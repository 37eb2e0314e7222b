"""How many silent appliances health may give up: a few, whatever happens."""

import hypothesis
import hypothesis.strategies as st
import virtual_time

from astara.machine import budget


def make(owned=10, **limits):
    clock = virtual_time.VirtualClock()
    return budget.Budget(budget.Limits(**limits), lambda: owned, clock), clock


def test_single_faults_are_healed_and_an_outage_rebuilds_a_few():
    few, clock = make(owned=100, number=3, share=0.02, window_s=600)
    assert [few.spend() for _ in range(3)] == ["", "", ""]
    refusal = few.spend()
    assert "3 silent appliances" in refusal
    assert "management network" in refusal
    clock.now = 599
    assert few.spend()
    clock.now = 600
    assert few.spend() == ""


def test_a_large_worker_has_a_share():
    many, _ = make(owned=5000, number=3, share=0.02, window_s=600)
    assert [bool(many.spend()) for _ in range(101)] == [False] * 100 + [True]


def test_other_limits_count_what_was_spent():
    some, _ = make(number=3)
    for _ in range(3):
        some.spend()
    some.adopt(budget.Limits(number=4))
    assert some.spend() == ""
    assert some.spend()
    some.adopt(budget.Limits(number=0, share=0))
    assert some.spend()


@hypothesis.given(
    pauses=st.lists(st.floats(0, 400), max_size=80),
    number=st.integers(0, 5),
    owned=st.integers(0, 300),
)
def test_no_window_ever_sees_more_than_the_limit(pauses, number, owned):
    limits = {"number": number, "share": 0.02, "window_s": 600}
    under_test, clock = make(owned=owned, **limits)
    given = []
    for pause in pauses:
        clock.now += pause
        if not under_test.spend():
            given.append(clock.now)
    most = max(number, int(0.02 * owned))
    for start in given:
        assert sum(start <= at < start + 600 for at in given) <= most
