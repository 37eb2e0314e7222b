"""The class path that configurations of the first Astara name for the router plug-in."""

from astara_neutron import router_plugin

L3RouterPlugin = router_plugin.AstaraRouterPlugin

__all__ = ["L3RouterPlugin"]
