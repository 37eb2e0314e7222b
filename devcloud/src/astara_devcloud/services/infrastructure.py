"""What OpenStack stands on: database, broker, Open vSwitch, and the internet outside."""

from astara_devcloud import openvswitch, outside, readiness, settings
from astara_devcloud.config import rabbitmq
from astara_devcloud.services import model


def stores(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare the database server and the message broker."""
    layout, etc = cloud.layout, cloud.layout.etc
    return (
        model.Service(
            name="mariadb",
            needs=("mariadb data",),
            argv=(
                "mariadbd",
                "--no-defaults",
                "--user=root",
                f"--datadir={layout.state / 'mysql'}",
                f"--socket={layout.database_socket}",
                f"--pid-file={layout.run / 'mariadbd.pid'}",
                "--skip-networking",
                "--skip-log-bin",
                # The data need not survive a power cut: speed before durability.
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0",
                "--innodb-buffer-pool-size=128M",
                "--max-connections=400",
                "--performance-schema=off",
                "--character-set-server=utf8mb3",
            ),
            ready=readiness.database(cloud),
            stop_grace_s=30.0,
        ),
        model.Service(
            name="rabbitmq",
            argv=("/usr/lib/rabbitmq/bin/rabbitmq-server",),
            env=rabbitmq.environment(cloud),
            files=lambda: {
                etc / "rabbitmq.conf": rabbitmq.rabbitmq_conf(cloud),
                etc / "rabbitmq-env.conf": f"NODENAME={rabbitmq.NODE}\n",
                etc / "rabbitmq-definitions.json": rabbitmq.definitions_json(cloud),
                etc / "rabbitmq-plugins": "[].\n",
            },
            ports=(cloud.ports.amqp, cloud.ports.amqp_distribution, cloud.ports.epmd),
            ready=readiness.broker(cloud),
            stop_grace_s=30.0,
        ),
    )


def switch(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare Open vSwitch: its database server and its userspace datapath."""
    run = cloud.layout.openvswitch
    return (
        model.Service(
            name="ovsdb",
            argv=(
                "ovsdb-server",
                str(openvswitch.database_path(cloud.layout)),
                f"--remote=punix:{run / 'db.sock'}",
                f"--remote=ptcp:{cloud.ports.ovsdb}:127.0.0.1",
                f"--unixctl={run / 'ovsdb.ctl'}",
            ),
            needs=("openvswitch database",),
            ports=(cloud.ports.ovsdb,),
            ready=readiness.command("ovs-appctl", "-t", str(run / "ovsdb.ctl"), "version"),
            stop_grace_s=5.0,
        ),
        model.Service(
            name="ovs-vswitchd",
            argv=(
                "ovs-vswitchd",
                f"unix:{run / 'db.sock'}",
                "--disable-system",
                f"--unixctl={run / 'vswitchd.ctl'}",
            ),
            needs=("ovsdb",),
            ready=readiness.command("ovs-appctl", "-t", str(run / "vswitchd.ctl"), "version"),
            stop_grace_s=5.0,
        ),
    )


def internet(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare what answers in the namespace that plays the internet."""
    return (
        model.Service(
            name="outside-http",
            argv=(
                *outside.ENTER,
                str(cloud.bin / "python"),
                "-P",
                "-m",
                "astara_devcloud.outside_http",
            ),
            needs=("outside network",),
            ready=readiness.command(*outside.ENTER, "nc", "-z", outside.SERVER_V4, "80"),
            stop_grace_s=2.0,
        ),
        model.Service(
            name="outside-dns",
            argv=(*outside.ENTER, *outside.dns_argv()),
            needs=("outside network",),
            ready=readiness.command(*outside.ENTER, "nc", "-z", outside.GATEWAY_V4, "53"),
            stop_grace_s=2.0,
        ),
    )
