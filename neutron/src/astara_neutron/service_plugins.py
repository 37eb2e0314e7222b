"""Neutron's plug-ins for port forwardings, conntrack helpers, metering and QoS, beside our router
plug-in.

The stock classes ask for the stock router plug-in, which Neutron then loads as well, push each
change to agents, of which there are none, and read routers as objects that know no status BUILD.
Beyond that nothing is changed but that the routers concerned are announced; appliances learn of
all by the `astara_router` extension. Loaded by Neutron as `service_plugins =
astara_port_forwarding,astara_conntrack_helper,astara_metering,astara_qos`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from neutron.api.rpc.agentnotifiers import utils as notifiers
from neutron.services.conntrack_helper import plugin as conntrack_helper
from neutron.services.metering import metering_plugin
from neutron.services.portforwarding import constants as forwarding_constants
from neutron.services.portforwarding import pf_plugin
from neutron.services.qos import qos_plugin
from neutron_lib.callbacks import events, registry
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exceptions

from . import announcements, status
from .queries import services, statuses

_ROUTER_PLUGIN = "astara_router"

_Query = Callable[[Any, str], list[str]]


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

    @registry.receives(
        forwarding_constants.PORT_FORWARDING,
        [events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE],
    )
    def _changed(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        """Announce the router, also that which the last forwarding has just left."""
        forwarding = payload.latest_state
        serving = _find(payload.context, services.routers_of_floatingip, forwarding.floatingip_id)
        concerned = {*serving, forwarding.router_id} - {None}
        announcements.routers(payload.context, concerned)


class _Pusher:
    """Stands where the stock class of conntrack helpers pushes objects to agents."""

    def push(self, context: Any, helpers: Iterable[Any], _event: str) -> None:
        """Announce their routers instead."""
        announcements.routers(context, {helper.router_id for helper in helpers})


class ConntrackHelperPlugin(conntrack_helper.Plugin):
    """Conntrack helpers of routers that appliances serve."""

    required_service_plugins = (_ROUTER_PLUGIN,)

    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        super().__init__()
        self.push_api = _Pusher()

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
        self.meter_rpc = notifiers.RPCNotifierHandler()  # answers everything by doing nothing

    def create_metering_label_rule(self, context: Any, metering_label_rule: Any) -> Any:
        """Make a rule of a label."""
        rule = super().create_metering_label_rule(context, metering_label_rule)
        _announce(context, services.routers_of_label, rule["metering_label_id"])
        return rule

    def delete_metering_label_rule(self, context: Any, rule_id: str) -> Any:
        """Delete a rule of a label."""
        rule = super().delete_metering_label_rule(context, rule_id)
        _announce(context, services.routers_of_label, rule["metering_label_id"])
        return rule

    def get_sync_data_metering(self, context: Any, label_id: str | None = None) -> list[Any]:
        """Return what agents would be told: nothing."""
        del context, label_id
        return []

    def get_sync_data_for_rule(self, context: Any, rule: Any) -> list[Any]:
        """Return what agents would be told: nothing."""
        del context, rule
        return []


class QosPlugin(qos_plugin.QoSPlugin):
    """QoS policies, some of whose limits appliances keep."""

    __native_pagination_support = True
    __native_sorting_support = True

    def create_policy_rule(
        self, context: Any, rule_cls: Any, policy_id: str, rule_data: Any
    ) -> Any:
        """Add a rule to a policy."""
        rule = super().create_policy_rule(context, rule_cls, policy_id, rule_data)
        _announce_policy(context, policy_id)
        return rule

    def update_policy_rule(
        self, context: Any, rule_cls: Any, rule_id: str, policy_id: str, rule_data: Any
    ) -> Any:
        """Change a rule of a policy."""
        rule = super().update_policy_rule(context, rule_cls, rule_id, policy_id, rule_data)
        _announce_policy(context, policy_id)
        return rule

    def delete_policy_rule(
        self, context: Any, rule_cls: Any, rule_id: str, policy_id: str
    ) -> None:
        """Take a rule from a policy."""
        super().delete_policy_rule(context, rule_cls, rule_id, policy_id)
        _announce_policy(context, policy_id)


def _announce_policy(context: Any, policy_id: str) -> None:
    _announce(context, services.routers_of_policy, policy_id)
    announcements.networks(context, _find(context, services.networks_of_policy, policy_id))


def _announce(context: Any, query: _Query, item_id: str) -> None:
    announcements.routers(context, _find(context, query, item_id))


@db_api.retry_if_session_inactive()
def _find(context: Any, query: _Query, item_id: str) -> list[str]:
    with db_api.CONTEXT_READER.using(context):
        return query(context.session, item_id)
