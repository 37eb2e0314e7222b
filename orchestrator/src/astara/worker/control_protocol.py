"""Ask a worker what it knows and have it do something: messages, views, framing.

One question and one answer per connection over a SOCK_STREAM Unix socket in `state_path`; both are
JSON behind a length of four bytes. Decides nothing. `control` answers; the operator API asks, by
`ask`. Times in views are seconds since 1970.
"""

import pathlib
import socket
import struct
import typing

import msgspec

from .. import clock, scheduler
from ..machine.instance_port import MemberView, PortView
from ..machine.vocabulary import Action

MAX_QUESTION = 64 * 2**10
MAX_ANSWER = 64 * 2**20
_LENGTH = struct.Struct("!I")


class ControlError(Exception):
    """Say that a worker did not answer, with its name."""


# -- questions -----------------------------------------------------------------------------------


class ListResources(msgspec.Struct, frozen=True, tag="list"):
    """Ask for lines of resources in the order of their ids, those after `after`."""

    after: str = ""
    limit: int = 1000


class ShowResource(msgspec.Struct, frozen=True, tag="show"):
    """Ask for all that is known about one resource."""

    id: str


class ShowWorker(msgspec.Struct, frozen=True, tag="worker"):
    """Ask how the worker is; with `log` it writes that to its log as well."""

    log: bool = False


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """Ask for an action on a resource; `image_id` is for a rebuild."""

    id: str
    action: Action
    image_id: str | None = None


class SwitchOver(msgspec.Struct, frozen=True, tag="switchover"):
    """Ask the active appliance of a pair to hand over to the other one."""

    id: str


class PollAll(msgspec.Struct, frozen=True, tag="poll"):
    """Ask for POLL on all resources of the worker."""


class ShowFigures(msgspec.Struct, frozen=True, tag="figures"):
    """Ask for what is measured; with `routers` for what names them as well."""

    routers: bool = False


Question = ListResources | ShowResource | ShowWorker | Submit | SwitchOver | PollAll | ShowFigures

# -- answers -------------------------------------------------------------------------------------


class ResourceLine(msgspec.Struct, frozen=True, tag="line"):
    """One resource in a list. `debug` is filled in by who knows the debug modes."""

    id: str
    driver: str
    tenant_id: str
    node: str
    worker: int
    name: str = ""
    phase: str = ""  # what the worker does with it: idle, ready, running, waiting, ...
    state: str = ""  # of the walk
    instance: str = ""  # state of the instance
    action: str = ""  # what is being walked
    pending: tuple[str, ...] = ()  # what waits to be taken up
    since: float = 0.0  # since when the instance is in its state
    wakes_in_s: float | None = None  # when the worker looks again by itself
    attempts: int = 0
    error: str = ""
    error_at: float | None = None
    generation: str = ""
    applied_generation: str = ""
    digest: str = ""
    server_id: str = ""
    address: str = ""
    answering: bool = False
    held: str = ""  # why the worker may do nothing to it now
    members: tuple[MemberView, ...] = ()  # both appliances of a pair; empty for one alone
    debug: str = ""
    debug_reason: str = ""


class MoveView(msgspec.Struct, frozen=True):
    """One line of the history."""

    at: float
    until: float
    count: int
    state: str
    next: str
    action: str
    instance: str
    reason: str
    pause: str
    error: str = ""


class ResourceDetail(msgspec.Struct, frozen=True, tag="detail"):
    """One resource with its history, oldest first, its ports and networks."""

    resource: ResourceLine
    moves: tuple[MoveView, ...] = ()
    ports: tuple[PortView, ...] = ()
    networks: tuple[str, ...] = ()


class Lines(msgspec.Struct, frozen=True, tag="lines"):
    """Resources in the order of their ids; `more` if others follow."""

    resources: tuple[ResourceLine, ...]
    more: bool = False


class ThreadView(msgspec.Struct, frozen=True):
    """One thread: what it works on and for how long."""

    name: str
    alive: bool
    resource_id: str = ""
    seconds: float = 0.0


class WorkerView(msgspec.Struct, frozen=True, tag="worker"):
    """How a worker process is."""

    node: str
    number: int
    pid: int
    resources: int
    phases: dict[str, int]
    threads: tuple[ThreadView, ...]
    memory_kib: int = 0
    calls: dict[str, int] = {}


class RouterFigures(msgspec.Struct, frozen=True):
    """What is measured of one resource; `traffic` as in `Description`."""

    id: str
    traffic: dict[str, tuple[int, int, int, int]] = {}
    certificate_ends: float | None = None


class Figures(msgspec.Struct, frozen=True, tag="figures"):
    """What a worker measures when it is asked; moments in seconds since 1970."""

    number: int
    instances: dict[str, int] = {}  # by state
    rebuilds_left: int = 0
    certificates: dict[str, int] = {}  # in use by appliances: fresh, due, ended
    oldest_begins: float | None = None
    first_ends: float | None = None
    authorities: dict[int, tuple[float, float]] = {}
    routers: tuple[RouterFigures, ...] = ()


class Submitted(msgspec.Struct, frozen=True, tag="submitted"):
    """Say what was asked of how many resources, and how the last one was then.

    `refusal` says why it was not asked of the only one.
    """

    count: int
    resource: ResourceLine | None = None
    refusal: str = ""


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Say that this worker has no such resource."""

    id: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Say that the question could not be answered."""

    reason: str


Answer = Lines | ResourceDetail | WorkerView | Figures | Submitted | Unknown | Failed

_ENCODER = msgspec.json.Encoder()
_QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def path_of(state_path: str, number: int) -> pathlib.Path:
    """Give the control socket of a worker."""
    return scheduler.socket_path(state_path, f"control-{scheduler.worker_name(number)}")


def send(link: socket.socket, message: Question | Answer) -> None:
    """Write one message; raises OSError."""
    data = _ENCODER.encode(message)
    link.sendall(_LENGTH.pack(len(data)) + data)


def receive_question(link: socket.socket, deadline: float) -> Question:
    """Read a question; raises OSError, EOFError, ValueError (msgspec's errors are such)."""
    return _QUESTIONS.decode(_receive(link, MAX_QUESTION, deadline))


def _receive(link: socket.socket, limit: int, deadline: float) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size, deadline))
    if length > limit:
        raise ValueError(f"a message of {length} bytes")
    return _exactly(link, length, deadline)


def _exactly(link: socket.socket, count: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < count:
        left_s = deadline - clock.SYSTEM.monotonic()
        if left_s <= 0:
            raise TimeoutError("it took too long")
        link.settimeout(left_s)
        piece = link.recv(min(count - len(data), 2**20))
        if not piece:
            raise EOFError("the other side closed the connection")
        data += piece
    return bytes(data)


def ask(path: pathlib.Path, question: Question, timeout_s: float) -> Answer:
    """Ask a worker; raises `ControlError` if it does not answer within `timeout_s`."""
    deadline = clock.SYSTEM.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            link.connect(str(path))
            send(link, question)
            return _ANSWERS.decode(_receive(link, MAX_ANSWER, deadline))
    except (OSError, EOFError, msgspec.MsgspecError, ValueError) as fault:
        name = path.stem.removeprefix("control-")
        raise ControlError(f"{name} does not answer: {fault or type(fault).__name__}") from fault


T = typing.TypeVar("T")


def expect(answer: Answer, kind: type[T]) -> T:
    """Give the answer if it is of that kind; raises `ControlError` otherwise."""
    if isinstance(answer, kind):
        return answer
    reason = answer.reason if isinstance(answer, Failed) else type(answer).__name__
    raise ControlError(f"a worker answered: {reason}")
