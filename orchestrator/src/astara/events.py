"""Define what travels from the sources to the workers: small hints, never the state to apply.

Decides nothing; says only *which* resource is worth a look and why. Losing any of these costs
latency, never correctness: the audit looks at everything again. Must never carry configuration.
Made by `astara.sources`, carried by `astara.scheduler`, consumed by `astara.worker`.
"""

import msgspec

from .machine import vocabulary


class Resource(msgspec.Struct, frozen=True, order=True):
    """Identify one logical resource.

    `driver` is `router` (later `loadbalancer`); ids are UUID strings.
    `tenant_id` is empty where the sender cannot know it (a leftover port whose router is gone).
    """

    driver: str
    id: str
    tenant_id: str = ""


class Event(msgspec.Struct, frozen=True, tag="event", omit_defaults=True):
    """Ask for an action on one known resource.

    `generation` is what Neutron reported when the event was made (audit only): a worker whose
    instance already runs that generation ignores the event. `source` is for the log: notification,
    audit, ...; `trace` is the trace that it belongs to, if any (a W3C traceparent). `recount` says
    that Nova has more servers for it than it should have.
    """

    resource: Resource
    action: vocabulary.Action
    generation: str | None = None
    source: str = ""
    trace: str = ""
    recount: bool = False


class Hint(msgspec.Struct, frozen=True, tag="hint", omit_defaults=True):
    """Ask for an action on the resources that use a network, where none is named.

    A worker finds them by the network ids of its instances: by `Instance.networks`, or, when only
    a port of the network changed (`port`), by `Instance.port_networks`. With an empty `network_id`
    every resource of `tenant_id` is meant.
    """

    action: vocabulary.Action
    tenant_id: str = ""
    network_id: str = ""
    port: bool = False
    source: str = ""
    trace: str = ""


class PollSlice(msgspec.Struct, frozen=True, tag="poll_slice"):
    """Ask for POLL, or READ, on the resources that hash into slice `index` of `of`."""

    index: int
    of: int
    action: vocabulary.Action = vocabulary.Action.POLL


class AuditEnd(msgspec.Struct, frozen=True, tag="audit_end"):
    """Close an audit: a resource that it did not name may have vanished and is looked at.

    `audit_id` equals the `source` of the events of that audit.
    """

    audit_id: str


class AuditRequest(msgspec.Struct, frozen=True, tag="audit_request"):
    """Ask the health process for an audit at once: messages may have been lost."""

    reason: str


class Membership(msgspec.Struct, frozen=True, tag="membership"):
    """Tell which nodes share the work.

    `lease_until` is the moment, by the monotonic clock of this machine, from which our own
    membership is no longer certain.
    """

    hosts: tuple[str, ...]
    lease_until: float


Message = Event | Hint | PollSlice | AuditEnd | AuditRequest | Membership

# One datagram of a SOCK_SEQPACKET socket; ids and words only, so this is ample.
MAX_BYTES = 16384

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """Write a message as it travels between our processes."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Read what `encode` wrote; raises `msgspec.MsgspecError` on anything else."""
    return _DECODER.decode(data)
