"""What functions of other packages do wrong in their further verbs stays theirs."""

import contextlib
import threading

import pytest

from astara_appliance.drivers import base, functions, hangs
from astara_contract import document as contract
from astara_contract.errors import ContractError

AMPLE_S = 60.0


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


@pytest.fixture
def watch(tmp_path):
    return hangs.Hangs(tmp_path)


def document(*names):
    return contract.Document(functions={name: {} for name in names})


def test_reports_and_work_of_the_others_go_on(watch):
    deft = Deft()
    all_of_them = (Clumsy(), deft, Plain())
    names = {"clumsy", "deft", "plain"}
    assert functions.reports(all_of_them, names, watch) == {"deft": {"well": True}}
    functions.tend(all_of_them, names, watch)
    assert deft.tended == 1


def test_only_functions_that_are_asked_for_have_a_say(watch):
    deft = Deft()
    assert functions.reports((deft,), set(), watch) == {}
    functions.tend((deft,), set(), watch)
    assert deft.tended == 0
    assert functions.openings((deft,), watch, document()) == base.NO_OPENINGS


def test_openings_are_put_together_and_a_broken_one_is_named(watch):
    deft = Deft()
    assert functions.openings((deft, Plain()), watch, document("deft", "plain")).tunnels == (
        "deft0",
    )
    with pytest.raises(base.CheckFailed) as told:
        functions.openings((deft, Clumsy()), watch, document("deft", "clumsy"))
    assert told.value.driver == "clumsy"


@pytest.fixture
def stuck():
    """Work that ends when the test does."""
    release = threading.Event()
    yield release
    release.set()


def test_one_that_hangs_is_named_and_the_next_call_does_not_wait(tmp_path, stuck):
    watch = hangs.Hangs(tmp_path, patience_s=0.05, hung_after_s=60)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(hangs.Hung) as told:
            watch.call("slow", "apply", stuck.wait)
        assert told.value.driver == "slow"
    assert threading.active_count() <= before + 2  # the call, and who waits for its end
    assert watch.call("other", "apply", lambda: 7, AMPLE_S) == 7
    assert watch.call("slow", "report", lambda: 8, AMPLE_S) == 8
    assert watch.left_out == {}


def test_one_that_was_only_late_is_trusted_again(tmp_path, stuck, eventually):
    watch = hangs.Hangs(tmp_path, patience_s=0.05, hung_after_s=60)
    with pytest.raises(hangs.Hung):
        watch.call("slow", "apply", stuck.wait)
    stuck.set()

    def trusted():
        with contextlib.suppress(hangs.Hung):
            return watch.call("slow", "apply", lambda: 7) == 7

    eventually(trusted, what="another call")
    assert not list(tmp_path.glob("*.at-work"))


def test_one_that_goes_on_hanging_ends_the_agent_and_is_left_out(tmp_path, stuck, eventually):
    ended = threading.Event()
    watch = hangs.Hangs(tmp_path, ended.set, patience_s=0.05, hung_after_s=0.1)
    with pytest.raises(hangs.Hung):
        watch.call("slow", "check", stuck.wait)
    eventually(ended.is_set, what="end of the agent")
    assert hangs.Hangs(tmp_path).left_out == {"slow": "it hung in its check"}


def test_one_in_which_the_agent_dies_again_and_again_is_left_out(tmp_path, stuck):
    for life in range(3):
        watch = hangs.Hangs(tmp_path, patience_s=0.05, hung_after_s=60)
        assert watch.left_out == {}, life
        assert watch.call("slow", "render", lambda: 7, AMPLE_S) == 7
        with pytest.raises(hangs.Hung):
            watch.call("slow", "apply", stuck.wait)
    told = hangs.Hangs(tmp_path).left_out
    assert told == {"slow": "the agent ended 3 times in it, last in its apply"}


def test_an_end_between_its_calls_is_not_its_fault(tmp_path):
    for _ in range(5):
        hangs.Hangs(tmp_path).call("quick", "apply", list)
    assert hangs.Hangs(tmp_path).left_out == {}


def test_what_a_function_raises_is_raised(watch):
    with pytest.raises(ZeroDivisionError):
        watch.call("clumsy", "apply", lambda: 1 / 0)


def test_drivers_of_this_package_are_trusted(watch):
    driver = base.Facts({})
    assert not hangs.is_foreign(driver)
    assert hangs.is_foreign(Clumsy())
    assert watch.around(driver, "apply", threading.current_thread) is threading.current_thread()
    assert watch.around(Deft(), "apply", threading.current_thread) is not threading.main_thread()


def test_a_section_of_one_that_is_left_out_is_refused_with_the_reason(tmp_path):
    (tmp_path / "functions-left-out.json").write_text('{"slow": "it hung in its apply"}')
    with pytest.raises(ContractError, match="until the next boot: it hung in its apply"):
        functions.check_sections(document("slow"), (), hangs.Hangs(tmp_path))
