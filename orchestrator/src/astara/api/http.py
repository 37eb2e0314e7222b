"""Translate between HTTP and what a cluster of nodes can be asked.

The commands are `PUT` with the words of `astara-ctl` as path, views are `GET`. Every error is
`{"error": {"code", "message"}}` with a code of `messages.Code` or of this module. Decides only
status codes; must never answer with a traceback. Built by `process`.
"""

import functools
import logging
import typing
from collections.abc import Callable, Mapping

import flask
import msgspec
from werkzeug import exceptions

from . import access, cluster, exposition, messages, node, openapi
from .messages import Code, Report

LOG = logging.getLogger(__name__)

MAX_CONSOLE_LINES = 5000
_JSON = "application/json"
_STATUS = {
    Code.DONE: 200,
    Code.UNKNOWN_RESOURCE: 404,
    Code.UNKNOWN_IMAGE: 404,
    Code.AMBIGUOUS_NAME: 409,
    Code.WRONG_KIND: 409,
    Code.IN_DEBUG_MODE: 409,
    Code.NOT_IN_DEBUG_MODE: 409,
    Code.WORKER_SILENT: 503,
    Code.NODE_SILENT: 503,
    Code.STORE_UNAVAILABLE: 503,
    Code.CLOUD_UNAVAILABLE: 502,
    Code.NOT_NOW: 409,
    Code.INVALID: 400,
    Code.FAILED: 500,
}
_IMAGE_WORDS = frozenset({"--image", "--image_uuid", "--router_image_uuid"})
_VERBS = frozenset({"update", "rebuild", "switchover", "debug", "manage"})
_KINDS = {"router": "router", "loadbalancer": "loadbalancer", "resource": ""}

View = Callable[..., flask.Response]


def _answer(body: typing.Any, status: int = 200) -> flask.Response:
    return flask.Response(msgspec.json.encode(body), status=status, content_type=_JSON)


def _error(status: int, code: str, message: str, **more: typing.Any) -> flask.Response:
    return _answer({"error": {"code": code, "message": message}, **more}, status)


def _reports(reports: tuple[Report, ...]) -> flask.Response:
    """Answer with all reports; the first that is not done decides the status."""
    failed = next((report for report in reports if not report.done), None)
    if failed is None:
        return _answer({"reports": reports})
    status = _STATUS[Code(failed.code)]
    return _error(status, failed.code, failed.text, reports=reports)


class Views:
    """The routes' functions."""

    def __init__(self, own: node.Node, everyone: cluster.Cluster, guard: access.Guard) -> None:
        self._own = own
        self._everyone = everyone
        self._guard = guard

    def guarded(self, rule: str, view: View) -> View:
        """Give the view behind the guard; it gets who asks as `by`."""

        @functools.wraps(view)
        def check(**arguments: str) -> flask.Response:
            caller = self._guard(dict(flask.request.headers), rule)
            return view(caller.name, **arguments)

        return check

    # -- views -----------------------------------------------------------------------------------

    def health(self) -> flask.Response:
        """Say whether this node is well: all its workers answer."""
        view = self._own.answer(messages.ShowNode())
        if not isinstance(view, messages.NodeView):
            return _answer({"healthy": False, "faults": ["the node does not answer"]}, 503)
        faults = list(view.faults)
        for each in view.workers:
            dead = sum(not thread.alive for thread in each.threads)
            if dead:
                faults.append(f"worker-{each.number:02d} has lost {dead} threads")
        return _answer({"healthy": not faults, "faults": faults}, 503 if faults else 200)

    def resources(self, _by: str) -> flask.Response:
        """List resources; query: driver, tenant_id, instance, node, debug, limit, marker."""
        everything = self._everyone.resources()
        wanted = {
            key: value
            for key, value in flask.request.args.items()
            if key in ("driver", "tenant_id", "instance", "node", "debug", "phase", "name")
        }
        marker = flask.request.args.get("marker", "")
        limit = flask.request.args.get("limit", 0, type=int)
        found = [
            line
            for line in everything.resources
            if line.id > marker
            and all(str(getattr(line, key)) == value for key, value in wanted.items())
        ]
        page = found[:limit] if limit > 0 else found
        return _answer({"resources": page, "faults": everything.faults})

    def resource(self, _by: str, ref: str) -> flask.Response:
        """Show one resource with its history."""
        return _answer(self._everyone.resource(self._everyone.resolve(ref)))

    def documents(self, _by: str, ref: str) -> flask.Response:
        """Give the desired and the committed document; query: member, 1 for a pair's second."""
        member = int(flask.request.args.get("member", 0, type=int) == 1)
        return _answer(self._everyone.documents(self._everyone.resolve(ref), member))

    def console(self, _by: str, ref: str) -> flask.Response:
        """Give the last lines of the console."""
        lines = flask.request.args.get("lines", 100, type=int)
        bounded = max(1, min(lines, MAX_CONSOLE_LINES))
        return _answer({"console": self._everyone.console(self._everyone.resolve(ref), bounded)})

    def nodes(self, _by: str) -> flask.Response:
        """List the nodes with their workers."""
        nodes, faults = self._everyone.nodes()
        return _answer({"nodes": nodes, "faults": faults})

    def workers(self, _by: str) -> flask.Response:
        """List the workers of all nodes with their threads."""
        nodes, faults = self._everyone.nodes()
        missing = [fault for each in nodes for fault in each.faults]
        workers = [worker for each in nodes for worker in each.workers]
        return _answer({"workers": workers, "faults": [*faults, *missing]})

    def debug_modes(self, _by: str) -> flask.Response:
        """List the debug modes."""
        return _answer({"debug": self._everyone.debug_modes()})

    def metrics(self, _by: str) -> flask.Response:
        """Give the metrics of this node."""
        content_type = exposition.CONTENT_TYPE
        return flask.Response(exposition.text(self._own), content_type=content_type)

    # -- commands --------------------------------------------------------------------------------

    def plain(self, by: str, words: str) -> flask.Response:
        """Run a command without id."""
        name = words.strip("/").replace("/", "-")
        return self._run(messages.Command(name, by=by, reason=self._body().get("reason", "")))

    def tenant(self, by: str, verb: str, ref: str, options: str = "") -> flask.Response:
        """Run a command about a tenant."""
        if verb not in ("debug", "manage"):
            raise exceptions.NotFound
        reason = self._options(options).get("reason", "")
        return self._run(messages.Command(f"tenant-{verb}", ref, reason=reason, by=by))

    def about(self, by: str, kind: str, verb: str, ref: str, options: str = "") -> flask.Response:
        """Run a command about a resource."""
        if kind not in _KINDS or verb not in _VERBS:
            raise exceptions.NotFound
        given = self._options(options)
        command = messages.Command(
            f"resource-{verb}", ref, given.get("image"), given.get("reason", ""), by
        )
        return self._run(command, _KINDS[kind])

    def _run(self, command: messages.Command, driver: str = "") -> flask.Response:
        return _reports(self._everyone.command(command, driver))

    def _body(self) -> Mapping[str, str]:
        body = flask.request.get_json(silent=True)
        if not isinstance(body, dict):
            return {}
        return {key: value for key, value in body.items() if isinstance(value, str)}

    def _options(self, path: str) -> dict[str, str]:
        """Read options from the body and, as the original did, from pairs of path segments."""
        given = dict(self._body())
        words = [word for word in path.split("/") if word]
        if len(words) % 2:
            raise exceptions.BadRequest("an option in the path has no value")
        for option, value in zip(words[::2], words[1::2], strict=True):
            if option in _IMAGE_WORDS:
                given["image"] = value
            elif option == "--reason":
                given["reason"] = value
            else:
                raise exceptions.BadRequest(f"unknown option {option}")
        return given


