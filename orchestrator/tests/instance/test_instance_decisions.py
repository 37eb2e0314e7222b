"""The pure decisions around an instance: state, ports, status, user data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara.clients import topology
from astara.clients.neutron import Port
from astara.clients.nova import Server
from astara.drivers.router import needs
from astara.instance import names, ports, report, userdata, verdict
from astara.machine.vocabulary import InstanceState
from astara_contract.status import Nic, Status

STATES = list(InstanceState)
NOVA_STATES = [
    "BUILD",
    "ACTIVE",
    "ERROR",
    "SHUTOFF",
    "DELETED",
    "SOFT_DELETED",
    "PAUSED",
    "UNKNOWN",
]
MAC = "fa:16:3e:00:00:01"


def server(status="ACTIVE", **more):
    return Server(id="s1", status=status, **more)


def answer(macs=(MAC,), digest="d"):
    nics = tuple(Nic(ifname=f"ge{n}", lladdr=mac) for n, mac in enumerate(macs))
    return Status(v4=True, v6=True, digest=digest, interfaces=nics)


def judge(server_, status, desired=None, previous=InstanceState.DOWN, answered_before=False):
    desired = desired or verdict.Desired(macs=frozenset({MAC}), digest="d")
    return verdict.judge(server_, status, desired, previous, answered_before=answered_before)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (answer(), InstanceState.CONFIGURED),
        (answer(macs=(MAC.upper(),)), InstanceState.CONFIGURED),
        (answer(digest="other"), InstanceState.UP),
        (answer(digest=None), InstanceState.UP),
        (answer(macs=()), InstanceState.HOTPLUG_NEEDED),
        (answer(macs=(MAC, "fa:16:3e:00:00:02")), InstanceState.HOTPLUG_NEEDED),
    ],
    ids=["right", "mac in capitals", "older document", "no document", "nic missing", "nic extra"],
)
def test_an_answer_is_judged_by_nics_then_digest(status, expected):
    assert judge(server(), status) is expected


def test_a_carrier_that_does_not_exist_yet_needs_a_hotplug():
    desired = verdict.Desired(macs=None, digest=None)

    assert judge(server(), answer(), desired) is InstanceState.HOTPLUG_NEEDED


@pytest.mark.parametrize(
    ("nova", "answered", "previous", "expected"),
    [
        (None, False, "down", "down"),
        (server("BUILD"), False, "down", "booting"),
        (server("ACTIVE"), False, "booting", "booting"),
        (server("ACTIVE"), True, "configured", "configured"),
        (server("ACTIVE"), True, "booting", "up"),
        (server("ERROR"), True, "configured", "restart-needed"),
        (server("SHUTOFF"), True, "configured", "restart-needed"),
        (server("ACTIVE", task_state="deleting"), True, "configured", "restart-needed"),
        (server("UNKNOWN"), True, "configured", "configured"),
    ],
)
def test_silence_is_judged_by_nova_and_what_was_heard_before(nova, answered, previous, expected):
    state = judge(nova, None, previous=InstanceState(previous), answered_before=answered)

    assert state is InstanceState(expected)


@given(
    st.sampled_from([None, *NOVA_STATES]),
    st.one_of(st.none(), st.builds(answer, digest=st.sampled_from([None, "d", "x"]))),
    st.sampled_from(STATES),
    st.booleans(),
)
def test_configured_is_never_said_without_proof_now_or_before(nova, status, previous, answered):
    state = judge(server(nova) if nova else None, status, None, previous, answered)

    if state is InstanceState.CONFIGURED:
        heard_now = status is not None and status.digest == "d"
        assert heard_now or (status is None and answered and previous is state)
    assert state not in (InstanceState.GONE, InstanceState.ERROR)


def test_of_several_servers_the_usable_one_counts():
    broken, good = server("ERROR"), Server(id="s2", status="BUILD")

    assert verdict.choose((broken, good)) is good
    assert verdict.choose((broken,)) is broken
    assert verdict.choose(()) is None


def test_the_age_of_a_server_is_that_of_its_last_start():
    young = server(created="2026-11-21T00:00:00Z", launched_at="2026-11-21T00:00:30.000000")

    assert verdict.age_s(young, now=1795219260.0) == pytest.approx(30.0)
    assert verdict.age_s(server()) is None


# Ports


@st.composite
def found_ports(draw):
    def port(number):
        addressed = draw(st.booleans())
        return Port(
            id=f"p{number}",
            network_id=draw(st.sampled_from(["mgt", "a", "b", "c"])),
            mac_address=f"fa:16:3e:00:00:{number:02x}",
            device_id=draw(st.sampled_from(["", "s1"])),
            created_at=draw(st.sampled_from(["1", "2"])),
            ip_allocation=draw(st.sampled_from(["none", "immediate"])),
            fixed_ips=(topology.FixedIp(ip_address="127.0.0.1", subnet_id="s"),)
            if addressed
            else (),
        )

    return [port(number) for number in range(draw(st.integers(0, 8)))]


@given(found_ports(), st.sets(st.sampled_from(["a", "b", "c"])), st.randoms())
def test_every_port_has_exactly_one_use_whatever_the_order(found, needed, random):
    plug = ports.sort(found, needed, "mgt")
    used = [*plug.carriers.values(), *([plug.management] if plug.management else [])]

    assert sorted(p.id for p in [*used, *plug.surplus]) == sorted(p.id for p in found)
    assert set(plug.carriers) | plug.missing == needed
    assert not set(plug.carriers) & plug.missing
    assert all(port.network_id == network for network, port in plug.carriers.items())
    random.shuffle(found)
    assert ports.sort(found, needed, "mgt") == plug


@given(found_ports())
def test_a_port_in_use_is_never_replaced_by_an_idle_one(found):
    plug = ports.sort(found, {"a"}, "mgt")

    if any(p.network_id == "a" and p.device_id for p in found):
        assert plug.carriers["a"].device_id


def test_bodies_say_whose_the_port_is_and_leave_carriers_without_address():
    wish = ports.Wish("r1", 0, frozenset("a"), "mgt", "sub")
    carrier = ports.carrier_port(wish, "a")
    management = ports.management_port(wish)

    assert carrier["name"] == "ASTARA:VRRP:r1"
    assert carrier["description"] == management["description"] == "astara:router:r1"
    assert carrier["fixed_ips"] == []
    assert management["fixed_ips"] == [{"subnet_id": "sub"}]
    assert not carrier["port_security_enabled"]
    assert not management["port_security_enabled"]


# Status


def router(admin_state_up=True, status="BUILD", port_status="DOWN"):
    return topology.RouterDetail(
        id="r1",
        project_id="t",
        generation="g",
        admin_state_up=admin_state_up,
        status=status,
        ports=(
            topology.RouterPort(
                id="p1",
                network_id="a",
                mac_address=MAC,
                device_owner="network:router_interface",
                status=port_status,
            ),
        ),
        floatingips=(
            topology.FloatingIp(
                id="f1",
                floating_ip_address="203.0.113.5",
                fixed_ip_address="10.0.0.5",
                port_id="v",
            ),
            topology.FloatingIp(id="f2", floating_ip_address="203.0.113.6"),
        ),
    )


@pytest.mark.parametrize(
    ("state", "serving", "word", "ports_served"),
    [
        ("down", False, "DOWN", set()),
        ("booting", False, "BUILD", set()),
        ("up", False, "BUILD", None),
        ("configured", True, "ACTIVE", {"p1"}),
        ("hotplug-needed", True, "BUILD", None),
        ("restart-needed", True, "BUILD", set()),
        ("error", True, "ERROR", None),
    ],
)
def test_each_state_has_its_word(state, serving, word, ports_served):
    told = report.wanted(InstanceState(state), router(), serving=serving)

    assert told.status == word
    assert told.ports == ports_served


def test_nothing_is_said_about_a_router_that_is_gone_or_about_to_be_updated():
    assert report.wanted(InstanceState.GONE, router(), serving=False) is None
    assert report.wanted(InstanceState.UP, router(), serving=True) is None


def test_a_router_that_is_switched_off_is_down_and_serves_nothing():
    told = report.wanted(InstanceState.CONFIGURED, router(admin_state_up=False), serving=True)

    assert (told.status, told.ports, told.floatingips) == ("DOWN", frozenset(), frozenset())


def test_only_associated_floating_ips_are_served():
    told = report.wanted(InstanceState.CONFIGURED, router(), serving=True)

    assert told.floatingips == {"f1"}


@given(st.sampled_from(STATES), st.booleans(), st.booleans(), st.sampled_from(["ACTIVE", "DOWN"]))
def test_what_was_sent_does_not_differ_any_more(state, up, serving, port_status):
    detail = router(admin_state_up=up, port_status=port_status)
    want = report.wanted(state, detail, serving=serving)
    if want is not None:
        assert not report.differs(want, report.after(want, report.shown(detail)))


# User data and names


def test_user_data_is_yaml_that_is_json_and_tells_the_first_address():
    text = userdata.render(
        userdata.FirstBoot("r1", MAC, ("fdca::5/64",), 1400, 5000, "ssh-ed25519 AAAA")
    )
    head, _, body = text.partition("\n")
    parsed = json.loads(body)

    assert head == "#cloud-config"
    assert parsed["bootcmd"] == [f"/usr/local/bin/astara-configure-management {MAC} fdca::5/64"]
    assert parsed["users"][0]["ssh-authorized-keys"] == ["ssh-ed25519 AAAA"]
    assert parsed["astara"] == {
        "router_id": "r1",
        "api_port": 5000,
        "management": {"mac": MAC, "addresses": ["fdca::5/64"], "mtu": 1400, "routes": []},
    }


@given(st.uuids())
def test_marks_name_the_router_and_nothing_else(router_id):
    assert names.router_of(names.resource(str(router_id))) == str(router_id)
    assert names.router_of(f"loadbalancer:{router_id}") is None
    assert names.router_of("") is None
    assert names.server(str(router_id)).startswith(names.server_prefix(str(router_id)))


def test_ports_that_are_not_served_are_no_reason_for_a_nic():
    detail = router()
    odd = topology.RouterPort(
        id="p2", network_id="b", mac_address=MAC, device_owner="network:router_centralized_snat"
    )
    both = topology.RouterDetail(
        id="r1", project_id="t", generation="g", ports=(*detail.ports, odd)
    )

    assert needs.carrier_networks(both) == {"a"}
