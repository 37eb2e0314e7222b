"""BGP speakers of networks, as neutron-dynamic-routing keeps them.

Nothing is asked where that plug-in is not loaded: its tables need not be there. Called by `views`
and the plug-in for BGP.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron_dynamic_routing.db import bgp_db
from neutron_lib.api.definitions import bgp as definition
from neutron_lib.plugins import directory

from .. import facts
from . import grouping

_SPEAKER, _PEER = bgp_db.BgpSpeaker, bgp_db.BgpPeer
_ON_NETWORK, _WITH_PEER = bgp_db.BgpSpeakerNetworkBinding, bgp_db.BgpSpeakerPeerBinding


def speakers(
    session: Any, network_ids: Collection[str]
) -> dict[str, tuple[facts.BgpSpeaker, ...]]:
    """Return the speakers by the networks that they are bound to, with their peers."""
    if directory.get_plugin(definition.ALIAS) is None:
        return {}
    rows = session.execute(
        sa.select(
            _ON_NETWORK.network_id,
            _SPEAKER.id,
            _SPEAKER.local_as,
            _SPEAKER.ip_version,
            _SPEAKER.advertise_floating_ip_host_routes,
            _SPEAKER.advertise_tenant_networks,
        )
        .join(_SPEAKER, _SPEAKER.id == _ON_NETWORK.bgp_speaker_id)
        .where(_ON_NETWORK.network_id.in_(network_ids))
        .order_by(_SPEAKER.id)
    ).all()
    peers = _peers(session, {row.id for row in rows}) if rows else {}
    return grouping.pairs((row.network_id, _speaker(row, peers.get(row.id, ()))) for row in rows)


def _speaker(row: Any, peers: tuple[facts.BgpPeer, ...]) -> facts.BgpSpeaker:
    return facts.BgpSpeaker(
        id=row.id,
        local_as=row.local_as,
        ip_version=row.ip_version,
        advertise_floating_ip_host_routes=row.advertise_floating_ip_host_routes,
        advertise_tenant_networks=row.advertise_tenant_networks,
        peers=peers,
    )


def networks_of_speaker(session: Any, speaker_id: str) -> list[str]:
    """Return the networks that a speaker is bound to."""
    return _networks(session, _ON_NETWORK.bgp_speaker_id == speaker_id)


def networks_of_peer(session: Any, peer_id: str) -> list[str]:
    """Return the networks on which a speaker is that speaks with a peer."""
    with_it = sa.select(_WITH_PEER.bgp_speaker_id).where(_WITH_PEER.bgp_peer_id == peer_id)
    return _networks(session, _ON_NETWORK.bgp_speaker_id.in_(with_it))


def _networks(session: Any, condition: Any) -> list[str]:
    found = sa.select(_ON_NETWORK.network_id).where(condition).distinct()
    return [str(row.network_id) for row in session.execute(found)]


def _peers(session: Any, speaker_ids: Collection[str]) -> dict[str, tuple[facts.BgpPeer, ...]]:
    rows = session.execute(
        sa.select(
            _WITH_PEER.bgp_speaker_id,
            _PEER.id,
            _PEER.peer_ip,
            _PEER.remote_as,
            _PEER.auth_type,
            _PEER.password,
        )
        .join(_PEER, _PEER.id == _WITH_PEER.bgp_peer_id)
        .where(_WITH_PEER.bgp_speaker_id.in_(speaker_ids))
        .order_by(_PEER.id)
    )
    return grouping.pairs((row.bgp_speaker_id, facts.BgpPeer(*row[1:])) for row in rows)
