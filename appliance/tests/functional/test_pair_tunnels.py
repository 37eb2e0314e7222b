"""IPsec and WireGuard of a router on two appliances: the tunnels are the active one's alone, and
follow it.

A third appliance is the other site, with a tunnel of each kind and a machine behind it. How long
the tunnels are away is printed, and bounded widely.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.quiet]

OWN, SITE = "203.0.113.2", "203.0.113.77"
BY_IPSEC, BY_WIREGUARD = "10.7.0.10", "10.8.0.10"
TUNNELS = {"IPsec": BY_IPSEC, "WireGuard": BY_WIREGUARD}
KEY = "a pre-shared key"
SUITE = {"encryption": "aes-256", "integrity": "sha256", "group": 19}


def wg(*words, stdin=""):
    done = subprocess.run(["wg", *words], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def keys():
    private = wg("genkey")
    return private, wg("pubkey", stdin=private)


OURS, THEIRS = keys(), keys()


def ipsec(local, peer, inside, beyond, **more):
    connection = {
        "id": "site-1",
        "local_address": local,
        "local_id": local,
        "peer_address": peer,
        "peer_id": peer,
        "psk_secret": KEY,
        "local_subnets": [inside],
        "peer_subnets": [beyond],
        "ike_version": 2,
        "ike": SUITE,
        "esp": SUITE,
        "dead_peer": {"action": "hold", "interval_s": 30, "timeout_s": 120},
    }
    return {"connections": [connection | more]}


def wireguard(own, other, endpoint, allowed):
    peer = {
        "public_key": other[1],
        "endpoint": endpoint,
        "endpoint_port": 51820,
        "allowed_ips": allowed,
    }
    return {"private_key_secret": own[0], "addresses": [], "peers": [peer]}


PAIR_FUNCTIONS = {
    "ipsec": ipsec(OWN, SITE, "192.168.0.0/24", "10.7.0.0/24"),
    "wireguard": wireguard(OURS, THEIRS, SITE, ["10.8.0.0/24"]),
}
SITE_FUNCTIONS = {
    "ipsec": ipsec(SITE, OWN, "10.7.0.0/24", "192.168.0.0/24", initiate=False),
    "wireguard": wireguard(THEIRS, OURS, OWN, ["192.168.0.0/24"]),
}


@dataclasses.dataclass
class World:
    """The pair, the other site, and the machines that talk."""

    pair: object
    site: object
    vm: object

    def master(self):
        self.pair.settled()
        return self.pair.master


@pytest.fixture(scope="module")
def world(pair, other_site, eventually):
    pair.start()
    site = other_site(pair.members[0])
    site.nic, site.blue, site.red = site.plug("ext"), site.plug("beyond"), site.plug("further")
    site.start_agent()
    for network, inside in (("beyond", "10.7.0"), ("further", "10.8.0")):
        site.segments[network].add_host(network, [f"{inside}.10/24"], gateway=f"{inside}.1")
    site.push(document_of_site(site))
    for member in pair.members:
        member.push(document_of(pair, member))
    made = World(pair, site, pair.vm)
    eventually(lambda: reaches_all(made), 60, "both tunnels at first")
    return made


def document_of(pair, member, **more):
    return pair.document(member) | {"functions": PAIR_FUNCTIONS} | more


def document_of_site(site):
    outside = [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1"}]
    networks = [
        site.network("external", site.nic, [f"{SITE}/24"], outside),
        site.network("internal", site.blue, ["10.7.0.1/24"], ["10.7.0.0/24"]),
        site.network("internal", site.red, ["10.8.0.1/24"], ["10.8.0.0/24"]),
    ]
    return site.document(networks, functions=SITE_FUNCTIONS)


def reaches_all(world):
    return world.vm.pings(BY_IPSEC) and world.vm.pings(BY_WIREGUARD)


def associations(member):
    """The IKE connections of a member, established or being established."""
    where = f"unix://{member.root}/run/astara/charon.vici"
    return [
        line
        for line in member.execute("swanctl", "--list-sas", "--uri", where).splitlines()
        if line.startswith("site-1")
    ]


def device(member):
    [shown] = json.loads(member.execute("ip", "-json", "link", "show", "wg0"))
    return "UP" in shown["flags"]


def rests(member):
    """Whether a member neither has nor begins a tunnel, and leads nothing into one."""
    routes = member.execute("ip", "route", "show", "10.8.0.0/24")
    return not associations(member) and not device(member) and "wg0" not in routes


def has_all(member):
    return len(associations(member)) == 1 and "ESTABLISHED" in associations(member)[0]


@contextlib.contextmanager
def silence_told(world, pinger, capsys, event):
    """Print the longest silence in each tunnel while the block runs."""
    pings = {name: pinger(world.vm, target) for name, target in TUNNELS.items()}
    yield
    told = [f"{name} {ping.stop()[1]} ms" for name, ping in pings.items()]
    with capsys.disabled():
        print(f"\n{event}: longest silence " + ", ".join(told))


def test_only_the_master_has_tunnels(world, eventually):
    master = world.master()
    backup = world.pair.backup
    eventually(lambda: rests(backup), 20, "no tunnel on the backup")
    assert has_all(master)
    assert device(master)
    assert all(member.get("/v1/system/drift")["clean"] for member in world.pair.members)
    # Time passes in which one that only waits for an occasion would begin.
    world.vm.run("ping", "-n", "-c", "20", "-i", "0.2", BY_IPSEC)
    assert rests(backup)
    assert backup.get("/v1/system/drift")["clean"]


def test_tunnels_move_with_a_planned_switchover_and_back(world, eventually, pinger, capsys):
    for turn in ("away", "back"):
        master = world.master()
        backup = world.pair.backup
        eventually(lambda: reaches_all(world), 30, "both tunnels")
        with silence_told(world, pinger, capsys, f"switchover {turn}"):
            answer = master.request(
                "PUT",
                "/v1/system/role",
                b'{"role": "backup"}',
                {"Content-Type": "application/json"},
            )
            assert answer[0] == 200
            moved(world, master, backup, eventually)


def test_tunnels_survive_a_hang_of_the_master(world, eventually, pinger, capsys):
    master = world.master()
    backup = world.pair.backup
    eventually(lambda: reaches_all(world), 30, "both tunnels")
    with silence_told(world, pinger, capsys, "hang"):
        with hung(master):
            eventually(lambda: world.pair.role(backup) == "master", 20, "the other one is master")
            eventually(lambda: reaches_all(world), 60, "tunnels of the other one")
        # The one that wakes had established tunnels, and must not use them.
        moved(world, master, backup, eventually)


def moved(world, former, master, eventually):
    """Wait until the tunnels are the new master's, and nobody has two."""
    eventually(lambda: world.pair.role(former) == "backup", 20, "the former one is backup")
    eventually(lambda: rests(former), 20, "rest of the former one")
    eventually(lambda: has_all(master), 20, "one connection, not two")
    eventually(lambda: len(associations(world.site)) == 1, 20, "no double at the other site")
    eventually(lambda: reaches_all(world), 60, "tunnels of the other one")


