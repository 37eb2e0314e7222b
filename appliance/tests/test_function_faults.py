"""What functions of other packages do wrong in their further verbs stays theirs."""

import pytest

from astara_appliance.drivers import base, functions
from astara_contract import document as contract


class Clumsy:
    name = "clumsy"

    def openings(self, document):
        raise ZeroDivisionError(document.hostname)

    def report(self):
        raise KeyError("no report")

    def tend(self):
        raise OSError("no way")


class Deft:
    name = "deft"

    def __init__(self):
        self.tended = 0

    def openings(self, document):
        del document
        return base.Openings(("deft0",), (base.Opening(("192.0.2.0/24",), udp_port=7),))

    def report(self):
        return {"well": True}

    def tend(self):
        self.tended += 1


class Plain:
    name = "plain"


def document(*names):
    return contract.Document(functions={name: {} for name in names})


def test_reports_and_work_of_the_others_go_on():
    deft = Deft()
    all_of_them = (Clumsy(), deft, Plain())
    names = {"clumsy", "deft", "plain"}
    assert functions.reports(all_of_them, names) == {"deft": {"well": True}}
    functions.tend(all_of_them, names)
    assert deft.tended == 1


def test_only_functions_that_are_asked_for_have_a_say():
    deft = Deft()
    assert functions.reports((deft,), set()) == {}
    functions.tend((deft,), set())
    assert deft.tended == 0
    assert functions.openings((deft,), document()) == base.NO_OPENINGS


def test_openings_are_put_together_and_a_broken_one_is_named():
    deft = Deft()
    assert functions.openings((deft, Plain()), document("deft", "plain")).tunnels == ("deft0",)
    with pytest.raises(base.CheckFailed) as told:
        functions.openings((deft, Clumsy()), document("deft", "clumsy"))
    assert told.value.driver == "clumsy"
