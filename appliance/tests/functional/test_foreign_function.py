"""A network function that comes from a package outside the tree, installed as a user would."""

import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.functional

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "sample-function"

CLUMSY = """
import msgspec

class Section(msgspec.Struct):
    where: str

    def __post_init__(self):
        if self.where == "section":
            raise RuntimeError("no such luck")

class Odd:
    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("cannot even be compared")

class Driver:
    name = "clumsy"
    section = Section

    def __init__(self, paths):
        self.world = None

    def _stumble(self, verb, where):
        if where == verb:
            raise ZeroDivisionError(verb)
        if where == "loop in " + verb:
            while True:
                pass

    def render(self, document, facts):
        where = document.functions.get("clumsy", {}).get("where")
        self._stumble("render", where)
        return Odd() if where == "odd" else where

    def check(self, desired):
        self._stumble("check", desired)

    def observe(self):
        return self.world

    def diff(self, observed, desired):
        self._stumble("diff", desired)
        return () if observed == desired else (desired,)

    def explain(self, change):
        return ("differs",)

    def apply(self, change):
        self._stumble("apply", change[0])
        self.world = change[0]

    def verify(self, desired):
        self._stumble("verify", desired)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder outside the tree with the sample installed, and a package that is broken."""
    root = tmp_path_factory.mktemp("outside")
    source, target = root / "source", root / "packages"
    shutil.copytree(EXAMPLE, source)
    tool = pathlib.Path(sys.executable).parent / "uv"
    options = ["--python", sys.executable, "--offline", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [tool, "pip", "install", "-q", *options, "--target", target, source],
        check=True,
        timeout=120,
    )
    (target / "clumsy.py").write_text(CLUMSY)
    broken = target / "broken-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text(
        "[astara.appliance.functions]\nabsent = no_such_module:Driver\n"
        "firewall = astara_sample.driver:SampleDriver\n"
        "misnamed = astara_sample.driver:SampleDriver\nclumsy = clumsy:Driver\n"
    )
    return target


@pytest.fixture(scope="module")
def host(shared_appliance_host, packages):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(packages))
        shared_appliance_host.blue = shared_appliance_host.plug("blue")
        shared_appliance_host.red = shared_appliance_host.plug("red")
        shared_appliance_host.start_agent()
        yield shared_appliance_host


def document(host, **functions):
    networks = [
        host.network("internal", nic, [f"{net}.1/24"], [f"{net}.0/24"])
        for nic, net in ((host.blue, "192.168.0"), (host.red, "192.168.1"))
    ]
    return host.document(networks, functions=functions)


def test_function_from_outside_acts_on_packets_and_goes_again(host):
    vm = host.segments["blue"].add_host("vm", ["192.168.0.10/24"], gateway="192.168.0.1")
    far = host.segments["red"].add_host("vm", ["192.168.1.10/24"], gateway="192.168.1.1")
    far.run("ip", "addr", "add", "192.168.1.130/24", "dev", "eth0")
    host.push(document(host))
    assert vm.pings("192.168.1.10")
    assert vm.pings("192.168.1.130")

    host.push(document(host, sample={"blackholes": ["192.168.1.128/25"]}))
    assert vm.pings("192.168.1.10")
    assert not vm.pings("192.168.1.130")

    host.push(document(host))
    assert vm.pings("192.168.1.130")


def test_drift_of_a_function_is_told_and_repaired(host, eventually):
    wanted = document(host, sample={"blackholes": ["192.0.2.0/24"]})
    host.push(wanted)
    host.execute("ip", "route", "del", "blackhole", "192.0.2.0/24")
    host.push(wanted)
    assert "192.0.2.0/24" in host.execute("ip", "route", "show", "proto", "251")


@pytest.mark.parametrize(
    ("functions", "path"),
    [
        ({"sample": {"blackholes": ["10.0.0.0/8\nnasty"]}}, "$.functions.sample.blackholes[0]"),
        ({"sample": {"blackhole": []}}, "$.functions.sample"),
        ({"absent": {}}, "$.functions.absent"),
        ({"firewall": {}}, "$.functions.firewall"),
        ({"misnamed": {}}, "$.functions.misnamed"),
    ],
    ids=["newline", "misspelt", "not-loadable", "name-in-use", "wrong-name"],
)
def test_a_section_that_nobody_understands_changes_nothing(host, functions, path):
    host.push(document(host))
    before = host.kernel_state()
    status, answer = host.try_push(document(host, **functions))
    assert (status, answer["error"]["code"]) == (400, "invalid-document")
    assert answer["error"]["path"] == path
    assert host.kernel_state() == before


def test_what_the_checker_of_a_function_refuses_is_told_by_its_name(host):
    status, answer = host.try_push(document(host, sample={"blackholes": ["0.0.0.0/0"]}))
    assert (status, answer["error"]["driver"]) == (500, "sample")


@pytest.mark.parametrize("verb", ["render", "check", "diff", "apply", "verify", "odd"])
def test_a_function_that_breaks_is_named_and_the_router_goes_on(host, verb):
    plain = document(host)
    host.push(plain)
    before = host.kernel_state()
    status, answer = host.try_push(document(host, clumsy={"where": verb}) | {"hostname": "other"})
    assert (status, answer["error"]["driver"]) == (500, "clumsy")
    assert answer["error"]["rolled_back"]
    assert host.kernel_state() == before
    host.push(plain)


def test_a_section_type_that_breaks_is_named(host):
    status, answer = host.try_push(document(host, clumsy={"where": "section"}))
    assert (status, answer["error"]["path"]) == (400, "$.functions.clumsy")


@pytest.mark.quiet
@pytest.mark.parametrize("verb", ["render", "apply"])
def test_a_function_that_loops_for_ever_is_left_out_and_the_router_goes_on(host, verb, eventually):
    plain = document(host)
    host.push(plain)
    status, answer = host.try_push(document(host, clumsy={"where": f"loop in {verb}"}))
    assert (status, answer["error"]["driver"]) == (500, "clumsy")
    assert "hangs" in answer["error"]["reason"]
    # Meanwhile the appliance tells how it is, and soon the agent ends by itself.
    assert host.get("/v1/status")["digest"]
    host.agent_ends(60)
    left_out(host, f"it hung in its {verb}")


def left_out(host, reason):
    """See that a new life of the agent does without the function; then trust it again."""
    host.start_agent()
    host.push(document(host, sample={"blackholes": []}) | {"hostname": "another"})
    status, answer = host.try_push(document(host, clumsy={"where": "nowhere"}))
    assert (status, answer["error"]["path"]) == (400, "$.functions.clumsy")
    assert reason in str(answer)
    (host.root / "run/astara/functions-left-out.json").unlink()
    host.restart_agent()
    host.push(document(host, clumsy={"where": "nowhere"}))
