"""Router plug-in for a whole cloud of Astara routers, without any agent.

Neutron keeps its books (routers, gateways, interfaces, extra routes, floating IPs) with its own
database mixins, the ones that its OVN router plug-in builds on. The stock plug-in's scheduling,
agent RPC, DVR and HA networks are left out rather than switched off: no message goes to a topic
that nobody reads. Serving routers is the orchestrator's; this plug-in only tells honestly what is
served: a new router is BUILD, a floating IP DOWN, until the orchestrator reports otherwise. Loaded
by Neutron as `service_plugins = astara_router`.
"""

from typing import Any

from neutron.api import extensions
from neutron.api.rpc.agentnotifiers import utils as notifiers
from neutron.conf.db import l3_hamode_db as ha_options
from neutron.db import (
    dns_db,
    extraroute_db,
    l3_attrs_db,
    l3_db,
    l3_fip_pools_db,
    l3_fip_port_details,
    l3_fip_qos,
    l3_gateway_ip_qos,
)
from neutron.db.models import l3 as l3_models
from neutron.quota import resource_registry
from neutron_lib import rpc
from neutron_lib.api import validators
from neutron_lib.api.definitions import (
    extraroute,
    extraroute_atomic,
    fip_port_details,
    floatingip_pools,
    l3,
    l3_ext_gw_mode,
    l3_ext_ha_mode,
    l3_flavors,
    l3_port_ip_change_not_allowed,
    qos_fip,
    qos_gateway_ip,
)
from neutron_lib.callbacks import events, priority_group, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.db import resource_extend
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from neutron_lib.services import base
from oslo_config import cfg

from . import appliance_api, carriers, status
from . import extensions as our_extensions
from .queries import ports, statuses

ha_options.register_db_l3_hamode_opts()

#: An association of a floating IP: what must be equal for its status to stay.
_ASSOCIATION = (
    ("port_id", "fixed_port_id"),
    ("router_id", "router_id"),
    ("fixed_ip_address", "fixed_ip_address"),
)


