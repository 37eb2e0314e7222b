"""BGP against a BIRD on the external network: routes both ways, packets, keys, BFD."""

import json

import pytest

pytestmark = pytest.mark.functional

PEER, PEER6 = "203.0.113.1", "2001:db8:cafe::1"
KEY = "S3cret#Key;{}"


class PeerRouter:
    """A BIRD of somebody else, on a machine of the external network."""

    def __init__(self, host, folder, eventually):
        self.host, self.folder, self._eventually = host, folder, eventually
        self._process = None

    def start(self, *, password=KEY):
        secret = f'password "{password}";' if password else ""
        sessions = "".join(
            f"protocol bgp b{version} {{ local {own} as 64513; neighbor {other} as 64512;"
            f" {secret} bfd on; connect delay time 1; error wait time 1, 2;"
            f" ipv{version} {{ import all; export all; }}; }}\n"
            f"protocol kernel k{version}"
            f" {{ ipv{version} {{ export where source = RTS_BGP; }}; }}\n"
            for version, own, other in (
                (4, PEER, "203.0.113.9"),
                (6, PEER6, "2001:db8:cafe::9"),
            )
        )
        (self.folder / "peer.conf").write_text(
            f"router id {PEER};\nprotocol device {{}}\n"
            'protocol bfd { interface "eth0" { interval 300 ms; multiplier 3; }; }\n'
            "protocol static s4 { ipv4; route 198.51.100.0/24 blackhole;"
            " route 100.64.7.0/24 blackhole; route 192.168.0.128/25 blackhole; }\n"
            "protocol static s6 { ipv6; route 2001:db8:beef::/48 blackhole; }\n" + sessions
        )
        self._process = self.host.popen(
            "bird", "-f", "-c", self.folder / "peer.conf", "-s", self.folder / "peer.ctl"
        )
        self._eventually(lambda: "b4" in self.ask("show", "protocols"), 10, "the peer's BIRD")

    def ask(self, *words):
        return self.host.run("birdc", "-s", str(self.folder / "peer.ctl"), *words, check=False)

    def since(self):
        """When each session came up, in the peer's eyes."""
        lines = [line.split() for line in self.ask("show", "protocols").splitlines()]
        sessions = [words for words in lines if words and words[0] in ("b4", "b6")]
        return {words[0]: words[4] for words in sessions if words[-1] == "Established"}

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    shared_appliance_host.ext = shared_appliance_host.plug("ext")
    shared_appliance_host.blue = shared_appliance_host.plug("blue")
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture(scope="module")
def machine(host):
    """The machine of the peer, with an address far behind it."""
    far = ["198.51.100.10/32", "2001:db8:beef::10/128"]
    return host.segments["ext"].add_host("peer", [f"{PEER}/24", f"{PEER6}/64", *far])


@pytest.fixture
def peer(machine, tmp_path, eventually):
    router = PeerRouter(machine, tmp_path, eventually)
    yield router
    router.stop()


def document(host, *, password=KEY, floating=(), **keys):
    common = {"password": password, "bfd": True}
    neighbors = [
        {"address": PEER, "accept": ["198.51.100.0/24", "192.168.0.0/16"], **common},
        {"address": PEER6, "accept": ["2001:db8:beef::/48"], **common},
    ]
    external = host.network(
        "external", host.ext, ["203.0.113.9/24", "2001:db8:cafe::9/64"],
        ["203.0.113.0/24", "2001:db8:cafe::/64"],
    )  # fmt: skip
    internal = host.network(
        "internal", host.blue, ["192.168.0.1/24", "2001:db8:b::1/64"],
        ["192.168.0.0/24", "2001:db8:b::/64"],
    )  # fmt: skip
    return host.document(
        [external, internal], asn=64512, neighbor_asn=64513, enable_snat=False,
        bgp={"neighbors": neighbors},
        floating_ips=[{"floating_ip": ip, "fixed_ip": "192.168.0.10"} for ip in floating],
        **keys,
    )  # fmt: skip


def learned(host):
    routes = []
    for family in ("-4", "-6"):
        shown = host.execute("ip", "-j", family, "route", "show", "proto", "bird")
        routes += [route["dst"] for route in json.loads(shown or "[]")]
    return sorted(routes)


