"""Nova as the orchestrator sees it: the servers that are ours, and their interfaces.

Decides nothing. A server is ours when it lives in the service project and its metadata says so;
its name is for people. Called by ``instance`` and by the audit.
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from . import errors
from .rest import Service

MICROVERSION = "2.72"
RESOURCE_KEY = "astara_resource"
PAGE = 500


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer of Nova becomes; keys that we do not read are skipped while decoding."""


class Fault(_Struct, frozen=True):
    """Why Nova gave up on a server."""

    message: str = ""
    code: int = 0


class Server(_Struct, frozen=True):
    """A server; ``status`` is Nova's word (BUILD, ACTIVE, ERROR, SHUTOFF, DELETED, ...)."""

    id: str
    status: str
    name: str = ""
    created: str = ""
    metadata: dict[str, str] = {}
    fault: Fault | None = None
    task_state: str | None = msgspec.field(name="OS-EXT-STS:task_state", default=None)
    host: str | None = msgspec.field(name="OS-EXT-SRV-ATTR:host", default=None)
    launched_at: str | None = msgspec.field(name="OS-SRV-USG:launched_at", default=None)

    @property
    def resource(self) -> str | None:
        """The resource that this server serves, as ``router:<id>``; None: not ours."""
        return self.metadata.get(RESOURCE_KEY)


class Attachment(_Struct, frozen=True):
    """A port that is plugged into a server."""

    port_id: str
    net_id: str
    mac_addr: str
    port_state: str = ""


class ServerRequest(_Struct, frozen=True):
    """What is asked of Nova when an appliance boots."""

    name: str
    image_id: str
    flavor_id: str
    port_ids: tuple[str, ...]
    user_data: str
    resource: str
    group_id: str | None = None


class _Group(_Struct, frozen=True):
    id: str
    name: str = ""


class _CreatedGroup(_Struct, frozen=True):
    group: _Group = msgspec.field(name="server_group")


class _Groups(_Struct, frozen=True):
    groups: tuple[_Group, ...] = msgspec.field(name="server_groups")


class _Servers(_Struct, frozen=True):
    servers: tuple[Server, ...]


class _Server(_Struct, frozen=True):
    server: Server


class _Created(_Struct, frozen=True):
    id: str


class _CreatedServer(_Struct, frozen=True):
    server: _Created


class _Attachments(_Struct, frozen=True):
    attachments: tuple[Attachment, ...] = msgspec.field(name="interfaceAttachments")


class _Flavor(_Struct, frozen=True):
    id: str
    name: str


class _Flavors(_Struct, frozen=True):
    flavors: tuple[_Flavor, ...]


class _Console(msgspec.Struct, frozen=True):
    output: str


