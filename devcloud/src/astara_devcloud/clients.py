"""Connections to the cloud for its users: admin, tenant, other (a second tenant), service.

For the bootstrap, the story, tests and faults. Nothing is read from the caller's environment or
clouds.yaml: a stray ``OS_CLOUD`` must never send a test to somebody's real cloud.
"""

import dataclasses
import warnings

# futurist, below the SDK, looks whether eventlet is installed by importing it, and that warns.
# Nothing here uses eventlet.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

import openstack.connection  # noqa: E402

from astara_devcloud import credentials, layout, settings  # noqa: E402


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Login:
    """A user in a project."""

    user: str
    project: str
    password: str


ADMIN = "admin"
TENANT = "tenant"
OTHER = "other"
SERVICE = "service"
NAMES = (ADMIN, TENANT, OTHER, SERVICE)


def login(secrets: credentials.Credentials, name: str) -> Login:
    """Return a user's login by its role in the cloud, one of ``NAMES``."""
    return {
        ADMIN: Login("admin", "admin", secrets.admin),
        TENANT: Login("demo", "demo", secrets.demo),
        OTHER: Login("other", "other", secrets.other),
        SERVICE: Login("astara", settings.SERVICE_PROJECT, secrets.astara),
    }[name]


def connect(name: str, where: layout.Layout | None = None) -> openstack.connection.Connection:
    """Connect as one of ``NAMES``; FileNotFoundError if the cloud was never started."""
    cloud = settings.load(where or layout.current_layout())
    who = login(cloud.credentials, name)
    return openstack.connection.Connection(
        region_name=settings.REGION,
        auth={
            "auth_url": f"{cloud.keystone_url}/v3",
            "username": who.user,
            "password": who.password,
            "project_name": who.project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        app_name="astara-devcloud",
        app_version="1",
    )


def exports(cloud: settings.Settings, name: str) -> dict[str, str]:
    """Return the variables that the OpenStack command line client reads."""
    who = login(cloud.credentials, name)
    return {
        "OS_AUTH_URL": f"{cloud.keystone_url}/v3",
        "OS_USERNAME": who.user,
        "OS_PASSWORD": who.password,
        "OS_PROJECT_NAME": who.project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": settings.REGION,
        "OS_IDENTITY_API_VERSION": "3",
        # No other cloud's file may mix in.
        "OS_CLIENT_CONFIG_FILE": "/dev/null",
    }