def peers_routes(machine):
    return machine.run("ip", "route", "show", "proto", "bird") + machine.run(
        "ip", "-6", "route", "show", "proto", "bird"
    )


WITHIN = ["198.51.100.0/24", "2001:db8:beef::/48"]


def test_routes_go_both_ways_and_packets_follow_them(host, machine, peer, eventually):
    vm = host.segments["blue"].add_host(
        "vm", ["192.168.0.10/24", "2001:db8:b::10/64"], gateway="192.168.0.1"
    )
    vm.run("ip", "-6", "route", "add", "default", "via", "2001:db8:b::1")
    peer.start()
    host.push(document(host))
    # What the filter does not name, and what would lead our own prefix away, is not taken.
    eventually(lambda: learned(host) == WITHIN, 30, "routes of the peer")
    eventually(lambda: "192.168.0.0/24" in peers_routes(machine), 30, "prefix at the peer")
    eventually(lambda: "2001:db8:b::/64" in peers_routes(machine), 30, "IPv6 prefix at the peer")
    eventually(lambda: vm.pings("198.51.100.10"), 10, "ping by a learned route")
    eventually(lambda: vm.pings("2001:db8:beef::10"), 10, "ping by a learned IPv6 route")
    before = peer.since()
    assert set(before) == {"b4", "b6"}

    host.push(document(host, floating=["203.0.113.50"], hostname="other"))
    eventually(lambda: "203.0.113.50" in peers_routes(machine), 10, "floating IP at the peer")
    host.restart_agent()
    host.push(document(host))
    eventually(lambda: "203.0.113.50" not in peers_routes(machine), 10, "its end")
    assert peer.since() == before


def test_key_is_in_no_log_and_not_shown(host):
    host.push(document(host))
    shown = json.dumps(host.get("/v1/system/config"))
    logs = "".join(path.read_text() for path in (host.root / "var/log/astara").glob("*.log"))
    assert PEER in shown
    assert KEY not in shown + logs + host.agent_log()
    assert (host.root / "run/astara/bird.conf").stat().st_mode & 0o077 == 0


def test_bfd_takes_the_routes_of_a_dead_peer(host, machine, peer, eventually):
    peer.start()
    host.push(document(host))
    eventually(lambda: learned(host) == WITHIN, 30, "routes of the peer")
    ask = ("birdc", "-s", str(host.root / "run/astara/bird.ctl"), "show", "bfd", "sessions")
    eventually(lambda: host.execute(*ask).count(" Up ") == 2, 15, "BFD sessions")
    machine.run("ip", "link", "set", "eth0", "down")
    try:
        # The hold time is 240 s: without BFD nothing would be noticed in time.
        eventually(lambda: learned(host) == [], 20, "end of the routes")
    finally:
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "addr", "replace", f"{PEER6}/64", "dev", "eth0", "nodad")


def refused_segments(host):
    """How many segments the appliance's kernel refused for their TCP MD5 signature."""
    names, values = host.execute("grep", "^TcpExt", "/proc/net/netstat").splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["TCPMD5Failure"])


def test_wrong_key_is_refused(host, peer, eventually):
    host.push(document(host, password="another"))
    peer.start()
    before = refused_segments(host)
    eventually(lambda: refused_segments(host) > before, 30, "a refused segment")
    assert peer.since() == {}
    assert learned(host) == []
    host.push(document(host))
    eventually(lambda: learned(host) == WITHIN, 30, "routes with the right key")


def test_dead_bird_comes_back_and_bgp_goes_away_without_a_trace(host, peer, eventually):
    peer.start()
    wanted = document(host)
    host.push(wanted)
    eventually(lambda: learned(host) == WITHIN, 30, "routes of the peer")
    pid = (host.root / "run/astara/bird.pid").read_text().split()[0]
    host.execute("kill", "-9", pid)
    host.push(wanted)
    eventually(lambda: learned(host) == WITHIN and len(peer.since()) == 2, 30, "routes again")
    host.push({key: value for key, value in wanted.items() if key != "bgp"})
    assert learned(host) == []
    assert not [line for line in host.daemons() if "bird -f -c " + str(host.root) in line]
