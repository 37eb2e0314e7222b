"""WireGuard between the appliance and a machine outside: packets, keys, what is left afterwards.

This kernel may have no WireGuard: then wireguard-go is at work, on both sides.
"""

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.functional

# wireguard-go's socket is found by this name, also by other test runs on this machine.
FAR = f"far{os.getpid()}"
OWN, PEER = "203.0.113.9", "203.0.113.1"


def wg(*words, stdin=""):
    done = subprocess.run(["wg", *words], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def keys():
    private = wg("genkey")
    return private, wg("pubkey", stdin=private)


MINE, THEIRS, SHARED = keys(), keys(), wg("genpsk")


class Remote:
    """The other side: wireguard-go (or the kernel's) on a machine outside."""

    def __init__(self, machine, folder, eventually):
        self.machine = machine
        made = machine.succeeds("ip", "link", "add", FAR, "type", "wireguard")
        self._daemon = None if made else machine.popen("wireguard-go", "--foreground", FAR)
        eventually(lambda: machine.succeeds("wg", "show", FAR), 10, "the other device")
        config = folder / "far.conf"
        config.write_text(
            f"[Interface]\nPrivateKey = {THEIRS[0]}\nListenPort = 51821\n[Peer]\n"
            f"PublicKey = {MINE[1]}\nPresharedKey = {SHARED}\nEndpoint = {OWN}:51820\n"
            "AllowedIPs = 192.168.0.0/24, 2001:db8:b::/64, 10.99.0.1/32\n"
        )
        machine.run("wg", "setconf", FAR, str(config))
        for words in (
            f"addr add 10.99.0.2/24 dev {FAR}",
            f"addr add 10.55.0.1/24 dev {FAR}",
            f"addr add fd55::1/64 dev {FAR} nodad",
            f"link set {FAR} up",
            f"route add 192.168.0.0/24 dev {FAR}",
            f"-6 route add 2001:db8:b::/64 dev {FAR}",
        ):
            machine.run("ip", *words.split())

    def close(self):
        if self._daemon is not None:
            self._daemon.terminate()  # it removes its socket
            self._daemon.wait(10)


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    shared_appliance_host.ext = shared_appliance_host.plug("ext")
    shared_appliance_host.blue = shared_appliance_host.plug("blue")
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture(scope="module")
def vm(host):
    made = host.segments["blue"].add_host(
        "vm", ["192.168.0.10/24", "2001:db8:b::10/64"], gateway="192.168.0.1"
    )
    made.run("ip", "-6", "route", "add", "default", "via", "2001:db8:b::1")
    return made


@pytest.fixture(scope="module")
def remote(host, tmp_path_factory, eventually):
    machine = host.segments["ext"].add_host("far", [f"{PEER}/24"])
    side = Remote(machine, tmp_path_factory.mktemp("far"), eventually)
    yield side
    side.close()


def section(**keys):
    peer = {
        "public_key": THEIRS[1],
        "preshared_secret": SHARED,
        "endpoint": PEER,
        "endpoint_port": 51821,
        "allowed_ips": ["10.55.0.0/24", "fd55::/64", "10.99.0.2/32"],
    }
    peer |= keys.pop("peer", {})
    plain = {"private_key_secret": MINE[0], "addresses": ["10.99.0.1/24"], "peers": [peer]}
    return {"wireguard": plain | keys}


def document(host, functions, **more):
    external = host.network(
        "external", host.ext, [f"{OWN}/24"], [{"cidr": "203.0.113.0/24", "gateway_ip": PEER}]
    )
    internal = host.network(
        "internal", host.blue, ["192.168.0.1/24", "2001:db8:b::1/64"],
        ["192.168.0.0/24", "2001:db8:b::/64"],
    )  # fmt: skip
    return host.document([external, internal], functions=functions, **more)


def told(host):
    [peer] = host.get("/v1/status")["functions"]["wireguard"]["peers"]
    return peer


def test_packets_go_both_ways_untranslated(host, vm, remote, eventually):
    host.push(document(host, section()))
    eventually(lambda: vm.pings("10.55.0.1"), 20, "ping into the tunnel")
    eventually(lambda: vm.pings("fd55::1"), 10, "IPv6 ping into the tunnel")
    # Only the tenant's own address is one that the other side lets in: nothing was translated.
    assert remote.machine.pings("192.168.0.10")
    assert told(host)["status"] == "ACTIVE"
    assert told(host)["received_bytes"] > 0


def test_other_changes_keep_the_session(host, vm, remote, eventually):
    host.push(document(host, section()))
    eventually(lambda: vm.pings("10.55.0.1"), 20, "ping")
    before = remote.machine.run("wg", "show", FAR, "latest-handshakes")
    host.push(document(host, section(), hostname="other"))
    host.restart_agent()
    more = {"public_key": wg("pubkey", stdin=keys()[0]), "allowed_ips": ["10.56.0.0/24"]}
    wider = section()
    wider["wireguard"]["peers"].append(more)
    host.push(document(host, wider))
    host.push(document(host, section()))
    assert vm.pings("10.55.0.1")
    assert remote.machine.run("wg", "show", FAR, "latest-handshakes") == before


def test_a_wrong_key_lets_nothing_through(host, vm, remote, eventually):
    host.push(document(host, {}))
    host.push(document(host, section(peer={"preshared_secret": wg("genpsk")})))
    assert not vm.pings("10.55.0.1")
    assert told(host) | {"status": "DOWN", "reason": "the peer has never answered"} == told(host)
    host.push(document(host, section()))
    eventually(lambda: vm.pings("10.55.0.1"), 30, "ping with the right key")


def test_a_device_that_is_gone_leaks_nothing_and_comes_back(host, vm, remote, eventually):
    wanted = document(host, section())
    host.push(wanted)
    pid = host.root / "run/astara/wireguard.pid"
    if pid.exists():
        host.execute("kill", "-9", pid.read_text().split()[0])
    else:
        host.execute("ip", "link", "del", "wg0")
    eventually(lambda: "wg0" not in host.execute("ip", "link"), 10, "end of the device")
    shown = host.execute("ip", "route", "get", "10.55.0.1", check=False)
    assert "eth" not in shown
    host.push(wanted)
    eventually(lambda: vm.pings("10.55.0.1"), 30, "ping after the device's death")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"private_key_secret": MINE[0] + "\n[Peer]"}, 400),
        ({"private_key_secret": ""}, 500),
        ({"peer": {"endpoint": "a b"}}, 400),
        ({"peer": {"allowed_ips": ["0.0.0.0/0"]}}, 500),
        ({"peer": {"allowed_ips": ["10.0.0.1/24"]}}, 500),
    ],
    ids=["newline", "no-key", "blank", "everything", "host-bits"],
)
def test_what_cannot_be_changes_nothing(host, change, status):
    host.push(document(host, section()))
    before = host.kernel_state()
    number, answer = host.try_push(document(host, section(**change)))
    assert number == status, answer
    assert host.kernel_state() == before


def test_keys_are_not_shown_and_nothing_is_left(host):
    host.push(document(host, section()))
    logs = "".join(path.read_text() for path in (host.root / "var/log/astara").glob("*.log"))
    shown = json.dumps(host.get("/v1/system/config")) + json.dumps(host.get("/v1/status"))
    assert THEIRS[1] in shown
    assert not [k for k in (MINE[0], SHARED) if k in shown + logs + host.agent_log()]
    assert (host.root / "run/astara/wireguard.conf").stat().st_mode & 0o077 == 0
    host.push(document(host, {}))
    assert "wg0" not in host.execute("ip", "link")
    assert "10.55.0" not in host.execute("ip", "route")
    assert not [line for line in host.daemons() if "wireguard" in line]
    assert not (host.root / "run/astara/wireguard.conf").exists()
