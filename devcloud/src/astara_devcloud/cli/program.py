"""Parses the command line of ``astara-devcloud`` and prints what happens.

Decides nothing about the cloud: every verb is one call into ``lifecycle`` or ``supervise``.
"""

import argparse
import json
import os
import pathlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence

from astara_devcloud import (
    clients,
    commands,
    layout,
    lifecycle,
    openvswitch,
    ports,
    processes,
    servers,
    services,
    settings,
    supervise,
)
from astara_devcloud.story import play

DESCRIPTION = """\
A real OpenStack on this machine: RabbitMQ, MariaDB, Keystone, Neutron with Open vSwitch,
Placement, Glance and Nova on loopback ports, whose hypervisor starts servers as Linux namespaces,
and the Astara orchestrator on top.
"""
EPILOG = """\
environment:
  ASTARA_DEVCLOUD_DIR   state directory (default /var/lib/astara-devcloud): etc/ log/ run/ state/

exit status: 0 done, 1 failed (the reason is printed), 2 wrong usage; `status` ends with 1 unless
every service answers.
"""
INTERRUPTED = 130
FAILURES = (
    lifecycle.CloudError,
    supervise.ServiceFailed,
    processes.ProcessError,
    commands.CommandError,
    ports.PortTaken,
    openvswitch.ForeignDeviceError,
    servers.ServersRemain,
)


class Progress:
    """Prints lines with the seconds since the command began; threads may share it."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            print(f"[{time.monotonic() - self._begun:6.1f}s] {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    where = layout.current_layout()
    verb: Callable[[layout.Layout, argparse.Namespace], int] = options.verb
    try:
        return verb(where, options)
    except FileNotFoundError as error:
        if str(error.filename) != str(where.credentials):
            raise
        print(f"there is no cloud in {where.root}: run `astara-devcloud up`", file=sys.stderr)
    except FAILURES as error:
        print(f"\nastara-devcloud: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nastara-devcloud: interrupted; what was started runs on", file=sys.stderr)
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # not waiting for threads that wait for services
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astara-devcloud",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    up = verbs.add_parser("up", help="start what does not run, from nothing if need be")
    up.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="SERVICE",
        help="leave services out, for example the orchestrator to run it under a debugger",
    )
    up.add_argument(
        "--with",
        dest="extra",
        nargs="+",
        default=[],
        metavar="NAME",
        help="start optional services too (currently there are none)",
    )
    up.set_defaults(verb=_up)
    for name, verb, text in (
        ("down", _down, "stop all services and servers; databases and images stay"),
        ("wipe", _wipe, "stop everything and remove the state directory"),
    ):
        verbs.add_parser(name, help=text).set_defaults(verb=verb)
    status = verbs.add_parser("status", help="show every service: does it run, does it answer")
    status.add_argument("--json", action="store_true", help="print one JSON document")
    status.set_defaults(verb=_status)
    demo = verbs.add_parser("demo", help="bring all up and play a tenant's story on it")
    demo.add_argument("--json", action="store_true", help="end with the table as one line of JSON")
    demo.set_defaults(verb=_demo)
    env = verbs.add_parser("env", help='print exports for openstack and astara-ctl: eval "$(...)"')
    env.add_argument(
        "--user", choices=clients.NAMES, default=clients.ADMIN, help="whose login (admin)"
    )
    env.set_defaults(verb=_env)
    for name, act, text in (
        ("start", _start, "start one service with freshly written configuration"),
        ("stop", _stop, "stop one service in its own orderly way"),
        ("restart", _restart, "stop and start one service"),
        ("kill", _kill, "SIGKILL all processes of one service"),
    ):
        one = verbs.add_parser(name, help=text)
        one.add_argument("service", help="a name that `status` shows")
        one.set_defaults(verb=act)
    return parser


def _up(where: layout.Layout, options: argparse.Namespace) -> int:
    unknown = [name for name in options.extra if name not in lifecycle.OPTIONAL]
    if unknown:
        known = ", ".join(lifecycle.OPTIONAL) or "none yet"
        raise lifecycle.CloudError(
            f"unknown optional service {', '.join(unknown)}; there are: {known}"
        )
    progress = Progress()
    done = lifecycle.up(where, options.without, progress)
    progress(f"{done.kind}: {done.services} services started in {done.seconds:.1f} s")
    print(f'as a tenant:  eval "$({sys.argv[0]} env --user tenant)"')
    return 0


def _demo(where: layout.Layout, options: argparse.Namespace) -> int:
    return play.play(lifecycle.up(where, (), Progress()), json_too=options.json)


def _down(where: layout.Layout, _options: argparse.Namespace) -> int:
    lifecycle.down(where, Progress())
    return 0


def _wipe(where: layout.Layout, _options: argparse.Namespace) -> int:
    lifecycle.wipe(where, Progress())
    return 0


def _status(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    table = services.declare(cloud)
    tagged = {name: processes.members(str(where.root), name) for name in table}
    seen = [supervise.inspect(cloud, service, tagged[name]) for name, service in table.items()]
    if options.json:
        print(json.dumps([_as_json(one) for one in seen], indent=1))
    else:
        _print_table(where, seen)
    return 0 if all(one.word == "running" for one in seen) else 1


def _as_json(one: supervise.Condition) -> dict[str, object]:
    return {
        "service": one.name,
        "state": one.word,
        "pid": one.pid,
        "problem": one.problem,
        "outdated": one.outdated,
        "memory_kib": one.resident_kib,
        "age_s": round(one.age_s, 1),
    }


def _print_table(where: layout.Layout, seen: Sequence[supervise.Condition]) -> None:
    print(f"{'service':27}{'state':10}{'pid':>8}{'MiB':>7}{'age':>9}  remark")
    for one in seen:
        remark = one.problem or ("configuration changed since its start" if one.outdated else "")
        pid = str(one.pid or "-")
        age = f"{one.age_s:.0f}s" if one.pid else "-"
        mib = one.resident_kib // 1024
        print(f"{one.name:27}{one.word:10}{pid:>8}{mib:>7}{age:>9}  {remark}")
    total = sum(one.resident_kib for one in seen) // 1024
    print(f"{total} MiB (PSS) in all; {len(servers.known(where))} servers; logs in {where.log}")


def _env(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    for key, value in clients.exports(cloud, options.user).items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"export OVS_RUNDIR={shlex.quote(str(where.openvswitch))}")
    print(f"export ASTARA_CONFIG={shlex.quote(str(where.etc / 'orchestrator.ini'))}")
    print(f'export PATH={shlex.quote(str(pathlib.Path(sys.executable).parent))}:"$PATH"')
    return 0


def _start(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    with lifecycle.exclusive(where):
        supervise.ensure(cloud, lifecycle.resolve(cloud, options.service), Progress())
    return 0


def _stop(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    service = lifecycle.resolve(cloud, options.service)
    progress = Progress()
    with lifecycle.exclusive(where):
        ran = supervise.stop(cloud, service)
    progress(f"{service.name} stopped" if ran else f"{service.name} did not run")
    return 0


def _restart(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    service = lifecycle.resolve(cloud, options.service)
    progress = Progress()
    with lifecycle.exclusive(where):
        supervise.stop(cloud, service)
        supervise.ensure(cloud, service, progress)
    return 0


def _kill(where: layout.Layout, options: argparse.Namespace) -> int:
    cloud = settings.load(where)
    service = lifecycle.resolve(cloud, options.service)
    ran = supervise.kill(cloud, service.name)
    Progress()(f"{service.name} killed" if ran else f"{service.name} did not run")
    return 0
