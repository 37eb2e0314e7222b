"""Reading a status report, and what it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_neutron import status

IDS = st.sampled_from("abcdefgh")
STATUSES = st.sampled_from(["ACTIVE", "DOWN", "BUILD", "ERROR", "N/A"])


def test_an_absent_key_leaves_things_as_they_are() -> None:
    assert status.parse_report({"routerstatus": {"status": "ERROR"}}) == status.StatusReport(
        status="ERROR", ports=None, floatingips=None
    )
    assert status.parse_report({"routerstatus": {"ports": []}}) == status.StatusReport(
        status=None, ports=frozenset(), floatingips=None
    )


def test_the_id_that_clients_send_back_is_no_change() -> None:
    report = status.parse_report({"routerstatus": {"id": "r", "status": "ACTIVE"}})
    assert report == status.StatusReport(status="ACTIVE")


@pytest.mark.parametrize("value", ["active", "FOO", "", None, 7, ["ACTIVE"], {}])
def test_a_wrong_status_is_refused_with_the_allowed_ones(value: object) -> None:
    with pytest.raises(status.BadReportError, match="ACTIVE, BUILD, DOWN, ERROR"):
        status.parse_report({"routerstatus": {"status": value}})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "request body"),
        ([], "request body"),
        ({"router": {}}, "request body"),
        ({"routerstatus": []}, "request body"),
        ({"routerstatus": {}}, "empty report"),
        ({"routerstatus": {"id": "r"}}, "empty report"),
        ({"routerstatus": {"status": "ACTIVE", "colour": 1}}, "colour; allowed are status"),
        ({"routerstatus": {"ports": "a"}}, "ports must be a list"),
        ({"routerstatus": {"floatingips": [1]}}, "floatingips must be a list"),
    ],
)
def test_a_malformed_report_is_refused_with_the_reason(body: object, reason: str) -> None:
    with pytest.raises(status.BadReportError, match=reason):
        status.parse_report(body)


@given(st.dictionaries(IDS, STATUSES), st.frozensets(IDS))
def test_after_the_changes_exactly_the_served_ones_are_active(
    current: dict[str, str], served: frozenset[str]
) -> None:
    changed = status.changes(list(current.items()), served)
    after = {**current, **changed}
    assert after.keys() == current.keys()
    assert {item for item, value in after.items() if value == "ACTIVE"} == served & set(current)
    assert set(after.values()) <= {"ACTIVE", "DOWN"}
    assert status.changes(list(after.items()), served) == {}


@given(st.dictionaries(IDS, STATUSES), st.frozensets(IDS))
def test_moves_are_the_changes_by_status(current: dict[str, str], served: frozenset[str]) -> None:
    moves = status.moves(list(current.items()), served)
    flat = {item: new for new, items in moves.items() for item in items}
    assert flat == status.changes(list(current.items()), served)