class Nova:
    """The calls to Nova; safe to share between threads."""

    def __init__(self, service: Service):
        self._service = service
        self.calls = service.calls

    def servers(self, resource: str, name_prefix: str) -> tuple[Server, ...]:
        """List our servers of one resource; the prefix only spares Nova from sending all."""
        params = {"name": f"^{name_prefix}"}
        found = self._service.get("/servers/detail", _Servers, params).servers
        return tuple(sorted((s for s in found if s.resource == resource), key=_age))

    def our_servers(self) -> Iterator[Server]:
        """List the servers of all resources, page by page (for the audit)."""
        marker: str | None = None
        while True:
            params: dict[str, Any] = {"limit": PAGE}
            if marker is not None:
                params["marker"] = marker
            page = self._service.get("/servers/detail", _Servers, params).servers
            yield from (server for server in page if server.resource is not None)
            if len(page) < PAGE:
                return
            marker = page[-1].id

    def server(self, server_id: str) -> Server | None:
        """Read one server; None when it is gone."""
        try:
            return self._service.get(f"/servers/{server_id}", _Server).server
        except errors.NotFound:
            return None

    def create_server(self, request: ServerRequest) -> str:
        """Ask for a server and return its id; never repeated by itself."""
        body: dict[str, Any] = {
            "server": {
                "name": request.name,
                "imageRef": request.image_id,
                "flavorRef": request.flavor_id,
                "networks": [{"port": port_id} for port_id in request.port_ids],
                "config_drive": True,
                "user_data": base64.b64encode(request.user_data.encode()).decode(),
                "metadata": {RESOURCE_KEY: request.resource},
            }
        }
        if request.group_id is not None:
            body["os:scheduler_hints"] = {"group": request.group_id}
        return self._service.send("POST", "/servers", body, _CreatedServer).server.id

    def group_ids(self, name: str) -> tuple[str, ...]:
        """Find the server groups of that name in our project; Nova has no filter for them."""
        found: list[str] = []
        offset = 0
        while True:
            params = {"limit": PAGE, "offset": offset}
            page = self._service.get("/os-server-groups", _Groups, params).groups
            found += [group.id for group in page if group.name == name]
            if len(page) < PAGE:
                return tuple(sorted(found))
            offset += PAGE

    def create_group(self, name: str, policy: str) -> str:
        """Make a server group and return its id; never repeated by itself."""
        body = {"server_group": {"name": name, "policy": policy}}
        return self._service.send("POST", "/os-server-groups", body, _CreatedGroup).group.id

    def delete_group(self, group_id: str) -> None:
        """Delete a server group; one that is gone already is what we wanted."""
        try:
            self._service.call("DELETE", f"/os-server-groups/{group_id}")
        except errors.NotFound:
            return

    def delete_server(self, server_id: str) -> None:
        """Ask for a server's end; one that is gone already is what we wanted."""
        try:
            self._service.call("DELETE", f"/servers/{server_id}")
        except errors.NotFound:
            return

    def force_delete_server(self, server_id: str) -> None:
        """End a server that Nova only hides for a while (``reclaim_instance_interval``)."""
        try:
            self._service.call("POST", f"/servers/{server_id}/action", body={"forceDelete": None})
        except errors.NotFound:
            return

    def reset_state(self, server_id: str) -> None:
        """Have Nova forget what it is doing to a server, which becomes ERROR.

        Nova ignores a deletion of what it takes for being deleted; the message that should have
        done it is lost when its broker restarts.
        """
        body = {"os-resetState": {"state": "error"}}
        try:
            self._service.call("POST", f"/servers/{server_id}/action", body=body)
        except errors.NotFound:
            return

    def attachments(self, server_id: str) -> tuple[Attachment, ...]:
        """List the ports that Nova has plugged into a server."""
        path = f"/servers/{server_id}/os-interface"
        return self._service.get(path, _Attachments).attachments

    def attach_port(self, server_id: str, port_id: str) -> None:
        """Plug a port into a running server; returns when the hypervisor has done it."""
        body = {"interfaceAttachment": {"port_id": port_id}}
        self._service.call("POST", f"/servers/{server_id}/os-interface", body=body)

    def detach_port(self, server_id: str, port_id: str) -> None:
        """Ask Nova to pull a port out of a server (it answers before that is done)."""
        try:
            self._service.call("DELETE", f"/servers/{server_id}/os-interface/{port_id}")
        except errors.NotFound:
            return

    def console(self, server_id: str, lines: int) -> str:
        """Read the last lines of a server's console."""
        body = {"os-getConsoleOutput": {"length": lines}}
        path = f"/servers/{server_id}/action"
        return self._service.send("POST", path, body, _Console).output

    def flavor_id(self, name_or_id: str) -> str:
        """Resolve a flavor that was given by name; an id comes back as it is."""
        for flavor in self._service.get("/flavors", _Flavors).flavors:
            if name_or_id in (flavor.id, flavor.name):
                return flavor.id
        raise errors.NotFound("compute", "find flavor", f"no flavor {name_or_id!r}")


def _age(server: Server) -> tuple[str, str]:
    """Sort key: the oldest first, so that every reader picks the same one."""
    return server.created, server.id
