"""The desired configuration of a routing appliance: one whole document, never a delta.

`parse` is the only way in: what it returns is safe to render. It accepts the two historic shapes
(the bare body, and the seed's ``{"configuration": {...}}`` with ``address_allocations``); keys
that are not listed here are an error that names its path. `digest` tells whether two documents ask
for the same. The parts of a document are those of `shape`, under the same names here.

Called by the orchestrator, which builds documents, and by the appliance, which applies them.
Nothing here does I/O or knows how a document is applied.
"""

import hashlib
import operator
import re
from typing import Any, TypeVar

import msgspec

from astara_contract import rules
from astara_contract.errors import UNKNOWN_KEY, ContractError
from astara_contract.shape import (
    SCHEMA_VERSION,
    Allocation,
    Bgp,
    BgpNeighbor,
    ConntrackHelper,
    DhcpOption,
    Document,
    FloatingIP,
    HighAvailability,
    HostRoute,
    Interface,
    MeteringLabel,
    MeteringRule,
    Network,
    Orchestrator,
    PortForwarding,
    Rate,
    RateLimit,
    Subnet,
)

__all__ = [
    "SCHEMA_VERSION",
    "Allocation",
    "Bgp",
    "BgpNeighbor",
    "ConntrackHelper",
    "DhcpOption",
    "Document",
    "FloatingIP",
    "HighAvailability",
    "HostRoute",
    "Interface",
    "MeteringLabel",
    "MeteringRule",
    "Network",
    "Orchestrator",
    "PortForwarding",
    "Rate",
    "RateLimit",
    "Subnet",
    "additions",
    "additions_of",
    "canonical",
    "digest",
    "encode",
    "json_schema",
    "parse",
    "parse_of_newer",
    "without_secrets",
]


def parse(source: bytes | str | dict[str, Any]) -> Document:
    """Return the document in `source` (JSON text, or the object it decodes to).

    Raise ContractError with the path of the first thing that is wrong.
    """
    if isinstance(source, dict):
        document = _converted(source)
    elif _may_be_historic(source):
        document = _converted(_decode(source, type=dict[str, Any]))
    else:
        # Straight into the document: half the time, and nothing hostile is ever unfolded.
        document = _decode(source, type=Document)
    rules.check(document)
    return document


def parse_of_newer(told: Any) -> tuple[Document, tuple[str, ...]]:
    """Return the document that an appliance of another release tells, and what is unknown in it.

    Never for a document that is to be applied: what is asked for must be understood, what is only
    looked at need not be. Raise ContractError for anything worse than an unknown key.
    """
    unknown: list[str] = []
    while True:
        try:
            return _converted(told), tuple(unknown)
        except ContractError as error:
            if error.reason != UNKNOWN_KEY:
                raise
            unknown.append(error.path)
            told = _without(told, _STEPS.findall(error.path))


def additions() -> tuple[str, ...]:
    """Return the keys that the first release did not have, as paths; `networks[]` is any of them.

    An appliance tells those that it knows, so that it can be told which release it lacks.
    """
    networks = (f"networks[].{name}" for name in Network.added)
    return tuple(sorted({*Document.added, *networks}))


def additions_of(document: Document) -> tuple[str, ...]:
    """Return those of `additions` that a document needs: an older appliance refuses it."""
    parts: list[tuple[Document | Network, str]] = [(document, "")]
    parts += ((network, "networks[].") for network in document.networks)
    needed = {
        prefix + name
        for part, prefix in parts
        for name in part.added
        if getattr(part, name) != _DEFAULTS[type(part)][name]
    }
    return tuple(sorted(needed))


def encode(document: Document) -> bytes:
    """Return the JSON text of `document`; `parse` of it gives the document back.

    Keys that a release before did not know are left out where nothing is asked for by them.
    """
    networks = [_without_idle_additions(network) for network in document.networks]
    text = _without_idle_additions(document) | {"networks": networks}
    return msgspec.json.encode(text, order="sorted")


_ANY_PORT = 9697


def digest(document: Document) -> str:
    """Return 64 hex digits that are equal for documents that ask for the same.

    The order of networks, subnets, allocations, routes and the like does not matter, nor does the
    case of a MAC address; the order of name servers does. Which node of the orchestrator asks
    does not matter either: an appliance that changes hands is not configured anew.
    """
    return hashlib.sha256(encode(without_owner(canonical(document)))).hexdigest()


def without_owner(document: Document) -> Document:
    """Return `document` without what tells which node of the orchestrator asks."""
    anybody = msgspec.structs.replace(
        document.orchestrator, address="", host="", metadata_port=_ANY_PORT
    )
    return msgspec.structs.replace(document, orchestrator=anybody)


def canonical(document: Document) -> Document:
    """Return `document` with everything that has no order sorted."""
    return msgspec.structs.replace(
        document,
        networks=tuple(
            _canonical_network(network)
            for network in sorted(document.networks, key=lambda network: network.network_id)
        ),
        floating_ips=tuple(sorted(document.floating_ips, key=operator.attrgetter("floating_ip"))),
        port_forwardings=_by_fields(document.port_forwardings),
        rate_limits=tuple(sorted(document.rate_limits, key=lambda item: item.address)),
        conntrack_helpers=_by_fields(document.conntrack_helpers),
        metering_labels=tuple(
            msgspec.structs.replace(label, rules=_by_fields(label.rules))
            for label in sorted(document.metering_labels, key=lambda label: label.id)
        ),
        static_routes=tuple(sorted(document.static_routes)),
        bgp=_canonical_bgp(document.bgp),
    )


