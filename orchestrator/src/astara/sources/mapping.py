"""Say which resources a notification of Neutron or Nova concerns.

Pure, and one table: event type to function of the payload. A notification is only a hint: nothing
of its payload is kept but ids. What is not in the table concerns no appliance. Neutron's own ports
(router interfaces, gateways, floating IPs) and status changes are never notified, so no echo of
our status reports arrives here; of ports made through the API those of appliances are left out.
Of Nova's only the end of a server counts that carries our mark: what is deleted or powered off
behind our back is noticed before the next poll. Of what else service plug-ins keep our plug-ins
announce the routers themselves. The shapes are those recorded from Neutron 29 and
Nova 34. Called by `neutron_events`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..events import Event, Hint, Message, Resource
from ..machine.vocabulary import Action

SOURCE = "notification"
ROUTER = "router"
SERVER_MARK = "astara_resource"  # the metadata key of a server of ours
OURS = "astara:"  # how the description of a port of ours begins
_ROUTER_PORTS = ("network:router_", "network:ha_router_replicated_interface")

Payload = Mapping[str, Any]
_Rule = Callable[[Payload, str], list[Message]]


def _project(body: Payload, fallback: str) -> str:
    return str(body.get("project_id") or body.get("tenant_id") or fallback)


def _router(action: Action) -> _Rule:
    def rule(payload: Payload, tenant_id: str) -> list[Message]:
        router = payload.get("router") or {}
        router_id = router.get("id") or payload.get("router_id") or payload.get("id")
        if not router_id:
            return []
        resource = Resource(ROUTER, str(router_id), _project(router, tenant_id))
        return [Event(resource, action, source=SOURCE)]

    return rule


def _interface(payload: Payload, tenant_id: str) -> list[Message]:
    interface = payload.get("router_interface") or {}
    if not interface.get("id"):
        return []
    resource = Resource(ROUTER, str(interface["id"]), _project(interface, tenant_id))
    return [Event(resource, Action.UPDATE, source=SOURCE)]


def _floating_ip(payload: Payload, tenant_id: str) -> list[Message]:
    """Name the router it points to now, and all of the tenant: it may have left another one."""
    floating_ip = payload.get("floatingip") or {}
    project_id = _project(floating_ip, tenant_id)
    messages: list[Message] = []
    if router_id := floating_ip.get("router_id"):
        resource = Resource(ROUTER, str(router_id), project_id)
        messages.append(Event(resource, Action.UPDATE, source=SOURCE))
    if project_id:
        messages.append(Hint(Action.UPDATE, tenant_id=project_id, source=SOURCE))
    return messages


def _port(payload: Payload, tenant_id: str) -> list[Message]:
    port = payload.get("port") or {}
    if not port.get("network_id") or str(port.get("description") or "").startswith(OURS):
        return []
    owner, device_id = str(port.get("device_owner") or ""), str(port.get("device_id") or "")
    if owner.startswith(_ROUTER_PORTS) and device_id:
        resource = Resource(ROUTER, device_id, _project(port, tenant_id))
        return [Event(resource, Action.UPDATE, source=SOURCE)]
    network_id = str(port["network_id"])
    return [Hint(Action.UPDATE, network_id=network_id, port=True, source=SOURCE)]


def _subnet(payload: Payload, _tenant_id: str) -> list[Message]:
    network_id = (payload.get("subnet") or {}).get("network_id")
    if not network_id:
        return []
    return [Hint(Action.UPDATE, network_id=str(network_id), source=SOURCE)]


def _network(payload: Payload, _tenant_id: str) -> list[Message]:
    network_id = (payload.get("network") or {}).get("id")
    if not network_id:
        return []
    return [Hint(Action.UPDATE, network_id=str(network_id), source=SOURCE)]


def _server(payload: Payload, _tenant_id: str) -> list[Message]:
    metadata = payload.get("metadata")
    mark = str(metadata.get(SERVER_MARK) or "") if isinstance(metadata, Mapping) else ""
    driver, _, resource_id = mark.partition(":")
    if driver != ROUTER or not resource_id:
        return []
    # The server's own tenant is the service project: whose router it is, Neutron will say.
    return [Event(Resource(driver, resource_id), Action.POLL, source=SOURCE)]


def _label(payload: Payload, tenant_id: str) -> list[Message]:
    """Name all routers of a label's project; if all share it, others follow with the audit."""
    project_id = _project(payload.get("metering_label") or {}, tenant_id)
    return [Hint(Action.UPDATE, tenant_id=project_id, source=SOURCE)] if project_id else []


RULES: Mapping[str, _Rule] = {
    "router.create.end": _router(Action.CREATE),
    "router.update.end": _router(Action.UPDATE),
    "router.delete.end": _router(Action.DELETE),
    "router.interface.create": _interface,
    "router.interface.delete": _interface,
    "floatingip.create.end": _floating_ip,
    "floatingip.update.end": _floating_ip,
    "floatingip.delete.end": _floating_ip,
    "port.create.end": _port,
    "port.update.end": _port,
    "port.delete.end": _port,
    "subnet.create.end": _subnet,
    "subnet.update.end": _subnet,
    "subnet.delete.end": _subnet,
    "network.update.end": _network,
    "metering_label.create.end": _label,
    "metering_label.delete.end": _label,
    "compute.instance.delete.end": _server,
    "compute.instance.power_off.end": _server,
}


def messages_of(event_type: str, payload: Payload, tenant_id: str = "") -> list[Message]:
    """Give the messages for the workers; none if the notification does not concern us.

    `tenant_id` is that of the request, used where the payload names no owner.
    """
    rule = RULES.get(event_type)
    return rule(payload, tenant_id) if rule else []
