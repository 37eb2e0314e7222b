"""Carry questions to nodes and answers back over the message broker of the cloud.

Each node serves the topic `astara-operator` as server `<host>`. Decides nothing. Heavy: imports
oslo.messaging.
"""

import logging
import queue
import socket
import threading
import typing

import msgspec
from oslo_config import cfg

from .. import bus
from . import messages
from .node import Node

LOG = logging.getLogger(__name__)

TOPIC = "astara-operator"  # not `astara`: queues of notifications are called `astara.<host>`
VERSION = "1.0"
THREADS = 4
AMQP_PORT = 5672
REACH_TIMEOUT_S = 3.0
SPARE_S = 2.0  # for connecting, on top of the time that a node has to answer
ASKED_AT_ONCE = 16
HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1, section 4.2.2: whoever speaks it answers


class NodeSilent(Exception):
    """Say that a node did not answer, or the broker did not."""


class NoBroker(Exception):
    """Say that the configuration names no message broker."""


class _Endpoint:
    """What oslo.messaging calls."""

    def __init__(self, node: Node, target: typing.Any) -> None:
        self._node = node
        self.target = target

    def ask(self, _context: dict[str, typing.Any], question: str) -> str:
        """Answer one question."""
        try:
            asked = messages.decode_question(question)
        except msgspec.MsgspecError as fault:
            # A tool of another release may know more than this node.
            code = messages.Code.INVALID
            text = f"this node does not understand the question: {fault}"
            return messages.encode(messages.Report(self._node.host, False, code.value, text))
        return messages.encode(self._node.answer(asked))


def _target(conf: cfg.ConfigOpts, oslo_messaging: typing.Any, **more: typing.Any) -> typing.Any:
    """Give where nodes listen; groups that share a broker are told apart by their name."""
    exchange = conf.coordination.group_id
    return oslo_messaging.Target(exchange=exchange, topic=TOPIC, version=VERSION, **more)


def server(conf: cfg.ConfigOpts, node: Node) -> typing.Any:
    """Give a server that is not started yet; starting blocks while the broker is away."""
    oslo_messaging = bus.load()
    transport = oslo_messaging.get_rpc_transport(conf)
    endpoint = _Endpoint(node, oslo_messaging.Target(version=VERSION))
    made = oslo_messaging.get_rpc_server(
        transport,
        _target(conf, oslo_messaging, server=node.host),
        [endpoint],
        executor="threading",
    )
    conf.set_override("executor_thread_pool_size", THREADS)  # it is registered by now
    return made


def _greet(where: tuple[str, int], *, speaks: bool) -> None:
    """Connect to a broker and hear a word of it; one that hangs is connected to by the kernel."""
    with socket.create_connection(where, REACH_TIMEOUT_S) as link:
        if speaks:
            link.sendall(HEADER)
            if not link.recv(1):
                raise ConnectionAbortedError("it hung up")


class Caller:
    """Asks nodes; safe to share between threads. Raises `NoBroker` when made."""

    def __init__(self, conf: cfg.ConfigOpts, timeout_s: float) -> None:
        oslo_messaging = bus.load()
        self._errors = (oslo_messaging.MessagingException,)
        transport = oslo_messaging.get_rpc_transport(conf)
        self._client = oslo_messaging.get_rpc_client(
            transport, _target(conf, oslo_messaging), timeout=timeout_s
        )
        self._timeout_s = timeout_s
        self._transport = transport
        url = oslo_messaging.TransportURL.parse(conf)
        self._hosts = url.hosts
        if url.transport == "rabbit" and not url.hosts:
            raise NoBroker("[DEFAULT] transport_url is required: it names the message broker")
        self._greets = url.transport == "rabbit" and not conf.oslo_messaging_rabbit.ssl
        self._places = threading.BoundedSemaphore(ASKED_AT_ONCE)

    def _reach(self) -> None:
        """Raise `NodeSilent` if no broker is there: oslo.messaging would wait for ever."""
        faults = []
        for each in self._hosts:
            where = (each.hostname, each.port or AMQP_PORT)
            try:
                _greet(where, speaks=self._greets)
            except OSError as fault:
                faults.append(f"{where[0]}:{where[1]}: {fault}")
            else:
                return
        if faults:
            told = "; ".join(faults)
            raise NodeSilent(f"the message broker of transport_url does not answer ({told})")

    def ask(self, host: str | None, question: messages.Question) -> messages.Answer:
        """Ask a node, or any node; raises `NodeSilent`."""
        self._reach()
        client = self._client.prepare(server=host) if host else self._client
        encoded = messages.encode(question)
        try:
            answer = self._in_time(lambda: client.call({}, "ask", question=encoded))
        except self._errors as fault:
            who = f"node {host}" if host else "no orchestrator"
            detail = str(fault).partition("\n")[0] or type(fault).__name__
            text = f"{who} answered over the message broker" if not host else f"{who} is silent"
            raise NodeSilent(f"{text} ({detail})") from fault
        return messages.decode_answer(answer)

    def _in_time(self, call: "typing.Callable[[], str]") -> str:
        """Call in a thread that is left to itself when time is over.

        The library counts the time for an answer, not that for connecting, and a broker may hang
        in the middle.
        """
        if not self._places.acquire(timeout=self._timeout_s):
            raise NodeSilent(f"{ASKED_AT_ONCE} questions wait for the message broker already")
        ended: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

        def run() -> None:
            try:
                ended.put(call())
            except (
                BaseException
            ) as fault:  # the boundary of the thread: raised where it is awaited
                ended.put(fault)
            finally:
                self._places.release()

        threading.Thread(target=run, name="question", daemon=True).start()
        try:
            told = ended.get(timeout=self._timeout_s + SPARE_S)
        except queue.Empty:
            text = f"the message broker does not answer within {self._timeout_s + SPARE_S:g} s"
            raise NodeSilent(text) from None
        if isinstance(told, BaseException):
            raise told
        return told

    def close(self) -> None:
        """Close the connection."""
        self._transport.cleanup()
