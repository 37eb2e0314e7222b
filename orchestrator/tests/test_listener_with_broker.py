"""The listener as a process, against a RabbitMQ of its own that comes and goes."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid

import kombu
import pytest

from astara import events, inbox
from astara.machine.vocabulary import Action

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not pathlib.Path("/usr/lib/rabbitmq/bin").is_dir(), reason="no RabbitMQ"),
]

DEADLINE_S = 90.0
RECORDED = pathlib.Path(__file__).parent / "data" / "notifications" / "router.update.end.json"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)
    return value


def descendants(pid):
    """Give all processes below one, nearest first."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = path.read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                child = int(path.parent.name)
                found += [child, *descendants(child)]
    return found


class Broker:
    """A RabbitMQ on free ports that keeps its data in a directory."""

    def __init__(self, root):
        self.root = root
        self.port, distribution, self.epmd_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.process = None
        (root / "plugins").write_text("[].\n")
        (root / "env.conf").write_text("")
        (root / "rabbit.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = true\nlog.file = false\n"
        )
        self.environment = {
            **os.environ,
            "HOME": str(root),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(root / "rabbit"),
            "RABBITMQ_CONF_ENV_FILE": str(root / "env.conf"),
            "RABBITMQ_MNESIA_BASE": str(root / "mnesia"),
            "RABBITMQ_LOG_BASE": str(root),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(root / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 2:2"
            ),
        }

    def start(self):
        with (self.root / "broker.log").open("a") as log:
            self.process = subprocess.Popen(
                ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self.answers, "the broker answers")

    def answers(self):
        try:
            with kombu.Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def publish(self, generation):
        notification = json.loads(RECORDED.read_text())
        notification["payload"]["router"]["id"] = f"router-{generation}"
        notification["_unique_id"] = uuid.uuid4().hex  # else it is taken for a repetition
        body = {"oslo.version": "2.0", "oslo.message": json.dumps(notification)}
        exchange = kombu.Exchange("neutron", type="topic", durable=False)
        with kombu.Connection(self.url) as connection:
            producer = connection.Producer(exchange=exchange, serializer="json")
            producer.publish(body, routing_key="notifications.info")

    def stop(self):
        if self.process is None:
            return
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process = None
        wait_until(lambda: not self.answers(), "the broker is gone")

    def clean(self):
        self.stop()
        epmd = shutil.which("epmd")
        if epmd:  # it outlives its node; this one, on a port of its own, is ours to end
            command = [epmd, "-port", str(self.epmd_port), "-kill"]
            subprocess.run(command, check=False, timeout=20, capture_output=True)


class Listener:
    """The child process, and the sockets to which it speaks."""

    def __init__(self, root, broker):
        self.config = root / "orchestrator.ini"
        self.config.write_text(
            f"[DEFAULT]\nhost = node-1\nstate_path = {root / 'state'}\nnum_worker_processes = 1\n"
            f"transport_url = rabbit://guest:guest@127.0.0.1:{broker.port}/\n"
        )
        self.log = root / "listener.log"
        self.got, self.asked, self.process = [], [], None
        run = root / "state" / "run"
        self.boxes = [
            inbox.Inbox(run / "worker-00.sock", self.got.append),
            inbox.Inbox(run / "health.sock", self.asked.append),
        ]
        for box in self.boxes:
            box.start()

    def start(self):
        command = [sys.executable, "-m", "astara.cmd.child", "listener", "0"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--config-file", str(self.config)], stdout=log, stderr=log
            )

    def heard_of(self, generation):
        return any(
            isinstance(one, events.Event)
            and one.resource.id == f"router-{generation}"
            and one.action is Action.UPDATE
            for one in self.got
        )

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)

    def clean(self):
        self.kill()
        for box in self.boxes:
            box.close()


@pytest.fixture
def broker(tmp_path):
    one = Broker(tmp_path)
    try:
        yield one
    finally:
        one.clean()


@pytest.fixture
def listener(tmp_path, broker):
    one = Listener(tmp_path, broker)
    try:
        yield one
    except BaseException:
        sys.stderr.write(one.log.read_text()[-4000:])
        raise
    finally:
        one.clean()


def test_the_listener_outlives_the_broker_and_the_queue_outlives_the_listener(broker, listener):
    listener.start()  # long before the broker is there
    wait_until(lambda: "listener.started" in listener.log.read_text(), "the listener runs")
    broker.start()

    def published_and_heard():
        broker.publish("first")
        return listener.heard_of("first")

    wait_until(published_and_heard, "a broker that came later is found")

    listener.kill()
    broker.publish("while-away")
    listener.start()
    wait_until(lambda: listener.heard_of("while-away"), "what came meanwhile is read")

    listener.asked.clear()
    broker.stop()
    broker.start()
    wait_until(lambda: listener.asked, "an audit is asked for when the broker is back")
    assert isinstance(listener.asked[0], events.AuditRequest)

    def published_again_and_heard():
        broker.publish("again")
        return listener.heard_of("again")

    wait_until(published_again_and_heard, "it listens again")

    listener.process.terminate()
    assert listener.process.wait(timeout=10) == 0