def without_secrets(document: Document) -> Document:
    """Return `document` as it may be shown: keys are emptied, and secrets of functions."""
    return msgspec.structs.replace(
        document,
        orchestrator=msgspec.structs.replace(document.orchestrator, metadata_key=""),
        functions=_hidden(document.functions),
        bgp=_without_passwords(document.bgp),
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document."""
    schema = msgspec.json.schema(Document)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if made else field.default


_DEFAULTS = {
    kind: {field.name: _default(field) for field in msgspec.structs.fields(kind)}
    for kind in (Document, Network)
}


def _without_idle_additions(part: Document | Network) -> dict[str, Any]:
    """Return the fields of `part` but for additions that have their default."""
    defaults = _DEFAULTS[type(part)]
    return {
        name: value
        for name in part.__struct_fields__
        if (value := getattr(part, name)) != defaults[name] or name not in part.added
    }


def _without_passwords(bgp: Bgp | None) -> Bgp | None:
    neighbors = bgp.neighbors if bgp else ()
    hidden = tuple(msgspec.structs.replace(item, password="") for item in neighbors)
    return Bgp(neighbors=hidden) if bgp else None


def _hidden(value: Any) -> Any:
    """Return plain data with everything emptied that a key calls a secret."""
    if isinstance(value, dict):
        return {
            key: "" if key.endswith("_secret") else _hidden(item) for key, item in value.items()
        }
    return [_hidden(item) for item in value] if isinstance(value, list | tuple) else value


_Field = TypeVar("_Field", bound=msgspec.Struct)


def _by_fields(parts: tuple[_Field, ...]) -> tuple[_Field, ...]:
    return tuple(sorted(parts, key=msgspec.json.encode))


def _canonical_bgp(bgp: Bgp | None) -> Bgp | None:
    if bgp is None:
        return None
    neighbors = sorted(bgp.neighbors, key=lambda neighbor: neighbor.address)
    ordered = (
        msgspec.structs.replace(item, accept=tuple(sorted(item.accept))) for item in neighbors
    )
    return Bgp(neighbors=tuple(ordered))


def _canonical_network(network: Network) -> Network:
    nic = network.interface
    return msgspec.structs.replace(
        network,
        interface=msgspec.structs.replace(
            nic,
            addresses=tuple(sorted(nic.addresses)),
            lladdr=nic.lladdr.lower() if nic.lladdr else None,
        ),
        subnets=tuple(sorted(network.subnets, key=lambda subnet: (subnet.cidr, subnet.id))),
        allocations=tuple(
            sorted(
                (
                    msgspec.structs.replace(item, mac_address=item.mac_address.lower())
                    for item in network.allocations
                ),
                key=lambda item: (item.mac_address, sorted(item.ip_addresses), item.device_id),
            )
        ),
    )


_Decoded = TypeVar("_Decoded")


def _may_be_historic(text: bytes | str) -> bool:
    named = ("configuration", "address_allocations")
    if isinstance(text, str):
        return any(f'"{key}"' in text for key in named)
    return any(f'"{key}"'.encode() in text for key in named)


def _converted(raw: dict[str, Any]) -> Document:
    try:
        return msgspec.convert(_unify_historic_shapes(raw), Document)
    except msgspec.ValidationError as error:
        raise _located(error) from None


def _decode(text: bytes | str, *, type: type[_Decoded]) -> _Decoded:  # noqa: A002 - as msgspec
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise _located(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError("$", f"not JSON: {error}") from None
    except RecursionError:
        raise ContractError("$", "nested too deeply") from None


def _unify_historic_shapes(raw: dict[str, Any]) -> dict[str, Any]:
    """Unwrap ``configuration`` and rename ``address_allocations``, the seed's names."""
    if "configuration" in raw:
        if len(raw) > 1:
            other = min(set(raw) - {"configuration"})
            raise ContractError(f"$.{other}", "not expected beside 'configuration'")
        raw = raw["configuration"]
        if not isinstance(raw, dict):
            raise ContractError("$.configuration", "expected an object")
    networks = raw.get("networks")
    if not isinstance(networks, list):
        return raw
    return raw | {"networks": [_unify_network(item, at) for at, item in enumerate(networks)]}


def _unify_network(network: Any, at: int) -> Any:
    if not isinstance(network, dict) or "address_allocations" not in network:
        return network
    if "allocations" in network:
        raise ContractError(
            f"$.networks[{at}].address_allocations", "given twice: also as 'allocations'"
        )
    renamed = dict(network)
    renamed["allocations"] = renamed.pop("address_allocations")
    return renamed


_AT = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$", re.DOTALL)


_STEPS = re.compile(r"\.([A-Za-z_0-9]+)|\[(\d+)\]")


def _without(told: Any, steps: list[tuple[str, str]]) -> Any:
    """Return plain data without what a path leads to."""
    (name, index), *rest = steps
    if name and not rest:
        return {key: value for key, value in told.items() if key != name}
    if name:
        return told | {name: _without(told[name], rest)}
    return [_without(value, rest) if at == int(index) else value for at, value in enumerate(told)]


def _located(error: msgspec.ValidationError) -> ContractError:
    """Turn msgspec's ``reason - at `$.path` `` into a ContractError."""
    match = _AT.match(str(error))
    path, reason = (match["path"] or "$", match["reason"]) if match else ("$", str(error))
    unknown = _UNKNOWN.match(reason)
    if unknown:
        return ContractError(f"{path}.{unknown['field']}", UNKNOWN_KEY)
    return ContractError(path, reason)
