"""How VIFs become NICs, and what happens when Open vSwitch does not answer."""

import itertools
import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_devcloud.hypervisor import errors, vif, wiring

PORT = "0123456789abcdef-0000"


def a_vif(port_id: str = PORT, **changes: object) -> dict[str, object]:
    network = {"bridge": "br-int", "meta": {"mtu": 1400}}
    return {
        "id": port_id,
        "type": "ovs",
        "address": "fa:16:3e:00:00:01",
        "network": network,
        "ovs_interfaceid": port_id,
        **changes,
    }


def test_a_vif_becomes_a_nic_with_its_mtu_and_bridge() -> None:
    (nic,) = vif.assign([], [a_vif()])
    assert (nic.tap, nic.parked, nic.device) == ("tap0123456789a", "g0123456789a", "eth0")
    assert (nic.mtu, nic.bridge, nic.mac) == (1400, "br-int", "fa:16:3e:00:00:01")


@pytest.mark.parametrize("meta", [None, {}, {"mtu": None}], ids=["none", "empty", "null"])
def test_a_network_without_mtu_gets_ethernets(meta: object) -> None:
    (nic,) = vif.assign([], [a_vif(network={"bridge": "br-int", "meta": meta})])
    assert nic.mtu == 1500


def test_nova_may_name_the_device() -> None:
    assert vif.tap_name(a_vif(devname="tapchosen")) == "tapchosen"


def test_a_port_bound_for_something_else_is_refused_by_name() -> None:
    with pytest.raises(errors.UnsupportedVif, match=f"{PORT} is bound as 'binding_failed'"):
        vif.assign([], [a_vif(type="binding_failed")])


PORTS = st.lists(st.uuids().map(str), unique_by=lambda p: p[:11], max_size=6)


@given(PORTS, PORTS, st.data())
def test_nics_keep_their_names_and_names_stay_unique(
    first: list[str], second: list[str], data: st.DataObject
) -> None:
    have = vif.assign([], map(a_vif, first))
    if have:  # a few are unplugged
        have = data.draw(st.lists(st.sampled_from(have), unique=True))
    then = vif.assign(have, map(a_vif, second))
    assert then[: len(have)] == have
    assert {nic.port_id for nic in then} == {nic.port_id for nic in have} | set(second)
    assert len({nic.device for nic in then}) == len(then)
    assert {nic.device for nic in then} <= {f"eth{n}" for n in range(6 + len(second))}
    assert vif.assign(then, map(a_vif, second)) == then


@pytest.mark.functional
def test_an_open_vswitch_that_hangs_is_given_up_with_a_clear_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wedged = tmp_path / "ovs-vsctl"
    wedged.write_text("#!/bin/sh\nexec sleep 60\n")
    wedged.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setattr(vif, "OVS_TIMEOUT_S", -4.5)  # with its margin: half a second
    begun = time.monotonic()
    with pytest.raises(errors.CommandTimedOut, match="Open vSwitch does not do what it is asked"):
        vif.unplug(["tapnosuchdevi"])
    assert time.monotonic() - begun < 30


@pytest.mark.functional
def test_an_absent_open_vswitch_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    with pytest.raises(errors.CommandFailed, match=r"Open vSwitch .*ovs-vsctl"):
        vif.unplug(["tapnosuchdevi"])


def test_a_port_waits_for_its_tag_twice_as_long_each_time() -> None:
    patience = wiring.Patience()
    late = [now for now in range(80) if patience.overdue({"tap-a"}, now)]
    assert late == [10, 30, 70]


def test_a_port_that_got_its_tag_waits_anew_when_it_loses_it() -> None:
    patience = wiring.Patience()
    assert patience.overdue({"tap-a", "tap-b"}, 0.0) == []
    assert patience.overdue({"tap-b"}, 9.0) == []
    assert patience.overdue({"tap-a", "tap-b"}, 10.0) == ["tap-b"]


def test_a_port_is_never_waited_for_without_end() -> None:
    patience = wiring.Patience()
    late = [now for now in range(2000) if patience.overdue({"tap-a"}, now)]
    assert max(then - one for one, then in itertools.pairwise(late)) == wiring.LONGEST_PATIENCE_S
