"""The daemons that a run has for itself: MariaDB and ZooKeeper, as the tests of the store have."""

import contextlib
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[2] / "orchestrator/tests"
sys.path[:0] = [str(TESTS / "store"), str(TESTS / "cluster")]

import throwaway_servers  # noqa: E402  found by the path above
import zookeeper_server  # noqa: E402


def database(stack: contextlib.ExitStack) -> str:
    """Start MariaDB and give the URL of an empty database; it ends with the stack."""
    return str(stack.enter_context(throwaway_servers.mariadb()).url)


def coordination(stack: contextlib.ExitStack) -> str:
    """Start ZooKeeper and give its URL; it ends with the stack."""
    return str(stack.enter_context(zookeeper_server.zookeeper()).url)
