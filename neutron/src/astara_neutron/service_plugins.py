"""Neutron's plug-ins for port forwardings, conntrack helpers and metering, beside our router
plug-in.

The stock classes ask for the stock router plug-in, which Neutron then loads as well, push each
change to agents, of which there are none, and read routers as objects that know no status BUILD.
Beyond that nothing is changed: appliances learn of all by the `astara_router` extension. Loaded by
Neutron as `service_plugins = astara_port_forwarding,astara_conntrack_helper,astara_metering`.
"""

from typing import Any

from neutron.api.rpc.agentnotifiers import utils as notifiers
from neutron.services.conntrack_helper import plugin as conntrack_helper
from neutron.services.metering import metering_plugin
from neutron.services.portforwarding import constants as forwarding_constants
from neutron.services.portforwarding import pf_plugin
from neutron_lib.callbacks import events, registry
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exceptions

from . import status
from .queries import statuses

_ROUTER_PLUGIN = "astara_router"


@registry.has_registry_receivers
class PortForwardingPlugin(pf_plugin.PortForwardingPlugin):
    """Port forwardings of floating IPs that appliances serve."""

    required_service_plugins = (_ROUTER_PLUGIN,)
    _rpc_notifications_required = False

    # The API layer looks these up under the mangled name of exactly this class.
    __native_pagination_support = True
    __native_sorting_support = True

    @registry.receives(forwarding_constants.PORT_FORWARDING, [events.AFTER_DELETE])
    def _unserved(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        """Show a floating IP DOWN that its last port forwarding has left."""
        gone = payload.latest_state
        with db_api.CONTEXT_WRITER.using(payload.context):
            left = statuses.forwarded(payload.context.session, gone.floatingip_id)
            if not left:
                statuses.set_floatingips(
                    payload.context.session, [gone.floatingip_id], status.DOWN
                )


class ConntrackHelperPlugin(conntrack_helper.Plugin):
    """Conntrack helpers of routers that appliances serve."""

    required_service_plugins = (_ROUTER_PLUGIN,)

    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        super().__init__()
        self.push_api = notifiers.RPCNotifierHandler()  # answers everything by doing nothing

    def get_router(self, context: Any, router_id: str, fields: object = None) -> None:
        """Raise RouterNotFound if there is no such router: the stock class wants no more."""
        del fields
        if not statuses.router_exists(context.session, router_id):
            raise l3_exceptions.RouterNotFound(router_id=router_id)


class MeteringPlugin(metering_plugin.MeteringPlugin):
    """Metering labels that appliances count."""

    def __init__(self) -> None:
        # Not the stock class's own: it starts a worker that listens to agents.
        super(metering_plugin.MeteringPlugin, self).__init__()
        self.meter_rpc = notifiers.RPCNotifierHandler()

    def get_sync_data_metering(self, context: Any, label_id: str | None = None) -> list[Any]:
        """Return what agents would be told: nothing."""
        del context, label_id
        return []

    def get_sync_data_for_rule(self, context: Any, rule: Any) -> list[Any]:
        """Return what agents would be told: nothing."""
        del context, rule
        return []
