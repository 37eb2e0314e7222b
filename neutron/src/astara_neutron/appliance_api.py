"""Plug-in side of the two API extensions: reads for the orchestrator, status reports from it.

Mixed into the router plug-in; it expects nothing of its host but to be a Neutron plug-in, so
another one can carry it as well. The API layer calls `get_astara_router(s)`, the `dhrouterstatus`
extension `update_routerstatus`. Policy decides who may read, before anything is read.
"""

from collections.abc import Collection, Mapping
from typing import Any

from neutron import policy
from neutron_lib import rpc
from neutron_lib.db import api as db_api
from neutron_lib.db import utils as db_utils
from neutron_lib.exceptions import l3 as l3_exceptions
from neutron_lib.plugins import directory

from . import facts, policies, status, view
from .queries import allocations, routers, statuses, views, vpn

#: Query parameters of the list, and the columns they select by; the API layer refuses others.
_FILTERS = {"id": "id", "project_id": "project_id", "tenant_id": "project_id"}


def _delegate(context: Any, subnet_id: str, prefix: str) -> None:
    """Give a subnet the prefix, and its ports addresses of it, as Neutron does it for agents."""
    core = directory.get_plugin()
    changed = core.update_subnet(context, subnet_id, {"subnet": {"cidr": prefix}})
    # The API layer would announce it; whoever serves the network hears of it by this.
    rpc.get_notifier("network").info(context, "subnet.update.end", {"subnet": changed})


class ApplianceApiMixin:
    """The methods behind `/v2.0/astara-routers` and `/v2.0/dhrouterstatus`."""

    def get_astara_routers(
        self,
        context: Any,
        filters: Mapping[str, Collection[str]] | None = None,
        fields: list[str] | None = None,
        sorts: object = None,
        limit: int | None = None,
        marker: str | None = None,
        page_reverse: bool = False,
    ) -> list[dict[str, object]]:
        """Return a page of routers with their generations, always in the order of their ids.

        Routers that are named by `id` come with their details if `fields` asks for any.
        """
        columns = {
            _FILTERS[name]: values for name, values in (filters or {}).items() if name in _FILTERS
        }
        selection = routers.Selection(columns, limit, marker, page_reverse)
        if "id" in columns and view.DETAILS.intersection(fields or ()):
            found = [view.detail(*item) for item in self._read_details(context, selection)]
        else:
            found = [view.summary(item) for item in self._read_page(context, selection)]
        return [db_utils.resource_fields(item, fields) for item in found]

    def get_astara_router(
        self,
        context: Any,
        router_id: str,
        fields: list[str] | None = None,
    ) -> dict[str, object]:
        """Return all that the appliance of one router needs, from one consistent read."""
        policy.enforce(context, policies.GET_ROUTER, {}, pluralized="astara_routers")
        found = self._read_details(context, routers.Selection({"id": [router_id]}))
        if not found:
            raise l3_exceptions.RouterNotFound(router_id=router_id)
        answer: dict[str, object] = db_utils.resource_fields(view.detail(*found[0]), fields)
        return answer

    def update_routerstatus(
        self, context: Any, router_id: str, report: status.StatusReport
    ) -> None:
        """Write what the orchestrator saw: the router's status, and what of it is served."""
        ports = self._write_statuses(context, router_id, report)
        # Ports go through the core plug-in, which tells mechanism drivers and other listeners.
        for port_id, new in ports.items():
            directory.get_plugin().update_port_status(context.elevated(), port_id, new)
        for subnet_id, prefix in self._new_prefixes(context, router_id, report).items():
            _delegate(context.elevated(), subnet_id, prefix)

    @db_api.retry_if_session_inactive()
    def _new_prefixes(
        self, context: Any, router_id: str, report: status.StatusReport
    ) -> dict[str, str]:
        """Return what has changed of the subnets of this router that get their prefix so."""
        if not report.prefixes:
            return {}
        with db_api.CONTEXT_READER.using(context):
            found = views.read(context.session, routers.Selection({"id": [router_id]}))
        current = {
            subnet.id: subnet.cidr
            for view in found
            for network in view.networks
            for subnet in network.subnets
            if subnet.prefix_delegation
        }
        told = report.prefixes.items()
        return {item: prefix for item, prefix in told if current.get(item, prefix) != prefix}

    @db_api.retry_if_session_inactive()
    def _read_page(self, context: Any, selection: routers.Selection) -> list[facts.RouterView]:
        with db_api.CONTEXT_READER.using(context):
            return views.read(context.session, selection)

    @db_api.retry_if_session_inactive()
    def _read_details(
        self, context: Any, selection: routers.Selection
    ) -> list[tuple[facts.RouterView, dict[str, tuple[facts.Allocation, ...]]]]:
        """Return routers, each with the ports to serve by internal network."""
        with db_api.CONTEXT_READER.using(context):
            found = views.read(context.session, selection)
            internal = [views.internal_networks(item.ports) for item in found]
            served = allocations.read(context.session, set().union(*internal))
        return [
            (item, allocations.without_own(served, networks, item.router.id))
            for item, networks in zip(found, internal, strict=True)
        ]

    @db_api.retry_if_session_inactive()
    def _write_statuses(
        self, context: Any, router_id: str, report: status.StatusReport
    ) -> dict[str, str]:
        """Write the router's and the floating IPs' status; return the ports' changes."""
        with db_api.CONTEXT_WRITER.using(context):
            session = context.session
            if not statuses.router_exists(session, router_id):
                raise l3_exceptions.RouterNotFound(router_id=router_id)
            if report.status is not None:
                statuses.set_router(session, router_id, report.status)
            if report.floatingips is not None:
                current = statuses.of_floatingips(session, router_id)
                for new, ids in status.moves(current, report.floatingips).items():
                    statuses.set_floatingips(session, ids, new)
            if report.ipsec_site_connections is not None:
                vpn.set_statuses(session, router_id, report.ipsec_site_connections)
            if report.ports is None:
                return {}
            return status.changes(statuses.of_ports(session, router_id), report.ports)
