"""The HTTP application: the rules of the table of operations, and what each error looks like.

No answer carries a traceback or a secret. Every error is `{"error": {"code", "reason", ...}}`.
Built once in the agent's process by `server`.
"""

import logging
from collections.abc import Callable
from typing import Any

import flask
import msgspec
from werkzeug import exceptions

from astara_contract import errors as contract_errors

from .. import errors, logs
from ..system import memory, process, tls
from . import openapi, operations, views

LOG = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Some 40,000 ports; what JSON unfolds to in memory is a multiple."""

LARGE = 64 * 1024
"""Bytes of a request or an answer that may have used much memory."""

_SEE_LOG = "See the agent's log on the appliance."


def build_app(parts: views.Parts) -> flask.Flask:
    """Return the WSGI application."""
    app = flask.Flask("astara_appliance", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = False
    for operation in operations.TABLE:
        rule = operation.path.replace("{", "<").replace("}", ">")
        name = operation.view.__name__
        app.add_url_rule(rule, name, _answering(operation, parts), methods=[operation.method])
    app.add_url_rule("/v1/openapi.json", "openapi", _openapi, methods=["GET"])
    app.after_request(_give_back_after_much)
    _add_error_handlers(app)
    return app


def _answering(
    operation: operations.Operation, parts: views.Parts
) -> Callable[..., flask.Response]:
    def answer(**path: str) -> flask.Response:
        with logs.traced(flask.request.headers.get("traceparent", "")):
            told = operation.view(parts, **path)
        body = told if isinstance(told, str) else msgspec.json.encode(told)
        return flask.Response(body, content_type=operation.media)

    return answer


def _give_back_after_much(response: flask.Response) -> flask.Response:
    """Return memory when the answer is out: who waits for it shall not wait for that."""
    told = 0 if flask.request.method == "GET" else LARGE  # a body may come without its length
    sent = flask.request.content_length
    if max(told if sent is None else sent, response.content_length or 0) >= LARGE:
        memory.give_back_soon()
    return response


def _openapi() -> flask.Response:
    return flask.Response(openapi.text(), content_type=views.JSON)


def _add_error_handlers(app: flask.Flask) -> None:
    app.register_error_handler(exceptions.HTTPException, _refused)
    app.register_error_handler(contract_errors.ContractError, _invalid)
    app.register_error_handler(errors.PushError, _not_done)
    app.register_error_handler(tls.BundleError, _not_ours)
    app.register_error_handler(process.CommandFailed, _command_failed)
    app.register_error_handler(Exception, _broken)


_HTTP_CODES = {
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}
_PUSH_ERRORS = {
    errors.StaleEpoch: (409, "stale-epoch"),
    errors.NotOnTrial: (409, "not-on-trial"),
    errors.NotPaired: (409, "not-paired"),
    errors.Busy: (503, "busy"),
}


def _refused(error: exceptions.HTTPException) -> flask.Response:
    number = error.code or 500
    code = _HTTP_CODES.get(number, "internal" if number >= 500 else "bad-request")
    answer = _error(number, code=code, reason=error.name.lower())
    if isinstance(error, exceptions.MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return answer


def _invalid(error: contract_errors.ContractError) -> flask.Response:
    return _error(
        400,
        code="invalid-document",
        path=error.path,
        reason=error.reason,
        operator="Nothing was changed. Sender and appliance may differ in schema version.",
    )


def _not_done(error: errors.PushError) -> flask.Response:
    if isinstance(error, errors.PushFailed):
        return _error(
            500,
            code="apply-failed",
            driver=error.driver,
            reason=error.reason,
            rolled_back=error.rolled_back,
            operator=_SEE_LOG,
        )
    number, code = _PUSH_ERRORS[type(error)]
    return _error(number, code=code, reason=str(error))


def _not_ours(error: tls.BundleError) -> flask.Response:
    return _error(409, code="certificate-refused", reason=str(error))


def _command_failed(error: process.CommandFailed) -> flask.Response:
    LOG.error("request.failed path=%s error=%s", flask.request.path, error)
    return _error(500, code="internal", reason=error.reason, operator=_SEE_LOG)


def _broken(error: Exception) -> flask.Response:
    # The boundary of a request: the log gets the traceback, the peer gets a code.
    LOG.error("request.broken path=%s", flask.request.path, exc_info=error)
    return _error(500, code="internal", reason="internal error", operator=_SEE_LOG)


def _error(number: int, **detail: Any) -> flask.Response:
    body = contract_errors.ErrorBody(contract_errors.ErrorDetail(**detail))
    return flask.Response(msgspec.json.encode(body), status=number, content_type=views.JSON)
