"""Ask all nodes as if they were one: merge views, find who owns a resource, explain silence.

Decides which nodes a question concerns. Each node has its own deadline, all are asked at the same
time; a node that does not answer becomes a sentence in the result. Used by the tools and by the
HTTP API.
"""

import concurrent.futures
import dataclasses
import re
import typing

import msgspec

from ..worker import control_protocol as worker
from . import messages
from .messages import Code, Report
from .rpc import NodeSilent

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EVERY_NODE = frozenset({"poll", "workers-debug", "config-reload"})
_RESOURCE = frozenset({"resource-update", "resource-rebuild"})
_LOOK = "`astara-ctl list` shows those that are known"
_OF_OWNER = _RESOURCE | {"resource-switchover"}
PAGE = 2000
THREADS = 16


class Asking(typing.Protocol):
    """Who carries a question to a node."""

    def ask(self, host: str | None, question: messages.Question) -> messages.Answer:
        """Ask a node, or any; raises `NodeSilent`."""


class Refused(Exception):
    """Say why a question has no answer; `report` has the code."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.text)
        self.report = report


@dataclasses.dataclass(frozen=True, slots=True)
class Everything:
    """The resources of all nodes by id, and what is missing from the picture."""

    resources: tuple[worker.ResourceLine, ...]
    faults: tuple[str, ...]


def _refuse(code: Code, text: str, node: str = "") -> Refused:
    return Refused(Report(node, False, code.value, text))


class Cluster:
    """All nodes."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, "node")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- views -----------------------------------------------------------------------------------

    def nodes(self) -> tuple[tuple[messages.NodeView, ...], tuple[str, ...]]:
        """Give all nodes that answer, and a sentence for each that does not."""
        first = self._any(messages.ShowNode(), messages.NodeView)
        views, faults = [first], []
        others = [host for host in first.members if host != first.host]
        for _, answer in self._ask_all(others, messages.ShowNode()):
            if isinstance(answer, messages.NodeView):
                views.append(answer)
            else:
                faults.append(_text_of(answer))
        return tuple(sorted(views, key=lambda view: view.host)), tuple(faults)

    def hosts(self) -> tuple[str, ...]:
        """Give the names of the nodes that ought to be there."""
        return self._any(messages.ShowNode(), messages.NodeView).members

    def resources(self) -> Everything:
        """Give all resources of all nodes; of two lines about one the newer is kept."""
        found: dict[str, worker.ResourceLine] = {}
        faults: list[str] = []
        hosts = self.hosts()
        futures = [self._pool.submit(self._resources_of, host) for host in hosts]
        for future in futures:
            listed = future.result()
            faults.extend(listed.faults)
            for line in listed.resources:
                known = found.get(line.id)
                if known is None or line.since > known.since:
                    found[line.id] = line
        return Everything(tuple(found[key] for key in sorted(found)), tuple(dict.fromkeys(faults)))

    def _resources_of(self, host: str) -> Everything:
        lines: list[worker.ResourceLine] = []
        faults: list[str] = []
        after, more = "", True
        while more:
            answer = self._ask(host, messages.ListResources(after, PAGE))
            if not isinstance(answer, messages.Listing):
                faults.append(_text_of(answer))
                break
            lines.extend(answer.resources)
            faults.extend(answer.faults)
            more = answer.more and bool(answer.resources)
            after = lines[-1].id if lines else ""
        return Everything(tuple(lines), tuple(faults))

    def resource(self, resource_id: str) -> worker.ResourceDetail:
        """Give one resource with its history; raises `Refused`."""
        answers = self._ask_all(self.hosts(), messages.ShowResource(resource_id))
        details = [each for _, each in answers if isinstance(each, worker.ResourceDetail)]
        if details:
            return max(details, key=lambda detail: detail.resource.since)
        raise Refused(_why_nobody([(host, answer) for host, answer in answers], resource_id))

    def resolve(self, reference: str, driver: str = "") -> str:
        """Give the id that an id or a name means; raises `Refused`."""
        if _UUID.fullmatch(reference):
            return reference.lower()
        everything = self.resources()
        named = [
            line
            for line in everything.resources
            if reference in (line.name, line.id) and driver in ("", line.driver)
        ]
        if len(named) == 1:
            return named[0].id
        kind = driver or "resource"
        if named:
            ids = ", ".join(line.id for line in named)
            text = f"several are named {reference}: {ids}"
            raise _refuse(Code.AMBIGUOUS_NAME, text)
        missing = f" ({'; '.join(everything.faults)})" if everything.faults else ""
        text = f"no {kind} has the id or name {reference}{missing}; {_LOOK}"
        raise _refuse(Code.UNKNOWN_RESOURCE, text)

    def documents(self, resource_id: str, member: int = 0) -> messages.Documents:
        """Give the desired and the committed document; raises `Refused`.

        `member` is which appliance of a pair is meant.
        """
        detail = self.resource(resource_id)
        answer = self._ask(detail.resource.node, messages.Compare(resource_id, member=member))
        return _expect(answer, messages.Documents)

    def console(self, resource_id: str, lines: int) -> str:
        """Give the end of the console of a resource's server; raises `Refused`."""
        known = self.resource(resource_id).resource
        if not known.server_id:
            raise _refuse(Code.UNKNOWN_RESOURCE, f"{known.driver} {known.id} has no server now")
        answer = self._ask(known.node, messages.ReadConsole(known.server_id, lines))
        return _expect(answer, messages.Console).text

    def debug_modes(self) -> tuple[messages.DebugView, ...]:
        """Give all debug modes; raises `Refused`."""
        return self._any(messages.ListDebug(), messages.DebugModes).modes

    # -- commands --------------------------------------------------------------------------------

    def command(self, command: messages.Command, driver: str = "") -> tuple[Report, ...]:
        """Have something done and tell what was; never empty; raises `Refused`.

        `id` may be a name. For update and rebuild `*` means all resources (of the driver) and
        `error` those in ERROR.
        """
        if command.name in _EVERY_NODE:
            return tuple(_report(a) for _, a in self._ask_all(self.hosts(), command))
        if not command.name.startswith("resource-"):
            return (_expect(self._ask(None, command), Report),)
        if command.name in _RESOURCE and command.id in ("*", "error"):
            return self._command_many(command, driver)
        resource_id = self.resolve(command.id, driver)
        chosen = msgspec.structs.replace(command, id=resource_id)
        if command.name in _OF_OWNER:
            return (self._command_owner(chosen, driver),)
        if command.name == "resource-debug":
            self._check_kind(resource_id, driver)
        return (_expect(self._ask(None, chosen), Report),)

    def _command_many(self, command: messages.Command, driver: str) -> tuple[Report, ...]:
        everything = self.resources()
        meant = [
            line
            for line in everything.resources
            if driver in ("", line.driver) and command.id in ("*", line.instance)
        ]
        if not meant:
            which = "" if command.id == "*" else " in error"
            text = f"there is no {driver or 'resource'}{which}"
            raise _refuse(Code.UNKNOWN_RESOURCE, text)
        commands = [msgspec.structs.replace(command, id=line.id) for line in meant]
        futures = [
            self._pool.submit(self._ask, line.node, each)
            for line, each in zip(meant, commands, strict=True)
        ]
        return tuple(_report(future.result()) for future in futures)

    def _command_owner(self, command: messages.Command, driver: str) -> Report:
        self._check_kind(command.id, driver)
        answers = self._ask_all(self.hosts(), command)
        for _, answer in answers:
            if isinstance(answer, Report) and answer.code == Code.DONE:
                return answer
        return _why_nobody(answers, command.id)

    def _check_kind(self, resource_id: str, driver: str) -> None:
        known = self.resource(resource_id).resource
        if driver not in ("", known.driver):
            raise _refuse(Code.WRONG_KIND, f"{resource_id} is a {known.driver}, not a {driver}")

    # -- asking ----------------------------------------------------------------------------------

    def _ask(self, host: str | None, question: messages.Question) -> messages.Answer:
        try:
            return self._asking.ask(host, question)
        except NodeSilent as fault:
            return Report(host or "", False, Code.NODE_SILENT.value, str(fault))

    def _any(self, question: messages.Question, kind: "type[_Kind]") -> "_Kind":
        return _expect(self._ask(None, question), kind)

    def _ask_all(
        self, hosts: "typing.Iterable[str]", question: messages.Question
    ) -> list[tuple[str, messages.Answer]]:
        futures = [(host, self._pool.submit(self._ask, host, question)) for host in hosts]
        return [(host, future.result()) for host, future in futures]


_Kind = typing.TypeVar("_Kind")


def _expect(answer: messages.Answer, kind: type[_Kind]) -> _Kind:
    if isinstance(answer, kind):
        return answer
    raise Refused(_report(answer))


def _report(answer: messages.Answer) -> Report:
    if isinstance(answer, Report):
        return answer
    return Report("", False, Code.FAILED.value, f"an unexpected answer: {type(answer).__name__}")


def _text_of(answer: messages.Answer) -> str:
    return _report(answer).text


def _why_nobody(answers: list[tuple[str, messages.Answer]], resource_id: str) -> Report:
    """Explain why nobody did it: the first that tells more than that it is not there."""
    reports = [_report(answer) for _, answer in answers]
    telling = [each for each in reports if each.code not in (Code.UNKNOWN_RESOURCE,)]
    if telling:
        return telling[0]
    nodes = ", ".join(host for host, _ in answers)
    text = (
        f"no node ({nodes}) has a resource {resource_id}; {_LOOK}, "
        "a new one at the latest after the next audit"
    )
    return Report("", False, Code.UNKNOWN_RESOURCE.value, text)
