"""nova.conf for the control services and nova-cpu.conf for the compute service."""

from astara_devcloud import settings
from astara_devcloud.config import ini

COMPUTE_DRIVER = "astara_devcloud.NamespaceDriver"


def nova_conf(cloud: settings.Settings) -> str:
    """Render nova.conf: APIs, conductor, scheduler and nova-manage."""
    return ini.render(
        {
            **_shared(cloud),
            "api": {"auth_strategy": "keystone"},
            "api_database": ini.database(cloud, "nova_api"),
            "database": ini.database(cloud, "nova"),
            "conductor": {"workers": 1},
            # A new compute host becomes usable by itself; bootstrap waits for that.
            "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 10},
            "quota": {"driver": "nova.quota.NoopQuotaDriver"},
        }
    )


def nova_cpu_conf(cloud: settings.Settings) -> str:
    """Render nova-cpu.conf, which must name no database: nova-compute is refused access."""
    return ini.render(_shared(cloud))


def _shared(cloud: settings.Settings) -> dict[str, ini.Section]:
    auth = ini.password_auth(cloud, "nova", cloud.credentials.nova)
    return {
        "DEFAULT": {
            "compute_driver": COMPUTE_DRIVER,
            "my_ip": "127.0.0.1",
            "host": settings.HOST,
            "transport_url": cloud.services_broker_url,
            "state_path": str(cloud.layout.nova),
            "enabled_apis": "osapi_compute",
            "metadata_listen": "127.0.0.1",
            "vif_plugging_timeout": 60,
            "vif_plugging_is_fatal": True,
            # Servers are namespaces that end with the cloud; a warm start brings them back.
            "resume_guests_state_on_host_boot": True,
            # Periodic tasks start at once: the default spreads them over a minute.
            "periodic_fuzzy_delay": 0,
            # Nova deletes a server in its database alone while the heartbeat of its host is late,
            # as after a restart of the broker. The guest is ended by this task, half-hourly else.
            "running_deleted_instance_poll_interval": 30,
            "use_stderr": True,
        },
        "keystone_authtoken": ini.token_validation(cloud, "nova", cloud.credentials.nova),
        "service_user": {"send_service_user_token": True, **auth},
        "placement": auth,
        "glance": {**auth, "endpoint_override": cloud.glance_url},
        "neutron": {
            **auth,
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": cloud.credentials.metadata_proxy,
        },
        "oslo_concurrency": {"lock_path": str(cloud.layout.locks)},
        "oslo_messaging_notifications": ini.notifications(),
        "notifications": {
            "notification_format": "both",
            "notify_on_state_change": "vm_and_task_state",
        },
        "vnc": {"enabled": False},
        "spice": {"enabled": False},
    }
