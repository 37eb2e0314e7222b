"""neutron-dynamic-routing without agents: BGP speakers that appliances are.

The appliance of each router whose gateway is on a network that a speaker is bound to speaks with
the speaker's peers; it learns of them by the `astara_router` extension. So all that is done here
is to keep the books, to refuse what no appliance can do, and to say that a network has changed.
The stock class schedules speakers to agents and sends them routes; nothing of that is inherited.
Loaded by Neutron as `service_plugins = astara_router,astara_bgp`.
"""

import ipaddress
import re
from typing import Any

import neutron_dynamic_routing.extensions
from neutron.api import extensions
from neutron_dynamic_routing.db import bgp_db
from neutron_lib import exceptions
from neutron_lib.api.definitions import bgp, bgp_4byte_asn
from neutron_lib.db import api as db_api
from neutron_lib.services import base

from . import announcements
from .queries import bgp as queries

_SPEAKER, _PEER = bgp.BGP_SPEAKER_BODY_KEY_NAME, bgp.BGP_PEER_BODY_KEY_NAME

#: Keys of TCP MD5 that can be written into any router's configuration.
_PASSWORD = re.compile(r"[!#-\[\]-~]{1,80}")


class BgpPlugin(base.ServicePluginBase, bgp_db.BgpDbMixin):
    """BGP speakers and peers of routers that appliances serve."""

    supported_extension_aliases = (bgp.ALIAS, bgp_4byte_asn.ALIAS)

    def __init__(self) -> None:
        super().__init__()
        extensions.append_api_extensions_path(neutron_dynamic_routing.extensions.__path__)

    @classmethod
    def get_plugin_type(cls) -> str:
        """Return the slot that this plug-in fills."""
        return str(bgp.ALIAS)

    def get_plugin_description(self) -> str:
        """Return a description for people."""
        return "BGP speakers that are Astara appliances"

    def update_bgp_speaker(self, context: Any, bgp_speaker_id: str, bgp_speaker: Any) -> Any:
        """Change what a speaker announces, or its name."""
        changed = super().update_bgp_speaker(context, bgp_speaker_id, bgp_speaker)
        announcements.networks(context, _of_speaker(context, bgp_speaker_id))
        return changed

    def delete_bgp_speaker(self, context: Any, bgp_speaker_id: str) -> None:
        """Delete a speaker: its sessions end."""
        concerned = _of_speaker(context, bgp_speaker_id)
        super().delete_bgp_speaker(context, bgp_speaker_id)
        announcements.networks(context, concerned)

    def create_bgp_peer(self, context: Any, bgp_peer: Any) -> Any:
        """Make a peer; nobody speaks with it before a speaker has it."""
        _check_password(bgp_peer[_PEER].get("password"))
        return super().create_bgp_peer(context, bgp_peer)

    def update_bgp_peer(self, context: Any, bgp_peer_id: str, bgp_peer: Any) -> Any:
        """Change a peer: its password, or its name."""
        _check_password(bgp_peer[_PEER].get("password"))
        changed = super().update_bgp_peer(context, bgp_peer_id, bgp_peer)
        announcements.networks(context, _of_peer(context, bgp_peer_id))
        return changed

    def delete_bgp_peer(self, context: Any, bgp_peer_id: str) -> None:
        """Delete a peer: nobody speaks with it any more."""
        concerned = _of_peer(context, bgp_peer_id)
        super().delete_bgp_peer(context, bgp_peer_id)
        announcements.networks(context, concerned)

    def add_bgp_peer(self, context: Any, bgp_speaker_id: str, bgp_peer_info: Any) -> Any:
        """Let a speaker speak with a peer of its own IP version."""
        peer_id = self._get_id_for(bgp_peer_info, "bgp_peer_id")
        address = self.get_bgp_peer(context, peer_id)["peer_ip"]
        version = self.get_bgp_speaker(context, bgp_speaker_id)["ip_version"]
        if ipaddress.ip_address(address).version != version:
            reason = f"a speaker of IPv{version} tells its routes over IPv{version}, not {address}"
            raise exceptions.BadRequest(resource=_SPEAKER, msg=reason)
        added = super().add_bgp_peer(context, bgp_speaker_id, bgp_peer_info)
        announcements.networks(context, _of_speaker(context, bgp_speaker_id))
        return added

    def remove_bgp_peer(self, context: Any, bgp_speaker_id: str, bgp_peer_info: Any) -> Any:
        """Let a speaker speak with a peer no more."""
        removed = super().remove_bgp_peer(context, bgp_speaker_id, bgp_peer_info)
        announcements.networks(context, _of_speaker(context, bgp_speaker_id))
        return removed

    def add_gateway_network(self, context: Any, bgp_speaker_id: str, network_info: Any) -> Any:
        """Let the routers with a gateway on a network be speakers."""
        added = super().add_gateway_network(context, bgp_speaker_id, network_info)
        announcements.networks(context, [added["network_id"]])
        return added

    def remove_gateway_network(self, context: Any, bgp_speaker_id: str, network_info: Any) -> Any:
        """Let the routers with a gateway on a network be speakers no more."""
        removed = super().remove_gateway_network(context, bgp_speaker_id, network_info)
        announcements.networks(context, [removed["network_id"]])
        return removed


def _check_password(password: str | None) -> None:
    if password and not _PASSWORD.fullmatch(password):
        reason = "a password is up to 80 printable ASCII characters but blank, quote and backslash"
        raise exceptions.BadRequest(resource=_PEER, msg=reason)


@db_api.retry_if_session_inactive()
def _of_speaker(context: Any, speaker_id: str) -> list[str]:
    with db_api.CONTEXT_READER.using(context):
        return queries.networks_of_speaker(context.session, speaker_id)


@db_api.retry_if_session_inactive()
def _of_peer(context: Any, peer_id: str) -> list[str]:
    with db_api.CONTEXT_READER.using(context):
        return queries.networks_of_peer(context.session, peer_id)
