"""Walk one router's state machine in the foreground: `astara-debug-router --router-id ID`.

Says of every step which state was executed, what was found, which row of the table fired and
what comes next. Decides nothing that the automaton would not. The router must be in debug mode, so
that no worker acts on it at the same time; `--dry-run` changes nothing anywhere and needs none.
Exit status: 0 the walk ended; 1 it waits, failed, or was left; 78 a faulty configuration.
"""

import argparse
import os
import pdb
import sys
import uuid
from collections.abc import Sequence

from oslo_config import cfg

from astara_contract import tls

from .. import clock, events, store
from ..clients import appliance, connect, errors
from ..conf import commandline
from ..instance import factory, failures, management, settings
from ..instance.router_instance import RouterInstance
from ..instance.tools import Tools
from ..machine import automaton, history, instance_port, outcome, table
from ..machine.vocabulary import Action
from ..pki import trust
from ..worker import process

_ACTIONS = [str(action) for action in Action if action is not Action.DELETE]


class Narrator(history.History):
    """Prints every move instead of only remembering it."""

    def note(self, row: table.Row, view: table.View, said: str) -> None:
        """Print one step."""
        facts = ", ".join(sorted(view.facts)) or "nothing special"
        print(f"{row.state}: {row.state.sentence}")
        print(f"    found   instance {view.instance}; {facts}")
        if said:
            print(f"    failed  {said}")
        print(f"    fired   {row.reason}  (action {view.action}, {row.origin})")
        print(f"    next    {row.next}, {row.pause}" + (", gives up" if row.gives_up else ""))
        super().note(row, view, said)


class _LookingAppliances(appliance.Appliances):
    """Reads from appliances and pushes nothing."""

    def configure(self, address: str, *_: object) -> appliance.Pushed:
        """Refuse: a dry run."""
        raise errors.NotSent("appliance", f"PUT /v1/system/config of {address}")

    def renew(self, address: str, *_: object) -> tls.Shown:
        """Refuse: a dry run."""
        raise errors.NotSent("appliance", f"PUT /v1/system/tls of {address}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astara-debug-router",
        description="Walk one router's state machine step by step in the foreground.",
        epilog="example: astara-ctl router debug my-router --reason 'by hand'; "
        "astara-debug-router --router-id ID --step; astara-ctl router manage my-router",
    )
    parser.add_argument("--router-id", required=True, metavar="ID", type=_router_id)
    commandline.add_option(parser)
    parser.add_argument("--action", choices=_ACTIONS, default="update", help="what to walk")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, do nothing"
    )
    parser.add_argument("--step", action="store_true", help="wait for Enter before each step")
    parser.add_argument(
        "--break", dest="stop", action="store_true", help="enter pdb before each step"
    )
    parser.add_argument("--max-steps", type=int, default=200, metavar="N")
    return parser


def _router_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        reason = f"{text!r} is not the id of a router; `astara-ctl list` shows ids"
        raise argparse.ArgumentTypeError(reason) from None


def _debug_mode(opened: store.Store, router_id: str, tenant_id: str) -> store.DebugMode | None:
    wanted = {("global", ""), ("resource", router_id), ("tenant", tenant_id)}
    modes = opened.debug.all()
    return next((mode for mode in modes if (str(mode.scope), mode.subject) in wanted), None)


def _dry_instance(conf: cfg.ConfigOpts, resource: events.Resource) -> instance_port.Instance:
    values = settings.from_conf(conf)
    cloud = connect.open_cloud(conf, read_only=True)
    trusted = trust.from_conf(conf, store.store_of(conf))
    http = _LookingAppliances(
        values.api_port, values.alive_timeout_s, values.config_timeout_s, trusted
    )
    address = management.recorded_address(conf.state_path)
    return RouterInstance(resource, Tools(cloud.neutron, cloud.nova, http, values, address))


def _walk(machine: automaton.Automaton, arguments: argparse.Namespace) -> int:
    """Run the automaton one step at a time; give the exit status."""
    machine.submit(next(each for each in Action if each == arguments.action))
    for _ in range(arguments.max_steps):
        if arguments.step:
            input(f"[{machine.state}] Enter to go on, ^C to leave ")
        if arguments.stop:
            pdb.set_trace()
        match machine.run(lambda: True):
            case outcome.Idle():
                print(f"the walk has ended: the instance is {machine.instance.state}")
                return 0
            case outcome.Finished():
                print("the router and all that served it are gone")
                return 0
            case outcome.Wake(delay_s):
                if delay_s > 0 and arguments.dry_run:
                    print(f"a dry run ends here: a worker would wait {delay_s:.1f} s and go on")
                    return 1
                if delay_s > 0:
                    print(f"... waiting {delay_s:.1f} s")
                clock.SYSTEM.sleep(delay_s)
            case outcome.Held(reason) | outcome.Released(reason):
                print(f"the walk was stopped: {reason}")
                return 1
            case other:
                print(f"the walk was stopped: {other}")
                return 1
    print(f"{arguments.max_steps} steps and no end; the instance is {machine.instance.state}")
    return 1


def _run(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    resource = events.Resource("router", arguments.router_id)
    if arguments.dry_run:
        instance = _dry_instance(conf, resource)
    else:
        opened = store.open_store(conf)
        with failures.translated():
            detail = connect.open_cloud(conf).neutron.router(arguments.router_id)
        tenant_id = detail.project_id if detail is not None else ""
        mode = _debug_mode(opened, arguments.router_id, tenant_id)
        opened.close()
        if mode is None:
            print(
                f"astara-debug-router: {arguments.router_id} is not in debug mode: a worker would "
                f"act on it too. First: astara-ctl router debug {arguments.router_id}",
                file=sys.stderr,
            )
            return 1
        print(f"in debug mode ({mode.scope}) by {mode.by}: {mode.reason or 'no reason given'}")
        instance = factory.open_factory().create(resource)
    narrator = Narrator(clock.SYSTEM)
    policy = process.policy_of(conf)
    machine = automaton.Automaton(instance, policy, clock.SYSTEM, moves=narrator)
    return _walk(machine, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool."""
    arguments = _parser().parse_args(argv)
    try:
        conf = commandline.read(arguments)
    except commandline.Unreadable as fault:
        print(f"astara-debug-router: {fault}", file=sys.stderr)
        return os.EX_CONFIG
    try:
        return _run(conf, arguments)
    except (instance_port.InstanceError, store.StoreError) as fault:
        print(f"astara-debug-router: {fault}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("left; nothing is undone", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
