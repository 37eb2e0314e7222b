"""A RabbitMQ of the run's own, and what publishes notifications to it as Neutron does."""

import contextlib
import json
import pathlib
import uuid
from collections.abc import Iterator, Sequence

import kombu
import room
import world

PORT = 35672
URL = f"amqp://guest:guest@127.0.0.1:{PORT}//"
TRANSPORT = f"rabbit://guest:guest@127.0.0.1:{PORT}/"
START_S = 300.0
END_S = 120.0


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[None]:
    """Start the broker, wait until it answers, and end it afterwards."""
    directory.mkdir()
    for name in ("plugins", "env.conf"):
        (directory / name).write_text("[].\n" if name == "plugins" else "")
    (directory / "rabbit.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{PORT}\nlog.console = true\nlog.file = false\n"
    )
    process = room.start(
        ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        directory / "broker.log",
        cwd=directory,  # where it drops a core
        HOME=str(directory),
        ERL_CRASH_DUMP=str(directory / "erl_crash.dump"),
        RABBITMQ_NODENAME="scale@localhost",
        RABBITMQ_CONFIG_FILE=str(directory / "rabbit"),
        RABBITMQ_CONF_ENV_FILE=str(directory / "env.conf"),
        RABBITMQ_MNESIA_BASE=str(directory / "mnesia"),
        RABBITMQ_LOG_BASE=str(directory),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(directory / "plugins"),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +S 2:2",
    )
    try:
        room.wait_until(_answers, "the broker answers", START_S, 0.2)
        yield
    finally:
        process.terminate()
        process.wait(END_S)


def _answers() -> bool:
    try:
        with kombu.Connection(URL, connect_timeout=2) as connection:
            connection.connect()
    except OSError:
        return False
    return True


def notification(event_type: str, tenant_id: str, payload: object) -> dict[str, str]:
    """Wrap a payload as oslo.messaging does."""
    message = {
        "_context_project_id": tenant_id,
        "_unique_id": uuid.uuid4().hex,
        "event_type": event_type,
        "message_id": str(uuid.uuid4()),
        "payload": payload,
        "priority": "INFO",
        "publisher_id": "network.simulated",
        "timestamp": "2026-11-20 21:52:12.304950",
    }
    return {"oslo.version": "2.0", "oslo.message": json.dumps(message)}


def about(router: world.Router, kind: int) -> dict[str, str]:
    """Give one of the notifications that Neutron sends when something of a router changes."""
    tenant_id = world.tenant(router.index)
    if kind % 3 == 0:
        payload = {"router": {"id": router.id, "project_id": tenant_id}}
        return notification("router.update.end", tenant_id, payload)
    if kind % 3 == 1:
        port = {
            "id": world.ident(world.HOST, router.index, 0),
            "network_id": world.network_id(router, 0),
            "device_owner": "compute:nova",
            "description": "",
        }
        return notification("port.update.end", tenant_id, {"port": port})
    subnet = {"id": world.ident(world.SUBNET, router.index, 0)}
    subnet["network_id"] = world.network_id(router, 0)
    return notification("subnet.update.end", tenant_id, {"subnet": subnet})


def publish(messages: Iterator[dict[str, str]] | Sequence[dict[str, str]]) -> None:
    """Publish them, one after the other, to Neutron's exchange."""
    exchange = kombu.Exchange("neutron", type="topic", durable=False)
    with kombu.Connection(URL) as connection:
        # A broker that hundreds of threads keep busy may hang up at first.
        connection.ensure_connection(max_retries=10, interval_start=0.5)
        producer = connection.Producer(exchange=exchange, serializer="json")
        for message in messages:
            producer.publish(message, routing_key="notifications.info")


def waiting() -> int:
    """Count the messages that no listener has taken yet, over all queues of notifications."""
    with kombu.Connection(URL) as connection:
        queue = connection.default_channel.queue_declare(queue="astara.scale", passive=True)
    return int(queue.message_count)
