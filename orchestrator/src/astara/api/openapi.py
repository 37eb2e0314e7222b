"""Describe the operators' HTTP API as an OpenAPI 3.1 document.

Pure. A test holds the paths against the routes of `http`.
"""

import functools
import importlib.metadata
import typing

import msgspec

from ..worker import control_protocol as worker
from . import messages

_TYPES = (
    worker.ResourceLine,
    worker.ResourceDetail,
    worker.WorkerView,
    messages.NodeView,
    messages.DebugView,
    messages.Documents,
    messages.Report,
)
_KINDS = "router, loadbalancer or resource"
_COMMANDS = {
    "/poll": "Look at every resource now.",
    "/workers/debug": "Have every worker write a report to its log.",
    "/config/reload": "Read the configuration files again.",
    "/global/debug/enable": "Put everything into debug mode.",
    "/global/debug/disable": "End the global debug mode.",
    "/tenant/{verb}/{ref}": "debug or manage all resources of a tenant.",
    "/{kind}/{verb}/{ref}": f"update, rebuild, switchover, debug or manage one {_KINDS}, by id or "
    "name.",
}
_REFERENCE = "#/components/schemas/{name}"


def _parameters(path: str, extra: dict[str, str]) -> list[dict[str, typing.Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    string = {"type": "string"}
    inside = [{"name": n, "in": "path", "required": True, "schema": string} for n in names]
    return inside + [
        {"name": name, "in": "query", "description": text, "schema": string}
        for name, text in extra.items()
    ]


def _response(description: str, schema: typing.Any) -> dict[str, typing.Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors() -> dict[str, typing.Any]:
    error = {"$ref": "#/components/schemas/Error"}
    texts = {
        "401": "no valid token",
        "403": "policy does not allow it",
        "404": "no such resource",
        "409": "not now: the code says why",
        "503": "somebody who is needed does not answer",
    }
    return {number: _response(text, error) for number, text in texts.items()}


def _refer(kind: type) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _wrapped(key: str, kind: type) -> dict[str, typing.Any]:
    items = {"type": "array", "items": _refer(kind)}
    faults = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "properties": {key: items, "faults": faults}}


def _views() -> dict[str, tuple[str, typing.Any, dict[str, str]]]:
    exact = "give only those with this value"
    filters = ("driver", "tenant_id", "instance", "node", "debug", "phase", "name")
    paging = {"limit": "give at most so many", "marker": "give those after this id"}
    return {
        "/resources": (
            "List resources of all nodes.",
            _wrapped("resources", worker.ResourceLine),
            dict.fromkeys(filters, exact) | paging,
        ),
        "/resources/{ref}": (
            "Show one resource with its history and ports.",
            _refer(worker.ResourceDetail),
            {},
        ),
        "/resources/{ref}/diff": (
            "Give the desired document and the one its appliance committed.",
            _refer(messages.Documents),
            {},
        ),
        "/resources/{ref}/console": (
            "Give the last lines of the server's console.",
            {"type": "object", "properties": {"console": {"type": "string"}}},
            {"lines": "how many, 100 by default"},
        ),
        "/nodes": ("List nodes.", _wrapped("nodes", messages.NodeView), {}),
        "/workers": ("List workers of all nodes.", _wrapped("workers", worker.WorkerView), {}),
        "/debug": ("List debug modes.", _wrapped("debug", messages.DebugView), {}),
    }


@functools.cache
def document() -> dict[str, typing.Any]:
    """Give the whole document."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REFERENCE)
    schemas["Error"] = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            },
            "reports": {"type": "array", "items": _refer(messages.Report)},
        },
    }
    paths: dict[str, typing.Any] = {}
    for path, (text, schema, query) in _views().items():
        answers = {"200": _response("what was asked for", schema), **_errors()}
        parameters = _parameters(path, query)
        paths[path] = {"get": {"summary": text, "parameters": parameters, "responses": answers}}
    reports = _wrapped("reports", messages.Report)
    for path, text in _COMMANDS.items():
        answers = {"200": _response("what every node did", reports), **_errors()}
        operation = {
            "summary": text,
            "parameters": _parameters(path, {}),
            "responses": answers,
        }
        if "{" in path:
            operation["requestBody"] = _options()
        paths[path] = {"put": operation}
    health = {"type": "object", "properties": {"healthy": {"type": "boolean"}}}
    paths["/healthz"] = {
        "get": {
            "summary": "Say whether this node is well; needs no token.",
            "security": [],
            "responses": {
                "200": _response("all workers answer", health),
                "503": _response("one does not", health),
            },
        }
    }
    paths["/metrics"] = {
        "get": {
            "summary": "Metrics of this node for Prometheus; a keystone token, or metrics_token.",
            "responses": {
                "200": {
                    "description": "text format of Prometheus",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Astara for operators",
            "version": importlib.metadata.version("astara"),
        },
        "security": [{"keystone": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "keystone": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
    }


def _options() -> dict[str, typing.Any]:
    properties = {
        "reason": {"type": "string", "description": "why; for debug"},
        "image": {"type": "string", "description": "Glance id; for rebuild"},
    }
    schema = {"type": "object", "properties": properties}
    return {"required": False, "content": {"application/json": {"schema": schema}}}
