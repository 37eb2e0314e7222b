"""glance-api.conf: images as files."""

from astara_devcloud import settings
from astara_devcloud.config import ini


def glance_conf(cloud: settings.Settings) -> str:
    """Render Glance's configuration."""
    state = cloud.layout.state
    return ini.render(
        {
            "DEFAULT": {
                "enabled_backends": "fs:file",
                "bind_host": "127.0.0.1",
                "worker_self_reference_url": cloud.glance_url,
                "use_stderr": True,
            },
            "database": ini.database(cloud, "glance"),
            "glance_store": {"default_backend": "fs"},
            "fs": {"filesystem_store_datadir": str(state / "images")},
            "os_glance_staging_store": {"filesystem_store_datadir": str(state / "glance-staging")},
            "os_glance_tasks_store": {"filesystem_store_datadir": str(state / "glance-tasks")},
            "keystone_authtoken": ini.token_validation(cloud, "glance", cloud.credentials.glance),
            "paste_deploy": {
                "flavor": "keystone",
                "config_file": str(cloud.prefix / "etc" / "glance" / "glance-api-paste.ini"),
            },
            "oslo_concurrency": {"lock_path": str(cloud.layout.locks)},
            "oslo_messaging_notifications": {"driver": "noop"},
        }
    )
