"""IPsec between two appliances: packets inside, ciphertext outside, reasons in the status.

This kernel may have no ESP: then strongSwan's user-space crypto is at work, as on any such host.
"""

import contextlib
import json
import signal
import time

import pytest

pytestmark = pytest.mark.functional

KEY = 's3cret "}{ # key\\ äöü'
CLEAR = "2b2b2b2b2b2b2b2b"  # payload of our pings, in hex


class Sites:
    """Two routers on one external network, each with a tenant's network and a machine."""

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.vms = [self._furnish(left, 1, "blue"), self._furnish(right, 2, "red")]
        self.outside = left.segments["ext"].add_host("out", ["203.0.113.9/24"])

    def _furnish(self, host, number, network):
        host.number = number
        host.ext, host.nic = host.plug("ext"), host.plug(network)
        host.start_agent()
        inside = f"10.{number}.0"
        vm = host.segments[network].add_host(
            "vm", [f"{inside}.10/24", f"fd00:{number}::10/64"], gateway=f"{inside}.1"
        )
        vm.run("ip", "-6", "route", "add", "default", "via", f"fd00:{number}::1")
        return vm

    def document(self, host, connections=(), **keys):
        number = host.number
        networks = [
            host.network(
                "external",
                host.ext,
                [f"203.0.113.{number}/24", f"2001:db8:cafe::{number}/64"],
                [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.9"}],
            ),
            host.network(
                "internal",
                host.nic,
                [f"10.{number}.0.1/24", f"fd00:{number}::1/64"],
                [f"10.{number}.0.0/24", f"fd00:{number}::/64"],
            ),
        ]
        functions = {"ipsec": {"connections": list(connections)}} if connections else {}
        return host.document(networks, functions=functions, **keys)

    def connection(self, host, **keys):
        mine, other = host.number, 3 - host.number
        suite = {"encryption": "aes-256", "integrity": "sha256", "group": 14}
        return {
            "id": "site-1",
            "local_address": f"203.0.113.{mine}",
            "local_id": f"203.0.113.{mine}",
            "peer_address": f"203.0.113.{other}",
            "peer_id": f"203.0.113.{other}",
            "psk_secret": KEY,
            "local_subnets": [f"10.{mine}.0.0/24", f"fd00:{mine}::/64"],
            "peer_subnets": [f"10.{other}.0.0/24", f"fd00:{other}::/64"],
            "ike_version": 2,
            "ike": suite,
            "esp": suite,
            "dead_peer": {"action": "restart", "interval_s": 5, "timeout_s": 20},
        } | keys

    def connect(self, *, left=None, right=None, **keys):
        for host, own in ((self.left, left), (self.right, right)):
            host.push(self.document(host, [self.connection(host, **keys, **(own or {}))]))

    def disconnect(self):
        for host in (self.left, self.right):
            host.push(self.document(host))


@pytest.fixture(scope="module")
def sites(two_hosts):
    return Sites(*two_hosts)


@contextlib.contextmanager
def captured(sites, tmp_path):
    """All frames of the external wire, as tcpdump prints them with their bytes."""
    segment, file = sites.left.segments["ext"], tmp_path / "wire.pcap"
    port, wire = sites.left.ext.port, type(sites.outside)(segment.netns, "")
    argv = ["tcpdump", "-Z", "root", "--immediate-mode", "-U", "-n", "-i", port, "-w", str(file)]
    listening = wire.popen(*argv, stderr=-1)
    assert "listening on" in listening.stderr.readline()
    frames = []
    try:
        yield frames
        # What was captured is in the file up to a packet of our own.
        sites.outside.pings("203.0.113.1", "-p", "3c")
        deadline = time.monotonic() + 10
        while b"<" * 16 not in file.read_bytes():
            assert time.monotonic() < deadline, "the capture lags"
            time.sleep(0.05)
    finally:
        listening.send_signal(signal.SIGINT)
        listening.communicate(timeout=10)
        shown = wire.run("tcpdump", "-n", "-x", "-r", str(file))
        frames += shown.replace("\n\t", " ").splitlines()


def in_the_clear(frames):
    """The frames that tell anything of the tenants: an address or the payload of a ping."""
    bare = [(frame, frame.replace(" ", "")) for frame in frames]
    told = ("10.1.0.", "10.2.0.", "fd00:1:", "fd00:2:")
    return [f for f, packed in bare if CLEAR in packed or any(text in f for text in told)]


def ping(vm, target):
    return vm.pings(target, "-p", "2b")


def state(host):
    [told] = host.get("/v1/status")["functions"]["ipsec"]["connections"]
    return told["status"], told.get("reason", "")


def established(host):
    """The numbers of the security associations in use."""
    text = host.execute("swanctl", "--list-sas", "--raw", "--uri", vici(host))
    return sorted(word for word in text.split() if word.startswith(("spi-", "initiator-spi")))


def vici(host):
    return f"unix://{host.root}/run/astara/charon.vici"


def up(sites, eventually):
    for host in (sites.left, sites.right):
        eventually(lambda host=host: state(host)[0] == "ACTIVE", 60, "a tunnel")


def test_packets_go_through_and_only_ciphertext_is_outside(sites, tmp_path, eventually):
    vm, far = sites.vms
    with captured(sites, tmp_path) as frames:
        sites.connect()
        up(sites, eventually)
        eventually(lambda: ping(vm, "10.2.0.10"), 10, "ping through the tunnel")
        eventually(lambda: ping(far, "10.1.0.10"), 10, "ping the other way")
        eventually(lambda: ping(vm, "fd00:2::10"), 10, "IPv6 through the tunnel")
    assert in_the_clear(frames) == []
    assert [frame for frame in frames if ".4500 >" in frame]


def test_no_address_is_translated_in_the_tunnel_and_all_are_beside_it(sites, eventually, tmp_path):
    sites.connect()
    up(sites, eventually)
    vm, far = sites.vms
    for target, there, seen in (
        ("10.2.0.10", far, "10.1.0.10"),
        ("203.0.113.9", sites.outside, "203.0.113.1"),
    ):
        argv = ["tcpdump", "-Z", "root", "-l", "-n", "-c", "1", "icmp[icmptype] == icmp-echo"]
        listening = there.popen(*argv, stdout=-1, stderr=-1)
        try:
            while "listening on" not in listening.stderr.readline():
                assert listening.poll() is None
            eventually(lambda target=target: ping(vm, target), 10, f"ping {target}")
            assert f"IP {seen} >" in listening.stdout.readline()
        finally:
            listening.kill()
            listening.communicate()


def test_other_changes_and_a_restarted_agent_leave_the_tunnel_alone(sites, eventually):
    sites.disconnect()
    sites.connect(right={"initiate": False})  # else both begin, and there may be two for a while
    up(sites, eventually)
    before = established(sites.left)
    assert before
    changed = sites.document(
        sites.left,
        [sites.connection(sites.left)],
        hostname="other",
        floating_ips=[{"floating_ip": "203.0.113.50", "fixed_ip": "10.1.0.10"}],
    )
    sites.left.push(changed)
    sites.left.restart_agent()
    sites.left.push(changed)
    second = sites.connection(sites.left, id="site-2", peer_address="203.0.113.77",
                              peer_id="203.0.113.77", peer_subnets=["10.77.0.0/24"])  # fmt: skip
    sites.left.push(sites.document(sites.left, [sites.connection(sites.left), second]))
    sites.left.push(sites.document(sites.left, [sites.connection(sites.left)]))
    assert established(sites.left) == before
    assert ping(sites.vms[0], "10.2.0.10")


def test_a_wrong_key_lets_nothing_through_and_the_status_says_why(sites, tmp_path, eventually):
    sites.disconnect()
    with captured(sites, tmp_path) as frames:
        sites.connect(right={"psk_secret": "another"})
        for host in (sites.left, sites.right):
            eventually(lambda host=host: "pre-shared key" in state(host)[1], 30, "a reason")
            assert state(host)[0] == "DOWN"
        assert not ping(sites.vms[0], "10.2.0.10")
        assert not ping(sites.vms[1], "10.1.0.10")
    assert in_the_clear(frames) == []
    sites.connect()
    up(sites, eventually)
    eventually(lambda: ping(sites.vms[0], "10.2.0.10"), 10, "ping with the right key")


def test_a_dead_daemon_leaks_nothing_and_comes_back(sites, tmp_path, eventually):
    sites.connect()
    up(sites, eventually)
    pid = (sites.left.root / "run/astara/ipsec.pid").read_text().split()[0]
    with captured(sites, tmp_path) as frames:
        sites.left.execute("kill", "-9", pid)
        for _ in range(3):
            ping(sites.vms[0], "10.2.0.10")
    assert in_the_clear(frames) == []
    sites.left.push(sites.document(sites.left, [sites.connection(sites.left)]))
    up(sites, eventually)
    eventually(lambda: ping(sites.vms[0], "10.2.0.10"), 30, "ping after the daemon's death")


@pytest.mark.parametrize(
    "keys",
    [
        {"ike_version": 1},
        {"ike_version": 1, "aggressive": True},
        {"esp": {"encryption": "aes-128-gcm-16", "group": 19}},
        {
            "ike": {"encryption": "aes-192-ccm-12", "integrity": "aes-cmac", "group": 31},
            "esp": {"encryption": "aes-256-ctr", "integrity": "sha512", "group": 31},
        },
    ],
    ids=["ikev1", "aggressive", "gcm", "ccm-cmac-ctr-25519"],
)
def test_other_policies(sites, eventually, keys):
    sites.connect(**keys)
    up(sites, eventually)
    eventually(lambda: ping(sites.vms[0], "10.2.0.10"), 20, "ping")
    eventually(lambda: ping(sites.vms[1], "fd00:1::10"), 20, "IPv6 ping")


def test_policies_that_differ_are_told(sites, eventually):
    other = {"encryption": "aes-128", "integrity": "sha1", "group": 2}
    sites.connect(left={"ike": other})
    eventually(lambda: "algorithms" in state(sites.left)[1], 30, "a reason")


def test_what_strongswan_does_not_know_harms_nobody_else(sites, eventually):
    strange = {"encryption": "aes-128", "integrity": "sha256", "group": 1}
    sites.connect(left={"esp": strange})
    if state(sites.left)[0] == "ERROR":
        assert "refuses" in state(sites.left)[1]
    assert ping(sites.vms[0], "10.1.0.1")


def test_secrets_are_in_no_file_no_log_and_no_answer(sites):
    sites.connect()
    host = sites.left
    shown = json.dumps(host.get("/v1/system/config"), ensure_ascii=False)
    texts = [shown, host.agent_log()]
    for folder in ("var/log/astara", "run/astara"):
        texts += [
            path.read_text(errors="replace")
            for path in (host.root / folder).rglob("*")
            if path.is_file()
        ]
    assert "site-1" in shown
    assert not [text for text in texts if KEY in text or json.dumps(KEY)[1:-1] in text]
    for name in ("strongswan.conf", "ipsec.json"):
        assert (host.root / "run/astara" / name).stat().st_mode & 0o077 == 0


def test_without_connections_nothing_is_left(sites):
    sites.connect()
    sites.disconnect()
    host = sites.left
    assert "ipsec0" not in host.execute("ip", "link")
    assert host.execute("ip", "rule").count("lookup") == 3
    assert "7350" not in host.execute("ip", "-6", "rule") + host.execute("ip", "rule")
    assert not [line for line in host.daemons() if "charon" in line]
    assert "ipsec" not in host.get("/v1/status")["functions"]


@pytest.mark.quiet
def test_what_was_refused_is_tried_again_when_the_other_side_is_mended(sites, eventually):
    sites.disconnect()
    sites.connect(right={"psk_secret": "another", "initiate": False})
    eventually(lambda: "pre-shared key" in state(sites.left)[1], 30, "a reason")
    sites.right.push(sites.document(sites.right, [sites.connection(sites.right, initiate=False)]))
    up(sites, eventually)
