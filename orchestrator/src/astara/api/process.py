"""Run the process of the role `api`: answer operators over AMQP and over HTTP.

Decides nothing. A broker that is away is waited for by the RPC server's own thread, so that HTTP
answers meanwhile. Must never take part in the work: without it appliances are served all the same.
"""

import logging
import threading

from keystonemiddleware import auth_token
from oslo_config import cfg

from .. import metrics
from ..cluster import roster
from ..conf import identity
from . import access, cluster, http, messages, node, rpc, wsgi

LOG = logging.getLogger(__name__)


class _NodeFirst:
    """Carries questions: to this node by a call, to others over the broker."""

    def __init__(self, own: node.Node, caller: rpc.Caller) -> None:
        self._own = own
        self._caller = caller

    def ask(self, host: str | None, question: messages.Question) -> messages.Answer:
        """Ask a node; any node means this one."""
        if host in (None, self._own.host):
            return self._own.answer(question)
        return self._caller.ask(host, question)


def _serve_rpc(conf: cfg.ConfigOpts, own: node.Node) -> None:
    server = rpc.server(conf, own)
    # Starting blocks while the broker is away; the process ends without waiting for it.
    threading.Thread(target=server.start, name="rpc", daemon=True).start()


def run(conf: cfg.ConfigOpts, _number: int, stop: threading.Event) -> None:
    """Answer until `stop` is set."""
    identity.register(conf)
    metrics.begin()
    own = node.Node(conf, lambda: roster.hosts(conf))
    _serve_rpc(conf, own)
    caller = rpc.Caller(conf, conf.command_timeout)
    everyone = cluster.Cluster(_NodeFirst(own, caller))
    guard = access.guard(conf)
    app = http.build_app(own, everyone, guard)
    protected = (
        app
        if conf.auth_strategy == "noauth"
        else auth_token.AuthProtocol(
            app, {"oslo_config_config": conf, "delay_auth_decision": True}
        )
    )
    server = wsgi.start(conf, protected)
    LOG.info("api.started host=%s", conf.host)
    stop.wait()
    server.stop()
    everyone.close()
    own.close()
    LOG.info("api.stopped")
