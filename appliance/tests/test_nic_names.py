"""geN names: unique, stable, management first."""

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance import facts

macs = st.integers(0, 30).map(lambda n: f"fa:16:3e:00:00:{n:02x}")


@given(st.lists(st.lists(macs, unique=True), max_size=6), st.none() | macs)
def test_names_are_unique_and_never_change(rounds, management):
    known = {}
    for present in rounds:
        numbers = facts.number_nics(known, present, management)
        assert len(set(numbers.values())) == len(numbers)
        assert set(present) <= set(numbers)
        if known:
            assert {mac: numbers[mac] for mac in known} == known
        if management is not None:
            assert numbers[management] == 0
        known = numbers


@given(st.lists(macs, unique=True, min_size=1))
def test_new_nics_are_numbered_in_order_after_management(present):
    numbers = facts.number_nics({}, present, present[0])
    assert [numbers[mac] for mac in present] == list(range(len(present)))


def test_without_a_known_management_mac_the_first_nic_is_management():
    assert facts.number_nics({}, ["a", "b"], None) == {"a": 0, "b": 1}


def test_a_number_is_not_used_again():
    assert facts.number_nics({"m": 0, "gone": 5}, ["m", "new"], "m") == {
        "m": 0,
        "gone": 5,
        "new": 6,
    }


def test_names_survive_in_the_state_directory(tmp_path):
    first = facts.NicNames(tmp_path, "AA:00:00:00:00:01")
    assert first.learn(["aa:00:00:00:00:02", "aa:00:00:00:00:01"]) == {
        "aa:00:00:00:00:02": "ge1",
        "aa:00:00:00:00:01": "ge0",
    }
    again = facts.NicNames(tmp_path, "aa:00:00:00:00:01")
    assert again.learn(["aa:00:00:00:00:03", "aa:00:00:00:00:02"]) == {
        "aa:00:00:00:00:03": "ge2",
        "aa:00:00:00:00:02": "ge1",
    }


def test_damaged_names_are_begun_anew(tmp_path):
    (tmp_path / facts.NAMES_FILE).write_text('{"fa:16:3e:00')
    names = facts.NicNames(tmp_path, "fa:16:3e:00:00:00")
    assert names.learn(["fa:16:3e:00:00:00"]) == {"fa:16:3e:00:00:00": "ge0"}
    assert facts.NicNames(tmp_path, None).learn(["fa:16:3e:00:00:00"]) == {
        "fa:16:3e:00:00:00": "ge0"
    }
