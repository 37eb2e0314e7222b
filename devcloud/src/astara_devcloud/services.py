"""The table of services: what each is, how it starts, what it needs, how it shows that it answers.

Declares only. ``supervise`` starts and stops what is declared here; ``lifecycle`` joins it with
the set-up steps of ``schema``, ``bootstrap``, ``openvswitch`` and ``outside``, whose names appear
in ``needs``.
"""

import dataclasses
import hashlib
import pathlib
import signal
from collections.abc import Callable, Mapping

from astara_devcloud import (
    commands,
    openvswitch,
    outside,
    processes,
    readiness,
    resources,
    settings,
)
from astara_devcloud.config import (
    glance,
    keystone,
    neutron,
    nova,
    orchestrator,
    placement,
    rabbitmq,
    wsgi,
)

ORCHESTRATOR = "astara-orchestrator"
ALIASES = {"orchestrator": ORCHESTRATOR}

Files = Mapping[pathlib.Path, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One long-running program. ``files`` is called at each start and must be cheap."""

    name: str
    argv: tuple[str, ...]
    ready: readiness.Check
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Callable[[], Files] = dict
    ports: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15.0
    ready_timeout_s: float = 180.0


def declare(cloud: settings.Settings) -> dict[str, Service]:
    """Return every service by name, in the order in which ``status`` shows them."""
    table = (
        *_infrastructure(cloud),
        *_apis(cloud),
        *_network_services(cloud),
        *_compute_services(cloud),
        *_outside_services(cloud),
        _orchestrator(cloud),
    )
    return {service.name: service for service in table}


def environment(cloud: settings.Settings, service: Service) -> dict[str, str]:
    """Return a service's whole environment: nothing of the caller's leaks into it."""
    return {
        "PATH": f"{cloud.bin}:{commands.SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "PYTHONUNBUFFERED": "1",
        "OVS_RUNDIR": str(cloud.layout.openvswitch),
        # setproctitle would overwrite the environment block by which processes are recognised.
        "SPT_NOENV": "1",
        processes.OWNER_VARIABLE: str(cloud.layout.root),
        processes.SERVICE_VARIABLE: service.name,
        **service.env,
    }


def fingerprint(cloud: settings.Settings, service: Service) -> str:
    """Digest everything a running process was started with, to notice an outdated one."""
    parts = [*service.argv, *(f"{k}={v}" for k, v in sorted(environment(cloud, service).items()))]
    for path, text in sorted(service.files().items()):
        parts += [str(path), text]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _infrastructure(cloud: settings.Settings) -> tuple[Service, ...]:
    layout, etc = cloud.layout, cloud.layout.etc
    return (
        Service(
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
        Service(
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


def _api(
    cloud: settings.Settings,
    name: str,
    application: wsgi.Application,
    *,
    env: Mapping[str, str],
    files: Callable[[], Files],
    needs: tuple[str, ...],
) -> Service:
    ini = cloud.layout.etc / f"uwsgi-{name}.ini"
    return Service(
        name=name,
        argv=(str(cloud.bin / "uwsgi"), "--ini", str(ini)),
        env=env,
        files=lambda: {ini: wsgi.uwsgi_ini(cloud, application), **files()},
        ports=(application.port,),
        needs=needs,
        ready=readiness.http(f"http://127.0.0.1:{application.port}/"),
        stop_grace_s=5.0,
    )


def _apis(cloud: settings.Settings) -> tuple[Service, ...]:
    etc = cloud.layout.etc
    ports = cloud.ports
    nova_env = {"OS_NOVA_CONFIG_DIR": str(etc)}
    return (
        _api(
            cloud,
            "keystone",
            wsgi.Application("keystone.wsgi.api", ports.keystone, threads=4),
            env={"OS_KEYSTONE_CONFIG_FILES": str(etc / "keystone.conf")},
            files=lambda: {etc / "keystone.conf": keystone.keystone_conf(cloud)},
            needs=("keystone schema",),
        ),
        _api(
            cloud,
            "placement",
            wsgi.Application("placement.wsgi.api", ports.placement, threads=4),
            env={"OS_PLACEMENT_CONFIG_DIR": str(etc)},
            files=lambda: {etc / "placement.conf": placement.placement_conf(cloud)},
            needs=("placement schema",),
        ),
        _api(
            cloud,
            "glance",
            wsgi.Application("glance.wsgi.api", ports.glance, threads=4),
            env={"OS_GLANCE_CONFIG_DIR": str(etc)},
            files=lambda: {etc / "glance-api.conf": glance.glance_conf(cloud)},
            needs=("glance schema",),
        ),
        _api(
            cloud,
            "neutron-api",
            wsgi.Application("neutron.wsgi.api", ports.neutron, threads=10),
            env={
                "OS_NEUTRON_CONFIG_DIR": str(etc),
                "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
            },
            files=lambda: {etc / "neutron.conf": neutron.neutron_conf(cloud)},
            needs=("neutron schema", "rabbitmq"),
        ),
        _api(
            cloud,
            "nova-api",
            wsgi.Application("nova.wsgi.osapi_compute", ports.nova, threads=8),
            env=nova_env,
            files=lambda: _nova_files(cloud),
            needs=("nova schema", "rabbitmq"),
        ),
        _api(
            cloud,
            "nova-metadata",
            wsgi.Application("nova.wsgi.metadata", ports.nova_metadata, threads=6),
            env=nova_env,
            files=lambda: _nova_files(cloud),
            needs=("nova schema", "rabbitmq"),
        ),
    )


def _nova_files(cloud: settings.Settings) -> Files:
    paste = (cloud.prefix / "etc" / "nova" / "api-paste.ini").read_text()
    etc = cloud.layout.etc
    return {etc / "nova.conf": nova.nova_conf(cloud), etc / "api-paste.ini": paste}


def _network_services(cloud: settings.Settings) -> tuple[Service, ...]:
    etc = cloud.layout.etc
    owner = str(cloud.layout.root)
    conf = etc / "neutron.conf"
    agent = etc / "openvswitch-agent.conf"

    def files() -> Files:
        return {conf: neutron.neutron_conf(cloud)}

    return (
        Service(
            name="neutron-rpc",
            argv=(str(cloud.bin / "neutron-rpc-server"), "--config-file", str(conf)),
            files=files,
            needs=("neutron schema", "rabbitmq"),
            ready=readiness.consumer(cloud, "q-plugin"),
            stop_grace_s=5.0,
        ),
        Service(
            name="neutron-periodic",
            argv=(str(cloud.bin / "neutron-periodic-workers"), "--config-file", str(conf)),
            files=files,
            needs=("neutron schema", "rabbitmq"),
            ready=readiness.process_count(owner, "neutron-periodic", minimum=2),
            stop_grace_s=5.0,
        ),
        *openvswitch_services(cloud),
        Service(
            name="neutron-openvswitch-agent",
            argv=(str(cloud.bin / "neutron-openvswitch-agent"), "--config-file", str(agent)),
            files=lambda: {agent: neutron.agent_conf(cloud)},
            ports=(cloud.ports.openflow,),
            needs=("bridges", "neutron-rpc"),
            ready=readiness.reported(
                cloud,
                "neutron",
                "select 1 from agents where `binary` = 'neutron-openvswitch-agent'"
                " and started_at >= %s and heartbeat_timestamp >= %s",
            ),
            # After SIGTERM it lives on for minutes and keeps the OpenFlow port.
            stop_signal=signal.SIGKILL,
        ),
    )


def openvswitch_services(cloud: settings.Settings) -> tuple[Service, ...]:
    """Declare Open vSwitch: its database server and its userspace datapath."""
    run = cloud.layout.openvswitch
    return (
        Service(
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
        Service(
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


def _compute_services(cloud: settings.Settings) -> tuple[Service, ...]:
    etc = cloud.layout.etc
    cpu = etc / "nova-cpu.conf"
    return (
        *(
            Service(
                name=f"nova-{role}",
                argv=(
                    str(cloud.bin / f"nova-{role}"),
                    "--config-file",
                    str(etc / "nova.conf"),
                ),
                files=lambda: _nova_files(cloud),
                needs=("nova schema", "rabbitmq", "identity"),
                ready=readiness.consumer(cloud, role),
                stop_grace_s=3.0,
            )
            for role in ("conductor", "scheduler")
        ),
        Service(
            name="nova-compute",
            argv=(str(cloud.bin / "astara-devcloud-compute"), "--config-file", str(cpu)),
            files=lambda: {cpu: nova.nova_cpu_conf(cloud)},
            needs=("nova-conductor", "placement", "neutron-api", "identity", "bridges"),
            ready=readiness.every(
                readiness.consumer(cloud, f"compute.{settings.HOST}"),
                readiness.reported(
                    cloud,
                    "nova",
                    "select 1 from services s join compute_nodes n on n.host = s.host"
                    " where s.`binary` = 'nova-compute' and n.deleted = 0"
                    " and s.last_seen_up >= %s",
                ),
            ),
            stop_grace_s=15.0,
        ),
    )


def _outside_services(cloud: settings.Settings) -> tuple[Service, ...]:
    return (
        Service(
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
        Service(
            name="outside-dns",
            argv=(*outside.ENTER, *outside.dns_argv()),
            needs=("outside network",),
            ready=readiness.command(*outside.ENTER, "nc", "-z", outside.GATEWAY_V4, "53"),
            stop_grace_s=2.0,
        ),
    )


def _orchestrator(cloud: settings.Settings) -> Service:
    ini = cloud.layout.etc / "orchestrator.ini"

    def files() -> Files:
        known = resources.load(cloud.layout.resources)
        return {ini: orchestrator.orchestrator_ini(cloud, known)}

    return Service(
        name=ORCHESTRATOR,
        argv=(str(cloud.bin / "astara-orchestrator"), "--config-file", str(ini)),
        files=files,
        needs=(
            "resources",
            "rabbitmq",
            "nova-metadata",
            "nova-compute",
            "neutron-openvswitch-agent",
        ),
        ready=readiness.every(
            # The supervisor, its workers, the health ticker, the metadata proxy, and the listener,
            # which also has to be at its queue.
            readiness.process_count(
                str(cloud.layout.root), ORCHESTRATOR, minimum=orchestrator.WORKERS + 4
            ),
            readiness.consumer(cloud, orchestrator.QUEUE),
        ),
        stop_grace_s=20.0,
    )
