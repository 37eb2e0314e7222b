"""neutron-vpnaas without agents: the driver of VPN services that appliances serve.

The service plug-in keeps its books; appliances learn of them by the `astara_router` extension, and
the orchestrator reports what is up. So all that is done here is to say that a router has changed.
Loaded by neutron-vpnaas (`service_plugins = astara_router,vpnaas`), which finds it by
`service_provider = VPN:astara:astara_neutron.vpn_driver.VpnDriver:default`.
"""

import ipaddress
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import l3
from neutron_lib.db import api as db_api
from neutron_vpnaas.services.vpn import service_drivers

from . import announcements
from .queries import vpn


class VpnDriver(service_drivers.VpnDriver):
    """Tells of changes; see `service_drivers.VpnDriver` for who calls what."""

    service_type = "ipsec"

    def create_vpnservice(self, context: Any, vpnservice: Any) -> None:
        """Show the addresses by which other gateways reach this one."""
        router = self.l3_plugin.get_router(context.elevated(), vpnservice["router_id"])
        gateway = router[l3.EXTERNAL_GW_INFO] or {}
        own = [
            ipaddress.ip_address(item["ip_address"])
            for item in gateway.get("external_fixed_ips", ())
        ]
        first = {
            f"v{version}_ip": next((str(ip) for ip in own if ip.version == version), None)
            for version in (4, 6)
        }
        vpnservice.update({f"external_{name}": value for name, value in first.items()})
        # Nobody reports a service without connections, and one that is pending cannot be changed.
        self._settle(context, vpnservice["router_id"])
        vpnservice["status"] = constants.DOWN
        self.service_plugin.set_external_tunnel_ips(context, vpnservice["id"], **first)
        announcements.routers(context, [vpnservice["router_id"]])

    def update_vpnservice(self, context: Any, old_vpnservice: Any, vpnservice: Any) -> None:
        """Tell of a service that was switched on or off."""
        del old_vpnservice
        announcements.routers(context, [vpnservice["router_id"]])

    def delete_vpnservice(self, context: Any, vpnservice: Any) -> None:
        """Tell of its end."""
        announcements.routers(context, [vpnservice["router_id"]])

    def create_ipsec_site_connection(self, context: Any, ipsec_site_connection: Any) -> None:
        """Tell of a connection."""
        self._changed(context, ipsec_site_connection)

    def update_ipsec_site_connection(
        self, context: Any, old_ipsec_site_connection: Any, ipsec_site_connection: Any
    ) -> None:
        """Tell of its change."""
        del old_ipsec_site_connection
        self._changed(context, ipsec_site_connection)

    def delete_ipsec_site_connection(self, context: Any, ipsec_site_connection: Any) -> None:
        """Tell of its end; a service whose last one it was is DOWN."""
        self._settle(context, self._router_of(context, ipsec_site_connection))
        self._changed(context, ipsec_site_connection)

    def _changed(self, context: Any, connection: Any) -> None:
        announcements.routers(context, [self._router_of(context, connection)])

    def _router_of(self, context: Any, connection: Any) -> str:
        service = connection["vpnservice_id"]
        return str(self.service_plugin.get_vpnservice_router_id(context, service))

    @db_api.retry_if_session_inactive()
    def _settle(self, context: Any, router_id: str) -> None:
        with db_api.CONTEXT_WRITER.using(context):
            vpn.settle_services(context.session, router_id)
