"""Say what a node can be asked and what it answers; carried as JSON by AMQP or HTTP.

Decides nothing. A command is always answered by a `Report` that says what was done, or by a code
and a sentence why not.
"""

import enum

import msgspec

from ..worker import control_protocol as worker


class Code(enum.StrEnum):
    """Why something was not done; stable, for programs."""

    DONE = "done"
    UNKNOWN_RESOURCE = "unknown-resource"
    AMBIGUOUS_NAME = "ambiguous-name"
    WRONG_KIND = "wrong-kind"
    IN_DEBUG_MODE = "in-debug-mode"
    NOT_IN_DEBUG_MODE = "not-in-debug-mode"
    UNKNOWN_IMAGE = "unknown-image"
    WORKER_SILENT = "worker-silent"
    NODE_SILENT = "node-silent"
    STORE_UNAVAILABLE = "store-unavailable"
    CLOUD_UNAVAILABLE = "cloud-unavailable"
    INVALID = "invalid"
    NOT_NOW = "not-now"
    FAILED = "failed"


class Report(msgspec.Struct, frozen=True, tag="report"):
    """Say what one node did: `text` is a sentence; `done` is False if nothing was."""

    node: str
    done: bool
    code: str
    text: str
    resource: worker.ResourceLine | None = None
    details: tuple[str, ...] = ()


class Command(msgspec.Struct, frozen=True, tag="command"):
    """Ask a node to do something; `name` as in the commands of `astara-ctl`.

    poll, workers-debug, config-reload; resource-update, resource-rebuild,
    resource-switchover, resource-debug, resource-manage (`id`); tenant-debug, tenant-manage
    (`id`); global-debug-enable, global-debug-disable. `by` names who asks.
    """

    name: str
    id: str = ""
    image_id: str | None = None
    reason: str = ""
    by: str = ""


class ListResources(msgspec.Struct, frozen=True, tag="list"):
    """Ask for the resources of the node after `after`, in the order of their ids."""

    after: str = ""
    limit: int = 2000


class ShowResource(msgspec.Struct, frozen=True, tag="show"):
    """Ask for one resource with its history."""

    id: str


class ShowNode(msgspec.Struct, frozen=True, tag="node"):
    """Ask how the node and its workers are."""


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """Ask for the desired document of a resource and the one that its appliance committed."""

    id: str
    tenant_id: str = ""
    member: int = 0  # 1: the second appliance of a pair


class ReadConsole(msgspec.Struct, frozen=True, tag="console"):
    """Ask for the last lines of a server's console."""

    server_id: str
    lines: int = 100


class ListDebug(msgspec.Struct, frozen=True, tag="debug"):
    """Ask for all debug modes."""


Question = Command | ListResources | ShowResource | ShowNode | Compare | ReadConsole | ListDebug


class DebugView(msgspec.Struct, frozen=True):
    """One debug mode."""

    scope: str
    subject: str
    reason: str
    by: str
    since: float


class NodeView(msgspec.Struct, frozen=True, tag="node"):
    """How a node is; `faults` has a sentence for each worker that does not answer."""

    host: str
    version: str
    started_at: float
    members: tuple[str, ...]
    workers: tuple[worker.WorkerView, ...]
    faults: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True, tag="listing"):
    """Resources in the order of their ids; `more` if others follow."""

    resources: tuple[worker.ResourceLine, ...]
    more: bool = False
    faults: tuple[str, ...] = ()


class Documents(msgspec.Struct, frozen=True, tag="documents"):
    """The desired document and the committed one, as JSON text; None: there is none."""

    id: str
    desired: str
    committed: str | None
    desired_digest: str
    committed_digest: str


class Console(msgspec.Struct, frozen=True, tag="console"):
    """The last lines of a console."""

    text: str


class DebugModes(msgspec.Struct, frozen=True, tag="debug"):
    """All debug modes."""

    modes: tuple[DebugView, ...]


Answer = Report | Listing | worker.ResourceDetail | NodeView | Documents | Console | DebugModes

_ENCODER = msgspec.json.Encoder()
_QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Question | Answer) -> str:
    """Write a message as it travels."""
    return _ENCODER.encode(message).decode()


def decode_question(text: str) -> Question:
    """Read a question; raises `msgspec.MsgspecError`."""
    return _QUESTIONS.decode(text)


def decode_answer(text: str) -> Answer:
    """Read an answer; raises `msgspec.MsgspecError`."""
    return _ANSWERS.decode(text)