def build_app(own: node.Node, everyone: cluster.Cluster, guard: access.Guard) -> flask.Flask:
    """Give the WSGI application."""
    app = flask.Flask("astara", static_folder=None)
    app.url_map.strict_slashes = False
    views = Views(own, everyone, guard)
    gets: dict[str, View] = {
        "/resources": views.resources,
        "/resources/<ref>": views.resource,
        "/resources/<ref>/diff": views.documents,
        "/resources/<ref>/console": views.console,
        "/nodes": views.nodes,
        "/workers": views.workers,
        "/debug": views.debug_modes,
    }
    for path, view in gets.items():
        app.add_url_rule(path, path, views.guarded(access.VIEW, view), methods=["GET"])
    measured = views.guarded(access.METRICS, views.metrics)
    app.add_url_rule("/metrics", "metrics", measured, methods=["GET"])
    for words in ("/poll", "/workers/debug", "/config/reload"):
        _add_plain(app, views, words, access.COMMAND)
    for words in ("/global/debug/enable", "/global/debug/disable"):
        _add_plain(app, views, words, access.DEBUG)
    for path in ("/tenant/<verb>/<ref>", "/tenant/<verb>/<ref>/<path:options>"):
        app.add_url_rule(path, path, views.guarded(access.DEBUG, views.tenant), methods=["PUT"])
    for path in ("/<kind>/<verb>/<ref>", "/<kind>/<verb>/<ref>/<path:options>"):
        app.add_url_rule(path, path, _about(views), methods=["PUT"])
    app.add_url_rule("/healthz", "healthz", views.health, methods=["GET"])
    app.add_url_rule(
        "/openapi.json", "openapi", lambda: _answer(openapi.document()), methods=["GET"]
    )
    _add_error_handlers(app)
    return app


def _add_plain(app: flask.Flask, views: Views, words: str, rule: str) -> None:
    view = views.guarded(rule, lambda by: views.plain(by, words))
    app.add_url_rule(words, words, view, methods=["PUT"])


def _about(views: Views) -> View:
    """Give the view of commands about a resource: its verb decides which rule guards it."""
    command = views.guarded(access.COMMAND, views.about)
    debug = views.guarded(access.DEBUG, views.about)

    def choose(**arguments: str) -> flask.Response:
        return (debug if arguments["verb"] in ("debug", "manage") else command)(**arguments)

    return choose


def _add_error_handlers(app: flask.Flask) -> None:
    def denied(fault: access.Denied) -> flask.Response:
        if fault.known:
            return _error(403, "forbidden", str(fault))
        answer = _error(401, "unauthenticated", str(fault))
        answer.headers["WWW-Authenticate"] = "Keystone"
        return answer

    def refused(fault: cluster.Refused) -> flask.Response:
        report = fault.report
        return _error(_STATUS[Code(report.code)], report.code, report.text)

    def of_http(fault: exceptions.HTTPException) -> flask.Response:
        number = fault.code or 500
        code = {400: "invalid", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}
        return _error(number, code.get(number, "http-error"), fault.description or fault.name)

    def crashed(_fault: Exception) -> flask.Response:
        LOG.exception("http.failed path=%s", flask.request.path)
        return _error(500, "failed", "see the log of this node")

    app.register_error_handler(access.Denied, denied)
    app.register_error_handler(cluster.Refused, refused)
    app.register_error_handler(exceptions.HTTPException, of_http)
    app.register_error_handler(Exception, crashed)
