"""`PUT /v2.0/dhrouterstatus/<router id>`: the orchestrator reports what it serves.

Alias, path and body are the seed's; `ports` and `floatingips` are new. A controller of its own
rather than a resource with attributes: reports come often, and Neutron announces every update of a
resource twice on the notification bus, where nobody wants these.
"""

from typing import Any

import webob.exc
from neutron import policy
from neutron.api import extensions as neutron_extensions
from neutron.api import wsgi
from neutron.api.v2 import resource
from neutron_lib import exceptions
from neutron_lib.api import extensions, faults
from neutron_lib.plugins import constants, directory

from astara_neutron import policies, status
from astara_neutron.extensions import STATUS_ALIAS


class StatusController(wsgi.Controller):
    """Checks a report and hands it to the router plug-in."""

    def update(self, request: Any, id: str, body: Any = None) -> dict[str, Any]:  # noqa: A002
        """Apply the report; 400 names what is wrong with it, 404 says there is no such router."""
        policy.enforce(request.context, policies.UPDATE_STATUS, {}, pluralized="routerstatuses")
        try:
            report = status.parse_report(body)
        except status.BadReportError as error:
            raise exceptions.InvalidInput(error_message=str(error)) from error
        plugin = directory.get_plugin(constants.L3)
        plugin.update_routerstatus(request.context, id, report)
        return {"routerstatus": {**body["routerstatus"], "id": id}}

    def _not_allowed(self, **_request: Any) -> None:
        raise webob.exc.HTTPMethodNotAllowed("Statuses can only be reported, by PUT")

    # Neutron routes these as well; without them it would answer 500 and log a traceback.
    index = show = create = delete = _not_allowed


class Dhrouterstatus(extensions.ExtensionDescriptor):
    """Status reports of routers, their ports and floating IPs."""

    @classmethod
    def get_name(cls) -> str:
        """Return the name that `openstack extension list` shows."""
        return "Astara router status"

    @classmethod
    def get_alias(cls) -> str:
        """Return the alias by which clients detect the extension."""
        return STATUS_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Return a description for people."""
        return "Lets the Astara orchestrator report what its appliances serve"

    @classmethod
    def get_updated(cls) -> str:
        """Return when the extension last changed its shape."""
        return "2026-11-20T00:00:00-00:00"

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the collection; it has no list, only reports on single routers."""
        controller = resource.Resource(StatusController(), faults.FAULT_MAP)
        return [neutron_extensions.ResourceExtension(STATUS_ALIAS, controller)]
