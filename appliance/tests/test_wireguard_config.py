"""What wg(8) is told: hostile values are refused or stay values, and a dump is read back."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers.wireguard import config, driver
from astara_contract import wireguard

KEY = "A" * 42 + "A="
HOSTILE = st.text(max_size=60) | st.sampled_from(
    [KEY + "\n[Peer]", "a\nListenPort = 1", "x#y", "a b", "::1", "10.0.0.0/8\n", KEY]
)


def section(**peer):
    plain = {"public_key": KEY, "allowed_ips": ["10.0.0.0/8"]}
    wanted = {"private_key_secret": KEY, "peers": [plain | peer]}
    return msgspec.convert(wanted, wireguard.Section)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["public_key", "preshared_secret", "endpoint"], HOSTILE)))  # fmt: skip
def test_no_string_adds_a_line(strings):
    try:
        wanted = section(**strings)
    except msgspec.ValidationError:
        return
    lines = config.text(wanted).splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[Interface]", "[Peer]"]
    names = [line.partition(" = ")[0] for line in lines if "=" in line]
    assert len(set(names)) == len(names)
    assert set(names) <= {
        "PrivateKey", "ListenPort", "PublicKey", "PresharedKey", "AllowedIPs", "Endpoint",
        "PersistentKeepalive",
    }  # fmt: skip


def test_a_dump_is_read_back_and_judged():
    wanted = section(allowed_ips=["fd00::/64", "10.0.0.0/8"], keepalive_s=25)
    peer = "\t".join(
        [KEY, "(none)", "203.0.113.1:51820", "10.0.0.0/8,fd00::/64", "1000", "7", "9"]
    )
    dump = f"{KEY}\t{KEY}\t51820\toff\n{peer}\t25\n"
    assert config.shown(dump) == config.device(wanted)
    for now, status in ((1100, "ACTIVE"), (1181, "DOWN")):
        [told] = config.report(dump, now).peers
        assert (told.status, told.received_bytes, told.sent_bytes) == (status, 7, 9)


def test_an_empty_dump_has_no_peers():
    assert config.report("").peers == ()


def test_one_that_rests_has_no_peers_and_leaks_nothing():
    wanted = driver.State(
        text=config.text(section()), device=config.device(section()), nowhere=frozenset({"a"}),
        routes=frozenset({"a"}), addresses=frozenset({"b"}), mtu=1420, up=True,
    )  # fmt: skip
    rests = driver.resting(wanted)
    assert "[Peer]" in wanted.text
    assert "[Peer]" not in rests.text
    assert (rests.device.peers, rests.routes, rests.addresses, rests.up) == (
        (),
        set(),
        set(),
        False,
    )
    assert rests.nowhere == wanted.nowhere
    assert driver.resting(driver.NOTHING) == driver.NOTHING
