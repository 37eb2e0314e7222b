"""Describe the API in OpenAPI 3.1, from the table of operations and the types of the contract.

Pure. Served at ``/v1/openapi.json``; ``python -m astara_appliance.api.openapi FILE`` writes it for
the documentation.
"""

import http
import pathlib
import sys
from typing import Any

import msgspec

from astara_contract import errors as contract_errors

from . import operations, views

VERSION = "1"
_COMPONENTS = "#/components/schemas/"


def describe() -> dict[str, Any]:
    """Return the description."""
    types: list[Any] = [contract_errors.ErrorBody]
    for operation in operations.TABLE:
        types += [
            kind for kind in (operation.answer, operation.body) if kind not in (None, *types)
        ]
    shapes, components = msgspec.json.schema_components(types, ref_template=_COMPONENTS + "{name}")
    shape_of = dict(zip(types, shapes, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations.TABLE:
        described = _operation(operation, shape_of)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Astara appliance",
            "version": VERSION,
            "description": "Every path is answered with and without a slash at its end.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def text() -> bytes:
    """Return the description as JSON."""
    return msgspec.json.format(msgspec.json.encode(describe(), order="sorted"), indent=2) + b"\n"


def _operation(operation: operations.Operation, shape_of: dict[Any, Any]) -> dict[str, Any]:
    refusal = shape_of[contract_errors.ErrorBody]
    answers = {"200": _answer(200, operation.media, _shape(operation, shape_of))}
    answers |= {
        str(number): _answer(number, views.JSON, refusal) for number in (*operation.refusals, 500)
    }
    described: dict[str, Any] = {
        "operationId": operation.view.__name__,
        "summary": operation.summary,
        "responses": answers,
    }
    if operation.parameters:
        described["parameters"] = [_parameter(item) for item in operation.parameters]
    if operation.body is not None:
        content = {views.JSON: {"schema": shape_of[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _shape(operation: operations.Operation, shape_of: dict[Any, Any]) -> Any:
    return {"type": "string"} if operation.answer is None else shape_of[operation.answer]


def _answer(number: int, media: str, shape: Any) -> dict[str, Any]:
    # Of a media type, the description names only what does not vary.
    content = {media.partition(";")[0]: {"schema": shape}}
    return {"description": http.HTTPStatus(number).phrase, "content": content}


def _parameter(item: operations.Parameter) -> dict[str, Any]:
    return {
        "name": item.name,
        "in": item.where,
        "required": item.where == "path",
        "schema": item.schema,
        "description": item.meaning,
    }


def main(arguments: list[str]) -> int:
    """Write the description to the file named by the only argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m astara_appliance.api.openapi FILE\n")
        return 2
    pathlib.Path(arguments[0]).write_bytes(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
