"""placement.conf."""

from astara_devcloud import settings
from astara_devcloud.config import ini


def placement_conf(cloud: settings.Settings) -> str:
    """Render Placement's configuration."""
    return ini.render(
        {
            "api": {"auth_strategy": "keystone"},
            "placement_database": ini.database(cloud, "placement"),
            "keystone_authtoken": ini.token_validation(
                cloud, "placement", cloud.credentials.placement
            ),
        }
    )