def test_the_other_site_may_begin_and_changes_reach_the_master_alone(world, eventually):
    master = world.master()
    for member in world.pair.members:
        changed = {"ipsec": ipsec(OWN, SITE, "192.168.0.0/24", "10.7.0.0/24", dead_peer={}),
                   "wireguard": PAIR_FUNCTIONS["wireguard"]}  # fmt: skip
        member.push(document_of(world.pair, member, functions=changed))
    eventually(lambda: has_all(master), 30, "the changed connection")
    eventually(lambda: reaches_all(world), 30, "both tunnels")
    assert rests(world.pair.backup)


def test_without_the_agent_the_next_life_brings_them_up(world, eventually):
    master = world.master()
    backup = world.pair.backup
    backup.kill_agent()
    master.request(
        "PUT", "/v1/system/role", b'{"role": "backup"}', {"Content-Type": "application/json"}
    )
    eventually(lambda: world.pair.role(backup) == "master", 20, "the other one is master")
    backup.start_agent()
    eventually(lambda: reaches_all(world), 40, "both tunnels")


def test_one_that_becomes_single_has_tunnels(world, eventually):
    master = world.master()
    single = document_of(world.pair, master, ha_resource=False)
    del single["ha_config"]
    other = world.pair.backup
    other.push(other.document())
    master.push(single)
    eventually(lambda: reaches_all(world), 40, "both tunnels")
    assert has_all(master)
    assert not [line for line in other.daemons() if "charon" in line or "wireguard" in line]


@contextlib.contextmanager
def hung(member):
    shown = ["ip", "netns", "pids", member.netns]
    pids = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split()
    pids = [int(pid) for pid in pids]
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        # Children first: nsenter(1) stops again when it finds its child stopped.
        send(sorted(pids, reverse=True), signal.SIGCONT)
        send(pids, signal.SIGCONT)


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
