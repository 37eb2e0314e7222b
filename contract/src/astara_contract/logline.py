"""What a line in the log of an orchestrator or an appliance looks like, as text and as JSON.

A call names an event and its facts in one literal template: ``LOG.info("document.pushed router=%s
digest=%s", router_id, digest)``. A line of text is one line of the file, whatever its values hold:

    2026-11-21T07:15:34.123Z INFO worker-00[4711]/t01 document.pushed router=0f3c... digest=5a91...

Time, level, process[pid]/thread, event, the resource that it is about (or ``-``), the facts. Each
line of a traceback repeats the head, followed by ``|``. As JSON the facts keep their types. What
libraries say is the event ``library.log``. Decides how lines look, never what is logged, nor where
to. Values that are known to be secret are never shown, whoever logged them.
"""

import contextlib
import contextvars
import datetime
import functools
import json
import logging
import os
import re
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

FOREIGN = "library.log"
HIDDEN = "***"
RESOURCES = ("router", "loadbalancer")
"""Keys that name a resource; a template may leave them open as well: ``%s=%s``."""

_EVENT = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+"
_KEY, _VALUE = r"[a-z][a-z0-9_]*", r"%[-0-9.]*[sdrfx]"
_TEMPLATE = re.compile(rf"({_EVENT})((?: (?:{_KEY}|%s)=(?:{_VALUE}|[^\s%]+))*)")
_FACT = re.compile(r" ([^=]+)=(\S+)")
_BARE = re.compile(r"[^\s\"'=\\]+")
_SECRET_MIN = 6  # shorter ones would hide half of what is logged

_about: contextvars.ContextVar["Subject | None"] = contextvars.ContextVar("about", default=None)


class Subject(NamedTuple):
    """The resource that this thread is busy with; `trace` is the id of the trace it belongs to."""

    driver: str
    id: str
    trace: str = ""


class Said(NamedTuple):
    """What one record says, taken apart."""

    event: str
    subject: Subject | None
    facts: dict[str, Any]


@contextlib.contextmanager
def about(driver: str, resource_id: str, trace: str = "") -> Iterator[None]:
    """Name the resource on every line that this thread logs meanwhile.

    An empty id leaves that to the formatter's default, which may be learned meanwhile.
    """
    token = _about.set(Subject(driver, resource_id, trace))
    try:
        yield
    finally:
        _about.reset(token)


def well_formed(template: str) -> bool:
    """Tell whether a template names an event and its facts as it should."""
    return _TEMPLATE.fullmatch(template) is not None


def said(record: logging.LogRecord, default: Subject | None = None) -> Said:
    """Take a record apart; `default` is meant where neither record nor thread name a resource."""
    bound = _about.get() or default
    if bound is not None and not bound.id:  # the trace is known, the resource is whose log it is
        bound = default._replace(trace=bound.trace) if default is not None else None
    template = _parsed(record.msg) if isinstance(record.msg, str) else None
    facts = _facts(template.facts, record.args) if template is not None else None
    if template is None or facts is None:
        return Said(FOREIGN, bound, {"logger": record.name, "text": _message(record)})
    for driver in RESOURCES:
        if isinstance(named := facts.get(driver), str) and named:
            del facts[driver]
            same = bound is not None and bound.id == named
            return Said(template.event, bound if same else Subject(driver, named), facts)
    return Said(template.event, bound, facts)


class _Template(NamedTuple):
    """A template taken apart: its event, and what stands on either side of each ``=``."""

    event: str
    facts: tuple[tuple[str, str], ...]


@functools.lru_cache(maxsize=1024)  # they are literals, and few
def _parsed(template: str) -> _Template | None:
    found = _TEMPLATE.fullmatch(template)
    return _Template(found[1], tuple(_FACT.findall(found[2]))) if found is not None else None


def _facts(template: tuple[tuple[str, str], ...], args: Any) -> dict[str, Any] | None:
    """Give the facts of a template; None if the arguments do not fit it."""
    given = iter(args if isinstance(args, tuple) else [args] if args else [])
    facts: dict[str, Any] = {}
    try:
        for key, value in template:
            name = str(next(given)) if key == "%s" else key
            facts[name] = _plain(value, next(given)) if value[0] == "%" else value
    except (StopIteration, TypeError, ValueError):
        return None
    return facts if next(given, _FACT) is _FACT else None


def _plain(conversion: str, value: Any) -> Any:
    """Keep numbers and truth, write the rest as the template wants it."""
    if conversion in ("%s", "%d") and (value is None or type(value) in (bool, int, float)):
        return value
    return conversion % (value,)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return f"{record.msg} {record.args!r}"


def _quoted(value: object) -> str:
    """Write a value so that it ends where it ends, and on this line."""
    text = str(value)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


class Formatter(logging.Formatter):
    """Writes records of one process; `secrets` are values that never appear, by whomever told."""

    def __init__(
        self,
        process: str,
        *,
        as_json: bool = False,
        secrets: Collection[str] = (),
        default: Callable[[], Subject | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._process = process
        self._as_json = as_json
        self._default = default
        hidden = sorted({one for one in secrets if len(one) >= _SECRET_MIN}, key=len, reverse=True)
        self._secret = re.compile("|".join(map(re.escape, hidden))) if hidden else None

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        what = said(record, self._default())
        facts = {key: self._hide(value) for key, value in what.facts.items()}
        trouble = self._hide(self._trouble(record))
        return (self._json if self._as_json else self._text)(record, what, facts, trouble)

    def _hide(self, value: Any) -> Any:
        if self._secret is None or not isinstance(value, str):
            return value
        return self._secret.sub(HIDDEN, value)

    @staticmethod
    def _trouble(record: logging.LogRecord) -> str:
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append("".join(traceback.format_exception(*record.exc_info)))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts)

    def _text(
        self, record: logging.LogRecord, what: Said, facts: dict[str, Any], trouble: str
    ) -> str:
        thread = "main" if record.threadName == "MainThread" else record.threadName
        where = f"{self._process}[{os.getpid()}]/{_quoted(thread)}"
        subject = f"{what.subject.driver}={_quoted(what.subject.id)}" if what.subject else "-"
        head = f"{_moment(record)} {record.levelname} {where} {what.event} {subject}"
        if what.subject is not None and what.subject.trace:
            facts = {**facts, "trace": what.subject.trace}
        line = "".join([head, *(f" {key}={_quoted(value)}" for key, value in facts.items())])
        return "\n".join([line, *(f"{head} | {more}" for more in _lines(trouble))])

    def _json(
        self, record: logging.LogRecord, what: Said, facts: dict[str, Any], trouble: str
    ) -> str:
        subject = what.subject
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname,
            "process": self._process,
            "pid": os.getpid(),
            "thread": record.threadName,
            "event": what.event,
            "resource": {subject.driver: subject.id} if subject is not None else None,
            "facts": facts,
        }
        if subject is not None and subject.trace:
            line["trace"] = subject.trace
        if trouble:
            line["traceback"] = trouble
        return json.dumps(line)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lines(text: str) -> list[str]:
    """Split as any reader may split, so that no line is without its head."""
    return [_printable(line) for line in text.splitlines() if line.strip()]


def _printable(line: str) -> str:
    return line if line.isprintable() else json.dumps(line)[1:-1]
