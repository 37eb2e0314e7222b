"""Lines of the log: one per record, taken apart again whatever their values hold."""

import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_contract import logline

ROUTER = "0f3c9a52-6f0e-4b5a-9d53-5b0d9cbb7d11"
HEAD = re.compile(
    r"(\d{4}-\d\d-\d\dT[\d:.]+Z) ([A-Z]+) worker-00\[\d+\]/main ([a-z_.]+) (router=\S+|-)(.*)"
)


def record(template, *args, exc_info=None, name="astara.test"):
    return logging.LogRecord(name, logging.INFO, __file__, 1, template, args, exc_info)


def as_text(*args, secrets=(), **kwargs):
    return logline.Formatter("worker-00", secrets=secrets).format(record(*args, **kwargs))


def as_json(*args, secrets=(), **kwargs):
    formatter = logline.Formatter("worker-00", as_json=True, secrets=secrets)
    return json.loads(formatter.format(record(*args, **kwargs)))


def test_a_line_names_its_event_and_its_resource():
    match = HEAD.fullmatch(as_text("document.pushed router=%s count=%d", ROUTER, 3))
    assert match[3] == "document.pushed"
    assert match[4] == f"router={ROUTER}"
    assert match[5] == " count=3"


def test_json_keeps_the_types_of_facts():
    line = as_json("document.pushed router=%s count=%d late=%s why=%s", ROUTER, 3, True, "it is")
    assert line["event"] == "document.pushed"
    assert line["resource"] == {"router": ROUTER}
    assert line["facts"] == {"count": 3, "late": True, "why": "it is"}


def test_the_resource_may_come_from_the_thread():
    with logline.about("router", ROUTER, "ab" * 16):
        line = as_json("server.delete server=%s", "s-1")
    assert (line["resource"], line["trace"]) == ({"router": ROUTER}, "ab" * 16)
    assert as_json("worker.started number=%d", 1)["resource"] is None


def test_a_driver_may_be_an_argument():
    assert as_json("resource.left %s=%s reason=%s", "router", ROUTER, "x")["resource"] == {
        "router": ROUTER
    }


@pytest.mark.parametrize("template", ["no event here", "a.b prose follows", "a.b key=%s"])
def test_what_has_another_form_is_told_as_a_library_does(template):
    line = as_json(template, name="kazoo.client")
    assert (line["event"], line["facts"]["logger"]) == ("library.log", "kazoo.client")


def test_each_line_of_a_traceback_has_its_head():
    try:
        raise ValueError("first\nrouter=forged second")
    except ValueError:
        text = as_text("step.crashed router=%s", ROUTER, exc_info=sys.exc_info())
    lines = text.split("\n")
    assert len(lines) > 3
    assert all(HEAD.fullmatch(line)[4] == f"router={ROUTER}" for line in lines)


def test_secrets_are_not_shown_whoever_logs_them():
    secrets = ["correct horse", "short"]
    assert "horse" not in as_text("a.b why=%s", "it said correct horse!", secrets=secrets)
    assert as_json("login as correct horse", secrets=secrets)["facts"]["text"] == "login as ***"
    assert as_json("a.b why=%s", "a short one", secrets=secrets)["facts"]["why"] == "a short one"


@given(value=st.text())
def test_no_value_can_forge_a_line_or_a_fact(value):
    text = as_text("a.b router=%s why=%s end=%s", ROUTER, value, "end")
    assert len(text.splitlines()) == 1
    rest = HEAD.fullmatch(text)[5]
    told = re.fullmatch(r' why=("(?:[^"\\]|\\.)*"|\S+) end=end', rest)[1]
    assert (json.loads(told) if told.startswith('"') else told) == value
    assert as_json("a.b why=%s", value)["facts"]["why"] == value
