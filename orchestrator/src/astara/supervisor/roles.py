"""Name the processes of an orchestrator node and what each one runs.

Decides nothing; a role is one line. An entry is "module:function", imported only in the child that
runs it, so that a process pays for the libraries of its own role alone. Read by the supervisor and
by `astara.cmd.child`.

An entry takes (conf, number, stop): the parsed global CONF, the number of the child within its
role, and a `threading.Event` that is set on SIGTERM or when the supervisor is gone. It returns
when it has stopped, within `shutdown_timeout`. An exception that leaves it ends the child, which
is then restarted with back-off.

Three entries belong to the other rooms:

- `astara.instance.requirements:verify(conf) -> None` names what the cloud lacks, with remedies;
  called by the preflight before the next one.
- `astara.instance.management:ensure_local_port(conf) -> str` plugs this node's management port and
  gives its address; run to the end by the preflight, before any other child. What other processes
  need of it (the address, for documents and for the metadata proxy) it leaves under `state_path`.
- `astara.metadata.server:serve(conf, number, stop) -> None` answers metadata requests on that
  address.
"""

import enum
import importlib
import typing

if typing.TYPE_CHECKING:
    import threading

    from oslo_config import cfg


class Entry(typing.Protocol):
    """What a role runs."""

    def __call__(self, conf: "cfg.ConfigOpts", number: int, stop: "threading.Event") -> None:
        """Run until `stop` is set."""


class Role(enum.StrEnum):
    """The kinds of children."""

    PREFLIGHT = "preflight"  # runs once and ends; the others start when it succeeded
    LISTENER = "listener"
    WORKER = "worker"
    HEALTH = "health"
    METADATA = "metadata"
    API = "api"
    COORDINATOR = "coordinator"  # with [coordination] enabled alone


ENTRIES = {
    Role.PREFLIGHT: "astara.supervisor.preflight:run",
    Role.LISTENER: "astara.sources.neutron_events:run",
    Role.WORKER: "astara.worker.process:run",
    Role.HEALTH: "astara.sources.health:run",
    Role.METADATA: "astara.metadata.server:serve",
    Role.API: "astara.api.process:run",
    Role.COORDINATOR: "astara.cluster.coordinator:run",
}

REQUIREMENTS = "astara.instance.requirements:verify"  # (conf) -> None
MANAGEMENT = "astara.instance.management:ensure_local_port"  # (conf) -> str


def load(entry: str) -> typing.Any:
    """Import what "module:function" names."""
    module, _, function = entry.partition(":")
    return getattr(importlib.import_module(module), function)
