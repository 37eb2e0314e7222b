"""`/v2.0/astara-routers`: what an appliance needs to know about its router, and all generations.

Read-only. The list has routers with generations by pages, cheap enough for an audit; a single
router comes with ports, networks, allocations and floating IPs. Neutron's API layer does paging,
filters, `fields` and policy from the attribute map below; the plug-in answers.
"""

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions
from neutron_lib.plugins import constants

from astara_neutron.extensions import ROUTERS_ALIAS

COLLECTION = "astara_routers"


def _shown(**more: Any) -> dict[str, Any]:
    return {"allow_post": False, "allow_put": False, "is_visible": True, **more}


ATTRIBUTES = {
    COLLECTION: {
        "id": _shown(
            primary_key=True, is_filter=True, is_sort_key=True, validate={"type:uuid": None}
        ),
        "project_id": _shown(is_filter=True, required_by_policy=True),
        "generation": _shown(),
        "ha": _shown(),
        "admin_state_up": _shown(),
        "status": _shown(),
        "flavor_id": _shown(),
        "name": _shown(),
        "enable_snat": _shown(),
        "routes": _shown(),
        "ports": _shown(),
        "networks": _shown(),
        "floatingips": _shown(),
    }
}


class Astara_router(extensions.ExtensionDescriptor):  # noqa: N801 - Neutron derives it from the file
    """Routers as appliances see them."""

    @classmethod
    def get_name(cls) -> str:
        """Return the name that `openstack extension list` shows."""
        return "Astara routers"

    @classmethod
    def get_alias(cls) -> str:
        """Return the alias by which clients detect the extension."""
        return ROUTERS_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Return a description for people."""
        return "Everything an Astara appliance needs to know about its router, and generations"

    @classmethod
    def get_updated(cls) -> str:
        """Return when the extension last changed its shape."""
        return "2026-11-20T00:00:00-00:00"

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the collection, answered by the router plug-in."""
        plural = resource_helper.build_plural_mappings({}, ATTRIBUTES)
        resources: list[Any] = resource_helper.build_resource_info(
            plural, ATTRIBUTES, constants.L3, translate_name=True, register_quota=False
        )
        return resources

    def get_extended_resources(self, version: str) -> dict[str, Any]:
        """Return the attribute map, which the API layer needs to filter and to show."""
        return ATTRIBUTES if version == "2.0" else {}
