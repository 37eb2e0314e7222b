"""INI text from mappings, and the sections that several OpenStack services share."""

from collections.abc import Mapping

from astara_devcloud import settings

Value = str | int | bool
Section = Mapping[str, Value]
Document = Mapping[str, Section]


def render(document: Document) -> str:
    """Render sections in the given order. Values must not hold line breaks."""
    lines: list[str] = []
    for name, options in document.items():
        lines.append(f"[{name}]")
        for key, value in options.items():
            text = str(value)
            if "\n" in text:
                raise ValueError(f"[{name}] {key} holds a line break")
            lines.append(f"{key} = {text.lower() if isinstance(value, bool) else text}")
        lines.append("")
    return "\n".join(lines)


def password_auth(cloud: settings.Settings, user: str, password: str) -> dict[str, Value]:
    """Return the keystoneauth options with which a service user logs in."""
    return {
        "auth_type": "password",
        "auth_url": cloud.keystone_url,
        "username": user,
        "password": password,
        "project_name": settings.SERVICE_PROJECT,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": settings.REGION,
    }


def token_validation(cloud: settings.Settings, user: str, password: str) -> dict[str, Value]:
    """Return the [keystone_authtoken] options of an API service."""
    return {
        **password_auth(cloud, user, password),
        "www_authenticate_uri": cloud.keystone_url,
        "service_token_roles_required": True,
    }


def database(cloud: settings.Settings, name: str) -> dict[str, Value]:
    """Return a [database] section; the pool is small because every service has its own."""
    return {
        "connection": cloud.database_url(name),
        "max_pool_size": 10,
        "max_overflow": 20,
        "connection_recycle_time": 600,
    }


def notifications() -> dict[str, Value]:
    """Return the section that publishes notifications where the orchestrator listens."""
    return {"driver": "messagingv2", "topics": "notifications"}
