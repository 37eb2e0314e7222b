"""The Astara orchestrator: one more supervised service, the last to start."""

from astara_devcloud import readiness, resources, settings
from astara_devcloud.config import orchestrator
from astara_devcloud.services import model

NAME = "astara-orchestrator"


def declare(cloud: settings.Settings) -> model.Service:
    """Declare the orchestrator; its file needs what the bootstrap created."""
    ini = cloud.layout.etc / "orchestrator.ini"

    def files() -> model.Files:
        known = resources.load(cloud.layout.resources)
        rules = cloud.layout.etc / orchestrator.PROVIDER_RULES
        return {
            ini: orchestrator.orchestrator_ini(cloud, known),
            rules: orchestrator.provider_rules(),
        }

    return model.Service(
        name=NAME,
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
            # The supervisor, its workers, the health ticker, the metadata proxy, the API of the
            # operators, and the listener, which also has to be at its queue.
            readiness.process_count(
                str(cloud.layout.root), NAME, minimum=orchestrator.WORKERS + 5
            ),
            readiness.consumer(cloud, orchestrator.QUEUE),
            readiness.consumer(cloud, orchestrator.COMMANDS),
        ),
        stop_grace_s=20.0,
    )
