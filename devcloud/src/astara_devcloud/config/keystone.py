"""keystone.conf."""

from astara_devcloud import settings
from astara_devcloud.config import ini


def keystone_conf(cloud: settings.Settings) -> str:
    """Render Keystone's configuration."""
    return ini.render(
        {
            "DEFAULT": {"use_stderr": True, "notification_driver": "noop"},
            "database": ini.database(cloud, "keystone"),
            "token": {"provider": "fernet"},
            "fernet_tokens": {"key_repository": str(cloud.layout.state / "fernet")},
            "credential": {"key_repository": str(cloud.layout.state / "credential")},
            "oslo_policy": {"enforce_new_defaults": True},
            # The lowest cost that bcrypt has: every login of every service pays for it, and these
            # passwords are 128 random bits, which no number of rounds makes harder to guess.
            "identity": {"password_hash_rounds": 4},
        }
    )
