"""The HTTP routes: what each request becomes, and what each error looks like.

It translates between HTTP and the pipeline; it never decides what is applied, and no answer
carries a traceback or a secret. Every error is `{"error": {"code", "reason", ...}}`. Built once in
the worker process by `server`.
"""

import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Any

import flask
import msgspec
from werkzeug import exceptions

from astara_contract import document as contract
from astara_contract import errors as contract_errors
from astara_contract import status

from .. import errors, facts, pipeline, store, watch
from ..system import process

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
LONGEST_TRIAL_S = 3600
EPOCH_HEADER = "Astara-Epoch"
_JSON = "application/json"
_SEE_LOG = "See the agent's log on the appliance."


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the routes answer from."""

    line: pipeline.Pipeline
    names: facts.NicNames
    watch: watch.Watch
    agent_version: str
    booted_at: str
    agent_started_at: str


def build_app(parts: Parts) -> flask.Flask:
    """Return the WSGI application."""
    app = flask.Flask("astara_appliance", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = False
    _add_views(app, parts)
    _add_error_handlers(app)
    return app


def _add_views(app: flask.Flask, parts: Parts) -> None:
    views: dict[str, Callable[..., flask.Response]] = {
        "/v1/base": _base,
        "/v1/status": lambda: _status(parts),
        "/v1/firewall/rules": _firewall_rules,
        "/v1/system/interfaces": lambda: _interfaces(parts),
        "/v1/system/interface/<ifname>": lambda ifname: _interface(parts, ifname),
        "/v1/system/config": lambda: _config(parts),
    }
    for rule, view in views.items():
        app.add_url_rule(rule, rule, view, methods=["GET"])
    app.add_url_rule("/v1/system/config", "put", lambda: _put_config(parts), methods=["PUT"])
    app.add_url_rule(
        "/v1/system/config/confirm", "confirm", lambda: _confirm(parts), methods=["POST"]
    )


def _base() -> flask.Response:
    return flask.Response("astara appliance: service is active\n", mimetype="text/plain")


def _status(parts: Parts) -> flask.Response:
    committed, reachable = parts.line.committed, parts.watch.reachability
    nics = facts.gather(parts.names).nics.values()
    return _answer(
        status.Status(
            v4=reachable.v4,
            v6=reachable.v6,
            agent_version=parts.agent_version,
            schema_versions=(contract.SCHEMA_VERSION,),
            digest=committed.digest,
            trial=_trial(parts.line),
            epoch=committed.epoch,
            applied_at=committed.applied_at,
            pushes_applied=committed.pushes_applied,
            pushes_unchanged=committed.pushes_unchanged,
            booted_at=parts.booted_at,
            agent_started_at=parts.agent_started_at,
            interfaces=tuple(
                status.Nic(ifname=nic.ifname, lladdr=nic.mac)
                for nic in sorted(nics, key=lambda nic: int(nic.ifname.removeprefix("ge")))
            ),
        )
    )


def _firewall_rules() -> flask.Response:
    rules = process.run(["nft", "list", "ruleset"]).stdout
    return flask.Response(rules, mimetype="text/plain")


def _interfaces(parts: Parts) -> flask.Response:
    return _answer(status.InterfacesBody(facts.interfaces(parts.names)))


def _interface(parts: Parts, ifname: str) -> flask.Response:
    for state in facts.interfaces(parts.names):
        if state.ifname == ifname:
            return _answer(status.InterfaceBody(state))
    return _error(404, code="not-found", reason="there is no such interface")


def _config(parts: Parts) -> flask.Response:
    return _answer(_config_body(parts.line))


def _put_config(parts: Parts) -> flask.Response:
    _require_json()
    body = flask.request.get_data(cache=False)
    parts.line.put(body, _epoch(), confirm_within_s=_confirm_within_s())
    parts.watch.document_changed()
    return _config(parts)


def _confirm(parts: Parts) -> flask.Response:
    _require_json()
    try:
        asked = msgspec.json.decode(flask.request.get_data(cache=False), type=status.Confirmation)
    except msgspec.DecodeError as error:
        raise contract_errors.ContractError("$", str(error)) from None
    parts.line.confirm(asked.digest, _epoch())
    return _config(parts)


def _config_body(line: pipeline.Pipeline) -> status.ConfigBody:
    committed = line.committed
    document = store.committed_document(committed)
    return status.ConfigBody(
        configuration=contract.without_secrets(document) if document else None,
        digest=committed.digest,
        trial=_trial(line),
    )


def _trial(line: pipeline.Pipeline) -> status.Trial | None:
    trial, left_s = line.committed.trial, line.trial_left_s()
    return status.Trial(digest=trial.digest, left_s=left_s) if trial and left_s else None


def _require_json() -> None:
    if flask.request.mimetype != _JSON:
        raise exceptions.UnsupportedMediaType()


def _confirm_within_s() -> int | None:
    text = flask.request.args.get("confirm")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LONGEST_TRIAL_S:
        reason = f"expected whole seconds, 1 to {LONGEST_TRIAL_S}"
        raise contract_errors.ContractError("query confirm", reason)
    return int(text)


def _epoch() -> int | None:
    text = flask.request.headers.get(EPOCH_HEADER)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise contract_errors.ContractError(f"header {EPOCH_HEADER}", "expected a whole number")
    return int(text)


def _add_error_handlers(app: flask.Flask) -> None:
    app.register_error_handler(exceptions.HTTPException, _refused)
    app.register_error_handler(contract_errors.ContractError, _invalid)
    app.register_error_handler(errors.PushError, _not_done)
    app.register_error_handler(process.CommandFailed, _command_failed)
    app.register_error_handler(Exception, _broken)


_HTTP_CODES = {
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}


def _refused(error: exceptions.HTTPException) -> flask.Response:
    number = error.code or 500
    code = _HTTP_CODES.get(number, "internal" if number >= 500 else "bad-request")
    return _error(number, code=code, reason=error.name.lower())


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


_PUSH_ERRORS = {
    errors.StaleEpoch: (409, "stale-epoch"),
    errors.NotOnTrial: (409, "not-on-trial"),
    errors.Busy: (503, "busy"),
}


def _command_failed(error: process.CommandFailed) -> flask.Response:
    LOG.error("request-failed path=%s error=%s", flask.request.path, error)
    return _error(500, code="internal", reason=error.reason, operator=_SEE_LOG)


def _broken(error: Exception) -> flask.Response:
    # The boundary of a request: the log gets the traceback, the peer gets a code.
    LOG.error("request-broken path=%s", flask.request.path, exc_info=error)
    return _error(500, code="internal", reason="internal error", operator=_SEE_LOG)


def _answer(body: msgspec.Struct) -> flask.Response:
    return flask.Response(msgspec.json.encode(body), mimetype=_JSON)


def _error(number: int, **detail: Any) -> flask.Response:
    body = contract_errors.ErrorBody(contract_errors.ErrorDetail(**detail))
    return flask.Response(msgspec.json.encode(body), status=number, mimetype=_JSON)
