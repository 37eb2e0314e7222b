"""Two whole orchestrators on one cloud: shared work, takeover, fencing, restarts one by one.

The devcloud's own orchestrator is stopped meanwhile. Both nodes run here, with a real ZooKeeper
between them and the cloud's MariaDB for epochs. They live on one host, under names of their own.
"""

import configparser
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from astara_devcloud import faults, layout, outside, services, settings
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "orchestrator/tests/cluster"))

import zookeeper_server

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(400), pytest.mark.quiet]

BIN = pathlib.Path(sys.executable).parent
OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
ORCHESTRATOR = "astara-orchestrator"
FULL_PACKET = 1400
"""Octets; the MTU of the management network is 1450."""
DATABASE = "astara_cluster_test"
MEMBER_TIMEOUT_S = 4
ROUTERS = 6
PATIENCE_S = 120


class Node:
    """An orchestrator of the test's own."""

    def __init__(self, root: pathlib.Path, host: str, coordination_url: str) -> None:
        self.host = host
        self.config = root / f"{host}.ini"
        self.log = root / f"{host}.log"
        where = layout.current_layout()
        told = configparser.ConfigParser(strict=False, interpolation=None)
        told.optionxform = str  # type: ignore[assignment,method-assign]
        told.read(where.etc / "orchestrator.ini")
        own = {"host": host, "management_binding_host": settings.HOST}
        told["DEFAULT"].update(own, state_path=str(root / host))
        told["coordination"] = {
            "enabled": "true",
            "url": coordination_url,
            "group_id": "cluster-test",
            "heartbeat_interval": "0.5",
            "member_timeout": str(MEMBER_TIMEOUT_S),
        }
        told["database"] = {"connection": settings.load(where).database_url(DATABASE)}
        with self.config.open("w") as file:
            told.write(file)
        cloud = settings.load(where)
        service = services.declare(cloud)[ORCHESTRATOR]
        self._environment = services.environment(cloud, service)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [str(BIN / ORCHESTRATOR), "--config-file", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        return appliance.descendants(self._process.pid) if self._process else []

    def send(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End all processes at once, as a power cut does."""
        self.send(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End as an operator ends it."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=60)
            self._process = None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(BIN / "astara-ctl"), "--config-file", str(self.config), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def ctl(self, *words: str) -> Any:
        done = self.run(*words, "-f", "json")
        return json.loads(done.stdout) if done.stdout.strip() else []

    def owners(self) -> dict[str, str]:
        """Return which node serves which router, as this one tells it."""
        lines = self.ctl("list", "--long")
        return {line["ID"]: line["Node"] for line in lines if line["State"] == "configured"}


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """Both nodes and the routers that they share."""

    nodes: dict[str, Node]
    zookeeper: Any
    tenant: Tenant
    routers: dict[str, Any]
    appliances: dict[str, appliance.Appliance]

    def shared(self, *hosts: str) -> dict[str, str] | None:
        """Return who serves what, if all is served by these nodes and all of them say the same."""
        told = [self.nodes[host].owners() for host in hosts]
        whole = all(set(one) >= set(self.routers) for one in told)
        mine = {router: told[0][router] for router in self.routers} if whole else {}
        agreed = whole and all(one[router] == mine[router] for one in told for router in mine)
        return mine if agreed and set(mine.values()) == set(hosts) else None

    def settled(self, *hosts: str) -> dict[str, str]:
        return probes.wait_until(
            lambda: self.shared(*hosts), f"{hosts} share all routers", PATIENCE_S, 0.5
        )

    def facts(self) -> dict[str, tuple[str, int, str]]:
        """Return what must not change when routers change hands: server, pushes, digest."""
        found = {}
        for router_id, each in self.appliances.items():
            status = each.status()
            found[router_id] = (each.server_id(), status["pushes_applied"], status["digest"])
        return found

    def addresses(self) -> list[str]:
        return [self.tenant.gateway_address(router) for router in self.routers.values()]


@pytest.fixture(scope="module")
def database(devcloud: None) -> Iterator[None]:
    socket = layout.current_layout().database_socket

    def sql(statement: str) -> None:
        argv = ["mariadb", "--no-defaults", f"--socket={socket}", "-u", "root", "-e", statement]
        subprocess.run(argv, check=True, timeout=60, capture_output=True)

    sql(f"DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}")
    yield
    sql(f"DROP DATABASE {DATABASE}")


@pytest.fixture(scope="module")
def cluster(
    database: None,
    tmp_path_factory: pytest.TempPathFactory,
    tenant: "Connection",
    service: "Connection",
) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("cluster")
    drawn = Tenant(tenant, "cluster-")
    drawn.clear()
    with contextlib.ExitStack() as stack:
        stack.enter_context(faults.stopped(ORCHESTRATOR))
        zookeeper = stack.enter_context(zookeeper_server.zookeeper())
        nodes = {host: Node(root, host, zookeeper.url) for host in ("left", "right")}
        upgrade = [str(BIN / "astara-dbsync"), "--config-file", str(nodes["left"].config)]
        subprocess.run([*upgrade, "upgrade"], check=True, timeout=60, capture_output=True)
        for node in nodes.values():
            stack.callback(node.stop)
            node.start()
        routers = {}
        stack.callback(drawn.clear)
        for number in range(ROUTERS):
            router = drawn.router(f"shared-{number}", external="public")
            routers[router.id] = router
        made = Cluster(
            nodes,
            zookeeper,
            drawn,
            routers,
            {
                router_id: appliance.Appliance(service, router_id, nodes["left"].config)
                for router_id in routers
            },
        )
        made.settled("left", "right")
        yield made
        # The nodes that made them remove them: the devcloud's would wait for a grace.
        drawn.clear()
        probes.wait_until(
            lambda: not any(each.servers() for each in made.appliances.values()),
            "the routers' servers are gone",
            60,
            0.5,
        )


def lossless(cluster: Cluster, stack: contextlib.ExitStack) -> list[probes.PingStream]:
    return [
        stack.enter_context(probes.PingStream(OUTSIDE, address)) for address in cluster.addresses()
    ]


def test_work_is_shared_and_every_node_tells_the_same(cluster: Cluster) -> None:
    shared = cluster.settled("left", "right")
    assert {len(each.servers()) for each in cluster.appliances.values()} == {1}
    names = {node["Host"] for node in cluster.nodes["left"].ctl("node", "list")}
    assert names >= {"left", "right"}
    for router_id, owner in shared.items():
        for node in cluster.nodes.values():
            assert node.ctl("show", router_id)["resource"]["node"] == owner


def test_a_command_reaches_the_owner_from_any_node(cluster: Cluster) -> None:
    shared = cluster.settled("left", "right")
    asked = {"left": "right", "right": "left"}
    router_id = next(iter(shared))
    told = cluster.nodes[asked[shared[router_id]]].run("router", "update", router_id)
    assert told.returncode == 0, told.stderr
    assert router_id in told.stdout
    assert shared[router_id] in told.stdout
    unknown = cluster.nodes["left"].run("router", "update", "no-such-router")
    assert unknown.returncode == 1
    assert "no-such-router" in unknown.stderr


def test_routers_of_a_killed_node_are_taken_over_and_nothing_is_touched(
    cluster: Cluster, tell: Callable[[str], None]
) -> None:
    shared, before = cluster.settled("left", "right"), cluster.facts()
    with contextlib.ExitStack() as stack:
        streams = lossless(cluster, stack)
        started = time.monotonic()
        cluster.nodes["right"].kill()
        cluster.settled("left")
        tell(
            f"node killed: its {list(shared.values()).count('right')} routers are verified by the "
            f"other one after {time.monotonic() - started:.1f} s (lease {MEMBER_TIMEOUT_S} s)"
        )
        started = time.monotonic()
        cluster.nodes["right"].start()
        cluster.settled("left", "right")
        tell(f"node started: it serves its share after {time.monotonic() - started:.1f} s")
    assert cluster.facts() == before
    assert cluster.shared("left", "right") == shared  # those of the other one never moved
    assert sum(stream.lost for stream in streams) == 0


def test_nodes_restarted_one_by_one_push_nothing_and_lose_nothing(
    cluster: Cluster, tell: Callable[[str], None]
) -> None:
    cluster.settled("left", "right")
    before, started = cluster.facts(), time.monotonic()
    with contextlib.ExitStack() as stack:
        streams = lossless(cluster, stack)
        for host, other in (("left", "right"), ("right", "left")):
            cluster.nodes[host].stop()
            cluster.settled(other)
            cluster.nodes[host].start()
            cluster.settled("left", "right")
    assert cluster.facts() == before
    assert sum(stream.lost for stream in streams) == 0
    tell(f"rolling restart of two nodes: {time.monotonic() - started:.1f} s, no push, no loss")


def test_a_push_of_a_frozen_node_that_lost_the_router_is_refused(
    cluster: Cluster, tell: Callable[[str], None]
) -> None:
    """Its packets arrive after another node has written: the appliance tells by the epoch."""
    shared = cluster.settled("left", "right")
    router_id = next(router for router, owner in shared.items() if owner == "right")
    frozen, target = cluster.nodes["right"], cluster.appliances[router_id]
    address, before = target.address(), target.status()
    refused = _refusals(target)
    with _Dam(address) as dam:
        cluster.tenant.plug(cluster.routers[router_id], _subnet(cluster))
        local_port = probes.wait_until(
            lambda: _stalled_push(frozen, address), "a push is on its way", 60, 0.1
        )
        dam.only(local_port)
        frozen.send(signal.SIGSTOP)
        try:
            started = time.monotonic()
            probes.wait_until(
                lambda: target.status()["digest"] != before["digest"],
                "the other node has written",
                PATIENCE_S,
                0.5,
            )
            tell(
                f"node frozen in a push: the other wrote {time.monotonic() - started:.1f} s later"
            )
            written = target.status()
            dam.open()
            probes.wait_until(
                lambda: _refusals(target) > refused, "the late push is refused", 120, 0.5
            )
            assert target.status()["digest"] == written["digest"]
            assert target.status()["epoch"] == written["epoch"] > before["epoch"]
        finally:
            frozen.send(signal.SIGCONT)
    cluster.settled("left", "right")
    assert target.status()["digest"] == written["digest"]


def test_a_node_cut_off_from_its_peers_stops_before_another_begins(
    cluster: Cluster, tell: Callable[[str], None]
) -> None:
    """Without its lease a node reaches appliances and writes to none of them."""
    cluster.settled("left", "right")
    before = cluster.facts()
    with cluster.zookeeper.frozen():
        started = time.monotonic()
        probes.wait_until(
            lambda: all(
                "group.lease_lost" in node.log.read_text() for node in cluster.nodes.values()
            ),
            "both nodes have stood down",
            60,
            0.5,
        )
        tell(f"coordination away: no node acts any more after {time.monotonic() - started:.1f} s")
        assert all(OUTSIDE.pings(address) for address in cluster.addresses())
    cluster.settled("left", "right")
    assert cluster.facts() == before


def _subnet(cluster: Cluster) -> Any:
    network = cluster.tenant.network("late")
    return cluster.tenant.subnet(network, "10.77.1.0/24")


def _refusals(target: appliance.Appliance) -> int:
    """Count the pushes that the appliance's agent has refused for their epoch."""
    counted = re.search(
        r'^\w+_pushes_total\{result="stale"\} ([0-9.]+)$', target.metrics(), re.MULTILINE
    )
    return int(float(counted[1])) if counted else 0


def _stalled_push(node: Node, address: str) -> int | None:
    """Return the local port of a connection of a node that has a lot to send and cannot."""
    argv = ["ss", "-H", "-t", "-n", "-p", "state", "established", "dport", "=", ":5000"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout
    mine = {str(pid) for pid in node.pids()}
    for line in shown.splitlines():
        _, unsent, local, remote, *users = line.split()
        owner = re.search(r"pid=(\d+)", " ".join(users))
        if int(unsent) > FULL_PACKET and address in remote and owner and owner[1] in mine:
            return int(local.rpartition(":")[2])
    return None


class _Dam:
    """Holds back large packets to an appliance's API, later only those of one connection.

    A TLS handshake passes: its flights are smaller than what fills a packet.
    """

    TABLE = "inet astara_cluster_test"

    def __init__(self, address: str) -> None:
        self._to = f"ip6 daddr {address} tcp dport 5000"

    def __enter__(self) -> "_Dam":
        self._hold(f"meta length > {FULL_PACKET}")
        return self

    def only(self, local_port: int) -> None:
        self._hold(f"tcp sport {local_port}")

    def _hold(self, which: str) -> None:
        self._nft(
            f"add table {self.TABLE}\ndelete table {self.TABLE}\n"
            f"table {self.TABLE} {{\n chain output {{\n"
            "  type filter hook output priority 0; policy accept;\n"
            f"  {self._to} {which} drop\n }}\n}}\n"
        )

    def open(self) -> None:
        self._nft(f"add table {self.TABLE}\ndelete table {self.TABLE}\n")

    def __exit__(self, *_: object) -> None:
        self.open()

    @staticmethod
    def _nft(commands: str) -> None:
        subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True, timeout=20)
