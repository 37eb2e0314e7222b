"""orchestrator.ini: what the orchestrator is told about this cloud."""

import json

from astara_devcloud import outside, resources, settings
from astara_devcloud.config import ini

WORKERS = 2
# oslo.messaging names a listener's queue after its pool, the orchestrator its pool after its host.
QUEUE = f"astara.{settings.HOST}"
# The queue of astara-ctl's commands to this node.
COMMANDS = f"astara-operator.{settings.HOST}"
PROVIDER_RULES = "provider_rules.json"
PROVIDER_LABEL = "the-internet"


def provider_rules() -> str:
    """Return what all appliances count besides: what goes to the far side of the internet."""
    networks = [f"{outside.SERVER_V4}/32", f"{outside.SERVER_V6}/128"]
    return json.dumps({"labels": {PROVIDER_LABEL: networks}}) + "\n"


def orchestrator_ini(cloud: settings.Settings, known: resources.Resources) -> str:
    """Render the orchestrator's configuration from what the bootstrap created."""
    credentials = cloud.credentials
    return ini.render(
        {
            "DEFAULT": {
                "host": settings.HOST,
                "transport_url": cloud.orchestrator_broker_url,
                "num_worker_processes": WORKERS,
                "num_worker_threads": 8,
                "health_check_period": 10,
                "boot_timeout": 120,
                "hotplug_timeout": 30,
                "error_state_cooldown": 10,
                "alive_timeout": 3,
                "config_timeout": 30,
                "management_network_id": known.management_network_id,
                "management_subnet_id": known.management_subnet_id,
                "interface_driver": "openvswitch",
                "ovs_integration_bridge": settings.INTEGRATION_BRIDGE,
                "ssh_public_key": f"{cloud.layout.ssh_key}.pub",
                "nova_metadata_ip": "127.0.0.1",
                "nova_metadata_port": cloud.ports.nova_metadata,
                "astara_metadata_port": 9697,
                "metadata_proxy_shared_secret": credentials.metadata_proxy,
                "metrics_token": credentials.metrics,
                "dns_forwarders": outside.GATEWAY_V4,
                "dns_domain": settings.DNS_DOMAIN.rstrip("."),
                "auth_region": settings.REGION,
                "state_path": str(cloud.layout.state / "astara"),
                "use_stderr": True,
            },
            "router": {
                "image_uuid": known.appliance_image_id,
                "instance_flavor": known.appliance_flavor_id,
                "mgt_service_port": 5000,
                "functions": "ipsec,prefix-delegation",
                "provider_rules_path": str(cloud.layout.etc / PROVIDER_RULES),
            },
            "keystone_authtoken": ini.password_auth(cloud, "astara", credentials.astara),
            "audit": {"interval": 30},
        }
    )
