"""The services that work behind the APIs: Neutron's RPC and agent, Nova's conductor and below."""

import signal

from astara_devcloud import readiness, settings
from astara_devcloud.config import neutron, nova
from astara_devcloud.services import apis, model


def network(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare what moves Neutron's ports."""
    etc = cloud.layout.etc
    owner = str(cloud.layout.root)
    conf = etc / "neutron.conf"
    agent = etc / "openvswitch-agent.conf"

    def files() -> model.Files:
        return {conf: neutron.neutron_conf(cloud)}

    return (
        model.Service(
            name="neutron-rpc",
            argv=(str(cloud.bin / "neutron-rpc-server"), "--config-file", str(conf)),
            files=files,
            needs=("neutron schema", "rabbitmq"),
            ready=readiness.consumer(cloud, "q-plugin"),
            stop_grace_s=5.0,
        ),
        model.Service(
            name="neutron-periodic",
            argv=(str(cloud.bin / "neutron-periodic-workers"), "--config-file", str(conf)),
            files=files,
            needs=("neutron schema", "rabbitmq"),
            ready=readiness.process_count(owner, "neutron-periodic", minimum=2),
            stop_grace_s=5.0,
        ),
        model.Service(
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


def compute(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare what boots Nova's servers."""
    etc = cloud.layout.etc
    cpu = etc / "nova-cpu.conf"
    return (
        *(
            model.Service(
                name=f"nova-{role}",
                argv=(
                    str(cloud.bin / f"nova-{role}"),
                    "--config-file",
                    str(etc / "nova.conf"),
                ),
                files=lambda: apis.nova_files(cloud),
                needs=("nova schema", "rabbitmq", "identity"),
                ready=readiness.consumer(cloud, role),
                stop_grace_s=3.0,
            )
            for role in ("conductor", "scheduler")
        ),
        model.Service(
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
