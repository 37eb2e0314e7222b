"""docs/benchmarks.md says what the kept results say, and judges goals by the figures."""

import pytest
from bench import page


@pytest.mark.skipif(not page.read(), reason="no results are kept")
def test_page_is_current():
    assert page.PAGE.read_text() == page.text(page.read())


def agent_result(milliseconds, mebibytes):
    figure = {"floating_ips": 10000, "change": "nothing to all", "median": milliseconds}
    memory = {"floating_ips": 10000, "agent_rss_mib": mebibytes}
    return {"agent": {"figures": [figure], "memory": [memory]}}


def test_goals_are_judged_by_the_figures():
    good, bad = (list(page.goals(agent_result(*pair))) for pair in ((999, 59.9), (1000, 60)))
    assert [goal.met for goal in good] == [True, True]
    assert [goal.met for goal in bad] == [False, False]
    assert good[1].measured == "59.9 MiB"


def test_what_was_not_measured_is_not_promised():
    assert list(page.goals({})) == []
