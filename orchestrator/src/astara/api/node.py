"""Answer for one node: ask its workers, change debug modes, look at appliances.

Decides what a command means here and says in a sentence what was done or why not. Never waits
longer than the deadlines of what it asks. Called by the RPC server and by the HTTP API.
"""

import importlib.metadata
import logging
import os
import typing

import msgspec
from oslo_config import cfg

from .. import clock, metrics, store
from ..conf import reloading
from ..machine import instance_port
from ..machine.vocabulary import Action
from ..worker import control_protocol as worker
from . import debugging, messages
from .appliances import Appliances
from .messages import Code, Report
from .workers import Workers

LOG = logging.getLogger(__name__)

_ACTIONS = {"resource-update": Action.UPDATE, "resource-rebuild": Action.REBUILD}
_MANAGE = {
    store.Scope.GLOBAL: "first: astara-ctl global debug disable",
    store.Scope.TENANT: "first: astara-ctl tenant manage",
    store.Scope.RESOURCE: "first: astara-ctl resource manage",
}
_SCOPES = {"resource": store.Scope.RESOURCE, "tenant": store.Scope.TENANT}


class _Refused(Exception):
    """Leave a command with a code and a sentence."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class Node:
    """What this node knows and does."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        members: "typing.Callable[[], tuple[str, ...]] | None" = None,
    ) -> None:
        self.host: str = conf.host
        self._conf = conf
        self._members = members or (lambda: (self.host,))
        self._workers = Workers(conf.state_path, conf.num_worker_processes)
        self._debugging = debugging.Debugging(conf)
        self._appliances = Appliances(conf)
        self._started_at = clock.SYSTEM.wall()

    def close(self) -> None:
        """Close what was opened."""
        self._workers.close()
        self._debugging.close()
        self._appliances.close()

    def answer(self, question: messages.Question) -> messages.Answer:
        """Answer any question; what cannot be answered becomes a `Report` with a code."""
        try:
            return self._answer(question)
        except _Refused as refusal:
            return self._report(refusal.code, str(refusal))
        except store.StoreError as fault:
            return self._report(Code.STORE_UNAVAILABLE, str(fault))
        except instance_port.InstanceError as fault:
            return self._report(Code.CLOUD_UNAVAILABLE, str(fault))
        except Exception as fault:  # the boundary of one question: the others are answered
            LOG.exception("question.failed question=%s", type(question).__name__)
            return self._report(Code.FAILED, f"{type(fault).__name__}; see the log of {self.host}")

    def figures(self) -> tuple[worker.Figures, ...]:
        """Give what the workers that answer measure."""
        asked = worker.ShowFigures(routers=self._conf.metering.per_router)
        return self._workers.ask(asked, worker.Figures).answers

    def _answer(self, question: messages.Question) -> messages.Answer:
        match question:
            case messages.Command():
                metrics.COMMANDS.labels(question.name).inc()
                LOG.info(
                    "command.asked name=%s id=%s by=%s", question.name, question.id, question.by
                )
                return self._command(question)
            case messages.ListResources(after, limit):
                return self._list(after, limit)
            case messages.ShowResource(resource_id):
                return self._show(resource_id)
            case messages.ShowNode():
                return self._node()
            case messages.Compare(resource_id, _, member):
                return self._appliances.documents(resource_id, member)
            case messages.ReadConsole(server_id, lines):
                return messages.Console(self._appliances.console(server_id, lines))
            case messages.ListDebug():
                modes = tuple(debugging.view(mode) for mode in self._debugging.all())
                return messages.DebugModes(modes)

    # -- views -----------------------------------------------------------------------------------

    def _overlay(self) -> tuple[debugging.Overlay, tuple[str, ...]]:
        try:
            return debugging.Overlay(self._debugging.all()), ()
        except store.StoreError as fault:
            return debugging.Overlay(()), (f"debug modes are unknown: {fault}",)

    def _list(self, after: str, limit: int) -> messages.Listing:
        heard = self._workers.ask(worker.ListResources(after, limit), worker.Lines)
        overlay, faults = self._overlay()
        lines = sorted(
            (line for lines in heard.answers for line in lines.resources),
            key=lambda line: line.id,
        )
        more = any(lines.more for lines in heard.answers) or len(lines) > limit
        marked = tuple(overlay.mark(line) for line in lines[:limit])
        return messages.Listing(marked, more, heard.faults + faults)

    def _show(self, resource_id: str) -> messages.Answer:
        heard = self._workers.ask(worker.ShowResource(resource_id), worker.ResourceDetail)
        if not heard.answers:
            raise _unknown(resource_id, heard.faults)
        overlay, _ = self._overlay()
        detail = heard.answers[0]
        return msgspec.structs.replace(detail, resource=overlay.mark(detail.resource))

    def _node(self, *, log: bool = False) -> messages.NodeView:
        heard = self._workers.ask(worker.ShowWorker(log=log), worker.WorkerView)
        return messages.NodeView(
            host=self.host,
            version=importlib.metadata.version("astara"),
            started_at=self._started_at,
            members=self._members(),
            workers=heard.answers,
            faults=heard.faults,
        )

    # -- commands --------------------------------------------------------------------------------

    def _report(self, code: Code, text: str, **more: typing.Any) -> Report:
        return Report(self.host, code is Code.DONE, code.value, text, **more)

    def _command(self, command: messages.Command) -> Report:
        match command.name.split("-"):
            case ["poll"]:
                return self._poll()
            case ["workers", "debug"]:
                return self._report_workers()
            case ["config", "reload"]:
                return self._reload()
            case ["resource", "update" | "rebuild"]:
                return self._submit(command)
            case ["resource", "switchover"]:
                return self._switch_over(command)
            case [("resource" | "tenant") as kind, "debug"]:
                return self._enter(_SCOPES[kind], _needed(command), command)
            case [("resource" | "tenant") as kind, "manage"]:
                return self._leave(_SCOPES[kind], _needed(command))
            case ["global", "debug", "enable"]:
                return self._enter(store.Scope.GLOBAL, "", command)
            case ["global", "debug", "disable"]:
                return self._leave(store.Scope.GLOBAL, "")
        raise _Refused(Code.INVALID, f"there is no command {command.name!r}")

    def _poll(self) -> Report:
        heard = self._workers.ask(worker.PollAll(), worker.Submitted)
        count = sum(answer.count for answer in heard.answers)
        code = Code.WORKER_SILENT if heard.faults else Code.DONE
        return self._report(code, f"{count} resources are being polled", details=heard.faults)

    def _report_workers(self) -> Report:
        view = self._node(log=True)
        details = [
            f"worker-{each.number:02d} pid {each.pid}: {each.resources} resources "
            f"({_counts(each.phases)}), {sum(t.alive for t in each.threads)}/"
            f"{len(each.threads)} threads alive, {each.memory_kib // 1024} MiB"
            for each in view.workers
        ]
        code = Code.WORKER_SILENT if view.faults else Code.DONE
        text = f"{len(view.workers)} workers have written a report to the log"
        return self._report(code, text, details=(*details, *view.faults))

    def _reload(self) -> Report:
        try:
            outcome = reloading.reload(self._conf)
        except (cfg.Error, OSError) as fault:
            raise _Refused(Code.INVALID, f"nothing was reloaded: {fault}") from fault
        os.kill(os.getppid(), reloading.SIGNAL)  # the supervisor tells all its children
        text = f"{len(outcome.changed)} options have changed"
        if outcome.ignored:
            text += f", {len(outcome.ignored)} others need a restart"
        ignored = (f"{line} (needs a restart)" for line in outcome.ignored)
        return self._report(Code.DONE, text, details=(*outcome.changed, *ignored))

    def _submit(self, command: messages.Command) -> Report:
        resource_id = _needed(command)
        self._check_debug(resource_id)
        if command.image_id and not self._appliances.image_exists(command.image_id):
            raise _Refused(Code.UNKNOWN_IMAGE, f"Glance has no active image {command.image_id}")
        action = _ACTIONS[command.name]
        question = worker.Submit(resource_id, action, command.image_id)
        heard = self._workers.ask(question, worker.Submitted)
        if not heard.answers:
            raise _unknown(resource_id, heard.faults)
        line = heard.answers[0].resource
        kind = line.driver if line is not None else "resource"
        how = f", from image {command.image_id}" if command.image_id else ""
        state = f"; it is {line.instance} now" if line is not None else ""
        text = f"{kind} {resource_id}: {action} was handed to its worker{how}{state}"
        return self._report(Code.DONE, text, resource=line)

    def _switch_over(self, command: messages.Command) -> Report:
        resource_id = _needed(command)
        self._check_debug(resource_id)
        heard = self._workers.ask(worker.SwitchOver(resource_id), worker.Submitted)
        if not heard.answers:
            raise _unknown(resource_id, heard.faults)
        line, refusal = heard.answers[0].resource, heard.answers[0].refusal
        kind = line.driver if line is not None else "resource"
        if refusal:
            text = f"{kind} {resource_id} is not switched over: {refusal}"
            return self._report(Code.NOT_NOW, text, resource=line)
        text = f"{kind} {resource_id}: its active appliance is asked to hand over"
        return self._report(Code.DONE, text, resource=line)

    def _check_debug(self, resource_id: str) -> None:
        """Refuse what no worker would do; where the database is away the workers decide."""
        try:
            modes = self._debugging.all()
        except store.StoreError as fault:
            LOG.warning("debug_modes.unknown reason=%s", fault)
            return
        if not modes:
            return
        heard = self._workers.ask(worker.ShowResource(resource_id), worker.ResourceDetail)
        tenant_id = heard.answers[0].resource.tenant_id if heard.answers else ""
        mode = debugging.covering(modes, resource_id, tenant_id)
        if mode is not None and (heard.answers or mode.subject == resource_id):
            raise _Refused(
                Code.IN_DEBUG_MODE,
                f"{debugging.sentence(mode)}; {_MANAGE[mode.scope]} {mode.subject}".strip(),
            )

    def _enter(self, scope: store.Scope, subject: str, command: messages.Command) -> Report:
        mode, entered = self._debugging.enter(scope, subject, command.reason, command.by)
        if entered:
            return self._report(Code.DONE, f"{debugging.sentence(mode)}; nothing is done to it")
        return self._report(Code.DONE, f"{debugging.sentence(mode)} already")

    def _leave(self, scope: store.Scope, subject: str) -> Report:
        mode = self._debugging.leave(scope, subject)
        what = f"{scope} {subject}" if subject else "the whole cluster"
        if mode is None:
            wider = [one for one in self._debugging.all() if one.scope is not scope]
            hint = f"; {debugging.sentence(wider[0])}" if wider and subject else ""
            text = f"{what} was not in debug mode{hint}"
            return self._report(Code.NOT_IN_DEBUG_MODE, text)
        return self._report(
            Code.DONE, f"{what} is managed again; it was in debug mode by {mode.by}"
        )


def _needed(command: messages.Command) -> str:
    if not command.id:
        raise _Refused(Code.INVALID, f"{command.name} needs an id")
    return command.id


def _unknown(resource_id: str, faults: tuple[str, ...]) -> _Refused:
    """Say that nobody here has it, or that somebody who might did not answer."""
    if faults:
        return _Refused(
            Code.WORKER_SILENT, f"no worker that answers has {resource_id}; {'; '.join(faults)}"
        )
    return _Refused(Code.UNKNOWN_RESOURCE, f"this node has no resource {resource_id}")


def _counts(phases: dict[str, int]) -> str:
    return ", ".join(f"{count} {phase}" for phase, count in phases.items() if count) or "none"
