"""How a service shows that it answers.

A check returns normally when the service answers and raises ``NotReady`` with a reason otherwise;
it never waits. ``supervise`` calls it until it succeeds or a deadline passes, ``status`` once.
"""

import contextlib
import datetime
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import amqp
import pymysql

from astara_devcloud import commands, processes, settings

Check = Callable[[processes.Record], None]
PROBE_TIMEOUT_S = 10.0


class NotReady(Exception):
    """The service does not answer yet; the text says what was seen."""


def http(url: str) -> Check:
    """Ask for any HTTP answer below 500."""

    def check(_record: processes.Record) -> None:
        try:
            with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S):  # noqa: S310 - loopback
                return
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500:
                    return
                raise NotReady(f"{url} answers {error.code}") from error
        except OSError as error:
            raise NotReady(f"{url}: {error}") from error

    return check


def database(cloud: settings.Settings) -> Check:
    """Log in to MariaDB."""

    def check(_record: processes.Record) -> None:
        query(cloud, "mysql", "select 1")

    return check


def query(cloud: settings.Settings, name: str, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement; NotReady if the database or table is not there."""
    try:
        connection = pymysql.connect(
            unix_socket=str(cloud.layout.database_socket),
            user="root",
            database=name,
            connect_timeout=5,
            read_timeout=10,
            autocommit=True,
        )
    except pymysql.Error as error:
        raise NotReady(f"database: {error}") from error
    with contextlib.closing(connection), connection.cursor() as cursor:
        try:
            cursor.execute(sql)
        except pymysql.Error as error:
            raise NotReady(f"database {name}: {error}") from error
        return list(cursor.fetchall())


def broker(cloud: settings.Settings) -> Check:
    """Log in to RabbitMQ as the services do."""

    def check(_record: processes.Record) -> None:
        with _broker_connection(cloud):
            pass

    return check


def consumer(cloud: settings.Settings, queue: str) -> Check:
    """Ask the broker whether somebody consumes an RPC queue."""

    def check(_record: processes.Record) -> None:
        with _broker_connection(cloud) as connection:
            try:
                answer = connection.channel().queue_declare(queue, passive=True)
            except amqp.AMQPError as error:
                raise NotReady(f"queue {queue}: {error}") from error
        if not answer.consumer_count:
            raise NotReady(f"nobody consumes queue {queue}")

    return check


@contextlib.contextmanager
def _broker_connection(cloud: settings.Settings) -> Any:
    connection = amqp.Connection(
        host=f"127.0.0.1:{cloud.ports.amqp}",
        userid="openstack",
        password=cloud.credentials.broker,
        connect_timeout=PROBE_TIMEOUT_S,
        read_timeout=PROBE_TIMEOUT_S,
    )
    try:
        connection.connect()
    except (OSError, amqp.AMQPError) as error:
        raise NotReady(f"broker: {error}") from error
    with contextlib.closing(connection):
        yield connection


def reported(cloud: settings.Settings, name: str, sql: str) -> Check:
    """Ask a database whether the service has reported since it was started.

    ``sql`` must select rows whose heartbeat is at or after ``%s`` (UTC).
    """

    def check(record: processes.Record) -> None:
        since = datetime.datetime.fromtimestamp(int(record.started_at), datetime.UTC)
        if not query(cloud, name, sql.replace("%s", f"'{since:%Y-%m-%d %H:%M:%S}'")):
            raise NotReady("it has not reported since it was started")

    return check


def tcp(port: int) -> Check:
    """Connect to a loopback port."""

    def check(_record: processes.Record) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT_S):
                return
        except OSError as error:
            raise NotReady(f"port {port}: {error}") from error

    return check


def command(*argv: str) -> Check:
    """Run a program that ends with status 0 when the service answers."""

    def check(_record: processes.Record) -> None:
        try:
            commands.run(argv, timeout_s=PROBE_TIMEOUT_S)
        except commands.CommandError as error:
            raise NotReady(str(error)) from error

    return check


def process_count(owner: str, service: str, minimum: int) -> Check:
    """Count the service's processes: for one that answers nobody but has working children."""

    def check(_record: processes.Record) -> None:
        found = len(processes.members(owner, service))
        if found < minimum:
            raise NotReady(f"{found} of {minimum} processes")

    return check


def every(*checks: Check) -> Check:
    """Combine checks."""

    def check(record: processes.Record) -> None:
        for one in checks:
            one(record)

    return check
