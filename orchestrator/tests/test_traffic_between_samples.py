"""Traffic between two looks: what was really sent, once, whatever began anew meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from astara.metering import traffic
from astara_contract.stats import Counter, Stats

BOOT, LATER = "2026-11-21T07:00:00Z", "2026-11-21T08:00:00Z"
count = st.integers(0, 2**64)
amount = st.builds(traffic.Amount, count, count, count, count)


def sample(at, *counters, since=BOOT):
    return Stats(since=since, at=at, counters=counters)


def nic(name="net-1", scope="internal", since="", **amounts):
    return Counter(kind="interface", name=name, scope=scope, since=since, **amounts)


def floating(since, value):
    return Counter(kind="floating-ip", name="203.0.113.7", since=since, in_bytes=value)


def used(before, after):
    interval = traffic.between(before, after)
    return {one.name: one.amount for one in interval.used}


def test_the_first_look_is_the_one_from_which_others_count():
    assert traffic.between(None, sample("t1", nic(in_bytes=5))) is None


def test_what_grew_is_what_was_used():
    interval = traffic.between(
        sample("t1", nic(in_bytes=5, out_packets=1)), sample("t2", nic(in_bytes=9, out_packets=1))
    )
    assert (interval.begin, interval.end) == ("t1", "t2")
    [one] = interval.used
    assert (one.kind, one.scope, one.amount) == ("interface", "internal", traffic.Amount(4))


def test_a_server_that_we_booted_counts_from_its_first_packet():
    interval = traffic.between(traffic.NOTHING, sample("t1", nic(in_bytes=5)))
    assert interval.begin == BOOT
    assert interval.used[0].amount == traffic.Amount(5)


def test_a_rebuilt_appliance_counts_from_zero():
    before, after = nic(in_bytes=100), nic(in_bytes=500)
    assert used(sample("t1", before), sample("t2", after, since=LATER)) == {
        "net-1": traffic.Amount(500)
    }


def test_a_nic_that_was_plugged_again_counts_from_zero_in_everything():
    before, after = nic(in_bytes=100, out_bytes=3), nic(in_bytes=7, out_bytes=4)
    assert used(sample("t1", before), sample("t2", after))["net-1"] == traffic.Amount(7, 0, 4)


def test_a_loaded_firewall_restarts_its_own_counters_alone():
    before = sample("t1", nic(in_bytes=100), floating("load-1", 50))
    after = sample("t2", nic(in_bytes=130), floating("load-2", 60))
    assert used(before, after) == {
        "net-1": traffic.Amount(30),
        "203.0.113.7": traffic.Amount(60),
    }


def test_what_is_new_counts_whole_and_what_is_gone_not_at_all():
    before, after = sample("t1", nic("old", in_bytes=9)), sample("t2", nic("new", in_bytes=4))
    assert used(before, after) == {"new": traffic.Amount(4)}


def test_what_stood_still_is_not_told():
    assert used(sample("t1", nic(in_bytes=9)), sample("t2", nic(in_bytes=9))) == {}


@given(sent=st.lists(amount, max_size=8), rebuilds=st.sets(st.integers(0, 7)))
def test_without_loss_between_looks_all_is_counted_once(sent, rebuilds):
    """Each look follows the traffic at once, so that even rebuilds lose nothing."""
    last, counter, told, since = traffic.NOTHING, traffic.Amount(), traffic.Amount(), BOOT
    for step, more in enumerate(sent):
        if step in rebuilds:
            counter, since = traffic.Amount(), f"boot-{step}"
        counter = counter.plus(more)
        now = sample(f"t{step}", nic(**counter._asdict()), since=since)
        told = told.plus(used(last, now).get("net-1", traffic.Amount()))
        last = now
    total = traffic.Amount()
    for more in sent:
        total = total.plus(more)
    assert told == total


@given(first=amount, second=amount)
def test_no_amount_is_ever_negative(first, second):
    found = used(sample("t1", nic(**first._asdict())), sample("t2", nic(**second._asdict())))
    assert all(min(one) >= 0 for one in found.values())
