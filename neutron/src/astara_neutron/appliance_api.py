"""Plug-in side of the two API extensions: reads for the orchestrator, status reports from it.

Mixed into the router plug-in; it expects nothing of its host but to be a Neutron plug-in, so another plug-in can carry
it as well. The API layer calls `get_astara_router(s)`, the `dhrouterstatus` extension calls
`update_routerstatus`. Who may call is decided by policy, before anything is read.
"""

from collections.abc import Collection, Mapping
from typing import Any

from neutron import policy
from neutron_lib.db import api as db_api
from neutron_lib.db import utils as db_utils
from neutron_lib.exceptions import l3 as l3_exceptions
from neutron_lib.plugins import directory

from . import policies, queries, status, view

#: Query parameters of the list, and the columns they select by.
_FILTERS = {"id": "id", "project_id": "project_id", "tenant_id": "project_id"}


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
        """Return a page of routers with their generations, always in the order of their ids."""
        # A list is otherwise filtered item by item: a tenant would get an empty page instead of a refusal.
        policy.enforce(context, policies.GET_ROUTER, {}, pluralized="astara_routers")
        views = self._read_views(context, filters or {}, limit, marker, page_reverse)
        return [db_utils.resource_fields(view.summary(item), fields) for item in views]

    @db_api.retry_if_session_inactive()
    def get_astara_router(
        self,
        context: Any,
        id: str,
        fields: list[str] | None = None,
    ) -> dict[str, object]:
        """Return everything that the appliance of one router needs, from one consistent read."""
        policy.enforce(context, policies.GET_ROUTER, {}, pluralized="astara_routers")
        with db_api.CONTEXT_READER.using(context):
            found = queries.read_views(context.session, filters={"id": [id]})
            if not found:
                raise l3_exceptions.RouterNotFound(router_id=id)
            internal = {p.network_id for p in found[0].ports if not queries.is_gateway(p)}
            allocations = queries.read_allocations(context.session, internal, id)
        answer: dict[str, object] = db_utils.resource_fields(
            view.detail(found[0], allocations), fields
        )
        return answer

    def update_routerstatus(
        self, context: Any, router_id: str, report: status.StatusReport
    ) -> None:
        """Write what the orchestrator saw: the router's status, which ports and floating IPs are served."""
        ports = self._write_own_statuses(context, router_id, report)
        # Ports go through the core plug-in, which tells mechanism drivers and whoever else listens.
        for port_id, new in ports.items():
            directory.get_plugin().update_port_status(context.elevated(), port_id, new)

    @db_api.retry_if_session_inactive()
    def _read_views(
        self,
        context: Any,
        filters: Mapping[str, Collection[str]],
        limit: int | None,
        marker: str | None,
        reverse: bool,
    ) -> list[Any]:
        columns = {_FILTERS[key]: values for key, values in filters.items() if key in _FILTERS}
        with db_api.CONTEXT_READER.using(context):
            return queries.read_views(
                context.session, filters=columns, limit=limit, marker=marker, reverse=reverse
            )

    @db_api.retry_if_session_inactive()
    def _write_own_statuses(
        self, context: Any, router_id: str, report: status.StatusReport
    ) -> dict[str, str]:
        with db_api.CONTEXT_WRITER.using(context):
            session = context.session
            if not queries.router_exists(session, router_id):
                raise l3_exceptions.RouterNotFound(router_id=router_id)
            if report.status is not None:
                queries.set_router_status(session, router_id, report.status)
            if report.floatingips is not None:
                current = queries.floatingip_statuses(session, router_id)
                moved = status.changes(current, report.floatingips)
                for new in (status.ACTIVE, status.DOWN):
                    ids = [item for item, value in moved.items() if value == new]
                    queries.set_floatingip_status(session, ids, new)
            if report.ports is None:
                return {}
            return status.changes(queries.port_statuses(session, router_id), report.ports)
