"""Open the clients of a process: one keystone session, shared by all its threads.

Decides nothing. Called by the factory of instances, the inventory and the metadata proxy.
"""

from dataclasses import dataclass
from typing import Any

from keystoneauth1 import loading, session

from ..conf import identity
from .glance import Glance
from .neutron import Neutron
from .nova import MICROVERSION, Nova
from .rest import Patience, Service

SERVICES = 10  # services, by host and port, whose connections are kept


@dataclass(frozen=True, slots=True)
class Cloud:
    """The OpenStack services that the orchestrator talks to."""

    neutron: Neutron
    nova: Nova
    glance: Glance
    keystone: session.Session


def open_cloud(conf: Any, *, read_only: bool = False) -> Cloud:
    """Open Neutron and Nova with the service credentials of ``[keystone_authtoken]``.

    ``conf`` is the parsed oslo.config object. Nothing is asked of the network yet.
    `read_only` clients raise `NotSent` in place of every request that would change something.
    """
    identity.register(conf)
    auth = loading.load_auth_from_conf_options(conf, identity.GROUP)
    keystone = loading.load_session_from_conf_options(conf, identity.GROUP, auth=auth)
    widen(keystone, conf.num_worker_threads)
    return from_session(
        keystone,
        interface=conf.endpoint_type,
        region=conf.auth_region,
        read_only=read_only,
    )


def widen(keystone: session.Session, threads: int) -> None:
    """Let a session keep a connection per service for each thread.

    Beyond its ten it opens one per call, and complains in the log.
    """
    for adapter in set(keystone.session.adapters.values()):
        adapter.init_poolmanager(SERVICES, threads)


def from_session(
    keystone: session.Session,
    *,
    interface: str = "public",
    region: str | None = None,
    read_only: bool = False,
) -> Cloud:
    """Open Neutron and Nova on an existing session."""
    endpoint = {"interface": interface.removesuffix("URL"), "region_name": region}
    patience = Patience()
    network = Service(
        keystone,
        service_type="network",
        endpoint=endpoint,
        patience=patience,
        read_only=read_only,
    )
    compute = Service(
        keystone,
        service_type="compute",
        endpoint=endpoint,
        patience=patience,
        microversion=MICROVERSION,
        read_only=read_only,
    )
    image = Service(
        keystone,
        service_type="image",
        endpoint=endpoint,
        patience=patience,
        read_only=read_only,
    )
    return Cloud(
        neutron=Neutron(network), nova=Nova(compute), glance=Glance(image), keystone=keystone
    )