@resource_extend.has_resource_extenders
@registry.has_registry_receivers
class AstaraRouterPlugin(
    base.ServicePluginBase,
    appliance_api.ApplianceApiMixin,
    extraroute_db.ExtraRoute_dbonly_mixin,
    l3_db.L3NotifierMixin,
    l3_gateway_ip_qos.L3_gw_ip_qos_dbonly_mixin,
    l3_attrs_db.ExtraAttributesMixin,
    dns_db.DNSDbMixin,
    l3_fip_qos.FloatingQoSDbMixin,
    l3_fip_port_details.Fip_port_details_db_mixin,
    l3_fip_pools_db.FloatingIPPoolsMixin,
):
    """Routers and floating IPs that are served by appliances."""

    # The API layer looks these two up under the mangled name of exactly this class.
    __native_pagination_support = True
    __native_sorting_support = True

    _EXTENSIONS = (
        l3.ALIAS,
        l3_ext_gw_mode.ALIAS,
        extraroute.ALIAS,
        extraroute_atomic.ALIAS,
        l3_ext_ha_mode.ALIAS,
        l3_flavors.ALIAS,
        fip_port_details.ALIAS,
        floatingip_pools.ALIAS,
        l3_port_ip_change_not_allowed.ALIAS,
        our_extensions.ROUTERS_ALIAS,
        our_extensions.STATUS_ALIAS,
    )
    #: Those that make no sense unless Neutron's QoS plug-in is loaded too.
    _QOS_EXTENSIONS = (qos_fip.ALIAS, qos_gateway_ip.ALIAS)

    @resource_registry.tracked_resources(router=l3_models.Router, floatingip=l3_models.FloatingIP)
    def __init__(self) -> None:
        super().__init__()
        extensions.append_api_extensions_path(our_extensions.__path__)
        # Answers every notification to L3 agents by doing nothing.
        self._l3_rpc_notifier = notifiers.RPCNotifierHandler()

    @classmethod
    def get_plugin_type(cls) -> str:
        """Return the slot that this plug-in fills: Neutron has one router plug-in."""
        return str(plugin_constants.L3)

    @property
    def supported_extension_aliases(self) -> tuple[str, ...]:
        """The extensions that this plug-in brings along."""
        return self._EXTENSIONS + (self._QOS_EXTENSIONS if _has_qos() else ())

    def get_plugin_description(self) -> str:
        """Return a description for people."""
        return "Routers and floating IPs served by Astara appliances"

    def create_floatingip(
        self, context: Any, floatingip: Any, initial_status: str = status.DOWN
    ) -> Any:
        """Create a floating IP that is DOWN until an appliance serves it."""
        return super().create_floatingip(context, floatingip, initial_status)

    def update_floatingip(self, context: Any, id: str, floatingip: Any) -> Any:  # noqa: A002
        """Update a floating IP; after a change of its association the answer shows it DOWN."""
        updated = super().update_floatingip(context, id, floatingip)
        now = self.get_floatingip(context, id, fields=["status"])
        return {**updated, **now}

    def update_router_gw_ports(self, context: Any, network: Any, subnet: Any) -> None:
        """Give gateway ports an address of a subnet that an external network just got."""
        self._update_router_gateway_ports(context, network, subnet)
        with db_api.CONTEXT_READER.using(context):
            moved = ports.routers_with_gateway_on(context.session, subnet["id"])
        for router_id in moved:
            self._announce(context, self.get_router(context.elevated(), router_id))

    def add_extraroutes(self, context: Any, router_id: str, body: Any = None) -> Any:
        """Add extra routes; unlike an update of `routes` this would go by unannounced."""
        changed = super().add_extraroutes(context, router_id, body)
        self._announce(context, changed[l3.ROUTER])
        return changed

    def remove_extraroutes(self, context: Any, router_id: str, body: Any = None) -> Any:
        """Remove extra routes; announced for the same reason."""
        changed = super().remove_extraroutes(context, router_id, body)
        self._announce(context, changed[l3.ROUTER])
        return changed

    @staticmethod
    def _announce(context: Any, router: Any) -> None:
        # The API layer announces updates of resources, but neither actions nor what follows from
        # another resource; the stock plug-in tells its agents of these by RPC.
        rpc.get_notifier("network").info(context, "router.update.end", {l3.ROUTER: router})

    @staticmethod
    @resource_extend.extends([l3.ROUTERS])
    def _show_flavor(answer: Any, router: Any) -> None:
        answer["flavor_id"] = router["flavor_id"]

    @registry.receives(resources.ROUTER, [events.BEFORE_CREATE])
    def _check_flavor(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        flavor_id = payload.latest_state.get("flavor_id")
        if validators.is_attr_set(flavor_id):
            directory.get_plugin(plugin_constants.FLAVORS).get_flavor(payload.context, flavor_id)

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_CREATE])
    def _start_honestly(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        wanted, router = payload.latest_state, payload.metadata["router_db"]
        router.status = status.BUILD
        if validators.is_attr_set(wanted.get("flavor_id")):
            router.flavor_id = wanted["flavor_id"]
        ha = wanted.get("ha")
        # Only the flag: how a pair of appliances keeps in touch is theirs, so no HA network.
        wanted["ha"] = cfg.CONF.l3_ha if not validators.is_attr_set(ha) else ha
        self.set_extra_attr_value(router, "ha", wanted["ha"])

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_UPDATE])
    def _update_ha(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        ha = (payload.request_body or {}).get("ha")
        if validators.is_attr_set(ha):
            self.set_extra_attr_value(payload.desired_state, "ha", ha)

    # After those who clear away their own (floating IPs that point nowhere) or object.
    @registry.receives(
        resources.NETWORK, [events.BEFORE_DELETE], priority_group.PRIORITY_DEFAULT + 1
    )
    def _leave_network(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        carriers.leave(payload.context, payload.resource_id)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_UPDATE])
    def _unserved_until_reported(
        self, _resource: str, _event: str, _trigger: object, payload: Any
    ) -> None:
        old, new = payload.states[0], payload.desired_state
        moved = any(_text(old[key]) != _text(getattr(new, name)) for key, name in _ASSOCIATION)
        if moved:
            statuses.set_floatingips(payload.context.session, [new.id], status.DOWN)


def _has_qos() -> bool:
    names = (name.rpartition(".")[2] for name in cfg.CONF.service_plugins)
    return any(name in ("astara_qos", "QosPlugin", "qos", "QoSPlugin") for name in names)


def _text(value: object) -> str | None:
    # Addresses are strings in one representation and netaddr objects in the other.
    return None if value is None else str(value)
