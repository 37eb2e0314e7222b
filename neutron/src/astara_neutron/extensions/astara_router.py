"""`/v2.0/astara-routers`: what an appliance needs to know about its router, and all generations.

Read-only. The list has routers with generations by pages, cheap enough for an audit; a single
router comes with ports, networks, allocations and floating IPs. Neutron's API layer does paging,
filters, `fields` and policy from the attribute map below; the plug-in answers.
"""

from typing import Any

from neutron import policy
from neutron.api import extensions as neutron_extensions
from neutron.api.v2 import base, resource
from neutron_lib.api import extensions, faults
from neutron_lib.plugins import constants, directory

from astara_neutron import policies
from astara_neutron.extensions import ROUTERS_ALIAS

COLLECTION = "astara_routers"
RESOURCE = "astara_router"


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
        "gateway_rate_limits": _shown(),
        "conntrack_helpers": _shown(),
        "metering_labels": _shown(),
        "ipsec_site_connections": _shown(),
        "bgp_speakers": _shown(),
    }
}


class RouterController(base.Controller):
    """Neutron's controller, but it asks the policy once for a list and not for each item of it.

    The rule does not depend on whose router it is, and the items of an audit are many: asking for
    each takes twice as long as reading all of them.
    """

    def index(self, request: Any, **_arguments: Any) -> Any:
        """Answer a page; 403 for those who may not see all of it."""
        policy.enforce(request.context, policies.GET_ROUTER, {}, pluralized=COLLECTION)
        return self._items(request, do_authz=False)


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
        attributes = ATTRIBUTES[COLLECTION]
        controller = RouterController(
            directory.get_plugin(constants.L3),
            COLLECTION,
            RESOURCE,
            attributes,
            allow_pagination=True,
            allow_sorting=True,
        )
        answering = resource.Resource(controller, faults.FAULT_MAP)
        path = COLLECTION.replace("_", "-")
        return [neutron_extensions.ResourceExtension(path, answering, attr_map=attributes)]

    def get_extended_resources(self, version: str) -> dict[str, Any]:
        """Return the attribute map, which the API layer needs to filter and to show."""
        return ATTRIBUTES if version == "2.0" else {}
