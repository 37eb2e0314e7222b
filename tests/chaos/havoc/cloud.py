"""What chaos happens to: a cloud, two orchestrators, their database and coordination, a tenant.

The devcloud's own orchestrator is stopped meanwhile. Everything is made and removed here.
"""

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from astara_devcloud import clients, faults, layout, settings
from astara_devcloud.story.tenant import Tenant

from . import node, proxy, relay

if TYPE_CHECKING:
    from openstack.connection import Connection

TREE = pathlib.Path(__file__).parents[3]
DATABASE = "astara_chaos"
USER = "astara_chaos"
PREFIX = "chaos-"


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """All that faults can be put into, and those who look."""

    proxy: proxy.Proxy
    relay: relay.Relay
    zookeeper: Any
    lines: Mapping[str, relay.Relay]  # by which each node reaches it
    nodes: Sequence[node.Node]
    tenant: Tenant
    admin: "Connection"
    service: "Connection"


class InUseError(Exception):
    """The cloud has routers, whose appliances would trust none of the orchestrators here."""


def sql(statement: str) -> str:
    """Have the cloud's database server do something."""
    socket = layout.current_layout().database_socket
    argv = ["mariadb", "--no-defaults", f"--socket={socket}", "-u", "root", "-N", "-e", statement]
    done = subprocess.run(argv, check=True, timeout=60, capture_output=True, text=True)
    return done.stdout


@contextlib.contextmanager
def _database() -> Iterator[None]:
    # A user without the privilege to write to a read-only server, unlike the cloud's services.
    user = f"'{USER}'@'localhost'"
    sql(f"DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}")
    sql(f"CREATE OR REPLACE USER {user}; GRANT ALL ON {DATABASE}.* TO {user}")
    try:
        yield
    finally:
        sql(f"DROP DATABASE {DATABASE}; DROP USER {user}")


@contextlib.contextmanager
def opened(root: pathlib.Path, seed: int, hosts: Sequence[str]) -> Iterator[Cloud]:
    """Have a cloud with running orchestrators of these names for the length of the block.

    Raise InUseError if it is not empty.
    """
    sys.path.insert(0, str(TREE / "orchestrator/tests/cluster"))
    import zookeeper_server

    where = layout.current_layout()
    known = settings.load(where)
    upstreams = {
        "keystone": ("127.0.0.1", known.ports.keystone),
        "network": ("127.0.0.1", known.ports.neutron),
        "compute": ("127.0.0.1", known.ports.nova),
    }
    with contextlib.ExitStack() as stack:
        drawn = Tenant(clients.connect(clients.TENANT), PREFIX)
        drawn.clear()
        admin = clients.connect(clients.ADMIN)
        if others := [router.name for router in admin.network.routers()]:
            raise InUseError(f"the cloud serves {', '.join(others)}: chaos wants an empty one")
        stack.enter_context(faults.stopped(node.PROGRAM))
        _forget_queues()  # those of a run that was killed fill for ever
        stack.callback(_forget_queues)
        stack.enter_context(_database())
        front = stack.enter_context(proxy.Proxy(upstreams, seed))
        line = stack.enter_context(relay.Relay(root / "database.sock", where.database_socket))
        zookeeper = stack.enter_context(zookeeper_server.zookeeper())
        lines = {
            host: stack.enter_context(relay.Relay(("127.0.0.1", 0), ("127.0.0.1", zookeeper.port)))
            for host in hosts
        }
        url = f"mysql+pymysql://{USER}@localhost/{DATABASE}?unix_socket={line.address}"
        database = f"{url}&charset=utf8mb4"
        keystone = front.url("keystone")
        nodes = [
            node.Node(root, host, node.Wiring(keystone, database, _zookeeper_url(each)))
            for host, each in lines.items()
        ]
        _migrate(nodes[0])
        for each in nodes:
            stack.callback(each.stop)
            each.start()
        made = Cloud(
            proxy=front,
            relay=line,
            zookeeper=zookeeper,
            lines=lines,
            nodes=nodes,
            tenant=drawn,
            admin=admin,
            service=clients.connect(clients.SERVICE),
        )
        yield made


def _forget_queues() -> None:
    """Remove the queues of orchestrators that are not the devcloud's own."""
    for name in faults.rabbitmqctl("list_queues", "name").split():
        if name.startswith(("astara.", "astara-operator.")) and settings.HOST not in name:
            faults.rabbitmqctl("delete_queue", name)


def _zookeeper_url(line: relay.Relay) -> str:
    return "zookeeper://{}:{}".format(*line.address)  # type: ignore[misc]


def _migrate(first: node.Node) -> None:
    argv = [str(node.BIN / "astara-dbsync"), "--config-file", str(first.config), "upgrade"]
    subprocess.run(argv, check=True, timeout=60, capture_output=True)
