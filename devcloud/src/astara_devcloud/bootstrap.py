"""What every cloud has before its first tenant comes: users, catalog, images, flavors, networks.

Each step looks for what is there and creates what is missing, so it may run at every start. Called
by ``lifecycle``.
"""

import dataclasses
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import openstack.connection
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from astara_devcloud import (
    clients,
    markers,
    outside,
    readiness,
    resources,
    settings,
    tasks,
)
from astara_devcloud.config import neutron

IMAGE_BYTES = 1024 * 1024
APPLIANCE_IMAGE = "astara-appliance"
TENANT_IMAGE = "tenant-vm"
# Read by the hypervisor: which kind of guest an image stands for.
GUEST_PROPERTY = "devcloud_guest"
MANAGEMENT_NETWORK = "mgt"
MANAGEMENT_CIDR = "fdca:3ba5:a17a:acda::/64"
MANAGEMENT_MTU = 1450
PUBLIC_NETWORK = "public"
HOST_DEADLINE_S = 120.0
POLL_S = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Flavor:
    """A Nova flavor."""

    name: str
    memory_mib: int


APPLIANCE_FLAVOR = Flavor("m1.astara", 512)
TENANT_FLAVOR = Flavor("m1.tenant", 128)


class BootstrapError(Exception):
    """The cloud is up but something that every start needs did not come about."""


def steps(cloud: settings.Settings) -> list[tasks.Task]:
    """Return the bootstrap steps, each after the services that it talks to."""
    return [
        tasks.Task("identity", lambda: _identity(cloud), ("keystone",)),
        tasks.Task("images", lambda: _images(cloud), ("glance", "identity")),
        tasks.Task("flavors", lambda: _flavors(cloud), ("nova-api", "identity")),
        tasks.Task("networks", lambda: _networks(cloud), ("neutron-api", "identity")),
        tasks.Task("ssh key", lambda: _ssh_key(cloud)),
        tasks.Task("compute host", lambda: _host(cloud), ("nova-compute", "nova-scheduler")),
        tasks.Task(
            "resources",
            lambda: _resources(cloud),
            ("images", "flavors", "networks", "ssh key"),
        ),
    ]


def _admin(cloud: settings.Settings) -> openstack.connection.Connection:
    return clients.connect(clients.ADMIN, cloud.layout)


SERVICE_USERS = ("nova", "neutron", "glance", "placement", "astara")
SERVICE_ROLES = ("admin", "service")
TENANT_ROLES = ("member",)


def catalog(cloud: settings.Settings) -> tuple[tuple[str, str, str], ...]:
    """Return type, name and URL of the services that Keystone announces."""
    return (
        ("network", "neutron", cloud.neutron_url),
        ("compute", "nova", cloud.nova_url),
        ("placement", "placement", cloud.placement_url),
        ("image", "glance", cloud.glance_url),
    )


def _identity(cloud: settings.Settings) -> None:
    """Fill Keystone, once: only this step writes there, so a kept database still has it."""
    wanted = repr((SERVICE_USERS, SERVICE_ROLES, TENANT_ROLES, catalog(cloud)))
    markers.once(cloud.layout, "identity", wanted, lambda: _fill_keystone(cloud))


def _fill_keystone(cloud: settings.Settings) -> None:
    secrets = cloud.credentials
    with _admin(cloud) as admin:
        identity = admin.identity
        roles = {n: _named(identity, "role", n) for n in (*SERVICE_ROLES, *TENANT_ROLES)}
        service = _named(identity, "project", settings.SERVICE_PROJECT, domain_id="default")
        for name in SERVICE_USERS:
            user = _user(identity, name, getattr(secrets, name))
            for role in SERVICE_ROLES:
                identity.assign_project_role_to_user(service, user, roles[role])
        for name in (clients.TENANT, clients.OTHER):
            who = clients.login(secrets, name)
            project = _named(identity, "project", who.project, domain_id="default")
            user = _user(identity, who.user, who.password)
            for role in TENANT_ROLES:
                identity.assign_project_role_to_user(project, user, roles[role])
        _fill_catalog(identity, catalog(cloud))


def _named(proxy: Any, kind: str, name: str, **attributes: str) -> Any:
    """Find a resource by name, or create it."""
    found = getattr(proxy, f"find_{kind}")(name)
    return found or getattr(proxy, f"create_{kind}")(name=name, **attributes)


def _user(identity: Any, name: str, password: str) -> Any:
    return _named(identity, "user", name, password=password, domain_id="default")


def _fill_catalog(identity: Any, entries: Iterable[tuple[str, str, str]]) -> None:
    known = {(e.service_id, e.interface) for e in identity.endpoints()}
    for kind, name, url in entries:
        service = _named(identity, "service", name, type=kind)
        for interface in ("public", "internal", "admin"):
            if (service.id, interface) not in known:
                identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=url,
                    region_id=settings.REGION,
                )


def _images(cloud: settings.Settings) -> None:
    with _admin(cloud) as admin:
        for name, guest in ((APPLIANCE_IMAGE, "appliance"), (TENANT_IMAGE, "tenant")):
            found = admin.image.find_image(name)
            if found is not None and found.status == "active":
                continue
            if found is not None:
                admin.image.delete_image(found)
            image = admin.image.create_image(
                name=name,
                disk_format="raw",
                container_format="bare",
                visibility="public",
                allow_duplicates=True,
                **{GUEST_PROPERTY: guest},
            )
            # The hypervisor starts programs of this host; a disk is only what Nova insists on.
            image.data = bytes(IMAGE_BYTES)
            image.upload(admin.image)


def _flavors(cloud: settings.Settings) -> None:
    with _admin(cloud) as admin:
        for flavor in (APPLIANCE_FLAVOR, TENANT_FLAVOR):
            if admin.compute.find_flavor(flavor.name) is None:
                admin.compute.create_flavor(
                    name=flavor.name, ram=flavor.memory_mib, vcpus=1, disk=1
                )


def _networks(cloud: settings.Settings) -> None:
    with _admin(cloud) as admin:
        network = admin.network
        public = network.find_network(PUBLIC_NETWORK) or network.create_network(
            name=PUBLIC_NETWORK,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=settings.PHYSICAL_NETWORK,
            mtu=neutron.PUBLIC_MTU,
        )
        _subnet(
            network,
            public,
            "public-v4",
            ip_version=4,
            cidr=outside.NETWORK_V4,
            gateway_ip=outside.GATEWAY_V4,
            enable_dhcp=False,
        )
        _subnet(
            network,
            public,
            "public-v6",
            ip_version=6,
            cidr=outside.NETWORK_V6,
            gateway_ip=outside.GATEWAY_V6,
            enable_dhcp=False,
        )
        service = admin.identity.find_project(settings.SERVICE_PROJECT, ignore_missing=False)
        management = network.find_network(MANAGEMENT_NETWORK) or network.create_network(
            name=MANAGEMENT_NETWORK, project_id=service.id, mtu=MANAGEMENT_MTU
        )
        _subnet(
            network,
            management,
            "mgt",
            project_id=service.id,
            ip_version=6,
            cidr=MANAGEMENT_CIDR,
            gateway_ip=None,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )


def _subnet(network: Any, parent: Any, name: str, **attributes: Any) -> None:
    if network.find_subnet(name, network_id=parent.id) is None:
        network.create_subnet(name=name, network_id=parent.id, **attributes)


def _ssh_key(cloud: settings.Settings) -> None:
    create_ssh_key(cloud.layout.ssh_key)


def create_ssh_key(path: pathlib.Path) -> None:
    """Write an OpenSSH key pair, ``path`` and ``path``.pub, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    path.with_name(path.name + ".pub").write_bytes(public + b" astara-devcloud\n")
    draft = path.with_name(path.name + ".new")
    draft.touch(mode=0o600)
    draft.write_bytes(secret)
    draft.replace(path)


def _host(cloud: settings.Settings) -> None:
    """Wait until the scheduler has mapped the compute host into the cell."""
    deadline = time.monotonic() + HOST_DEADLINE_S
    sql = f"select 1 from host_mappings where host = '{settings.HOST}'"  # noqa: S608 - a constant
    while not readiness.query(cloud, "nova_api", sql):
        if time.monotonic() > deadline:
            raise BootstrapError(f"the scheduler does not know host {settings.HOST}")
        time.sleep(POLL_S)


def _resources(cloud: settings.Settings) -> None:
    with _admin(cloud) as admin:

        def identifier(proxy: Any, kind: str, name: str) -> str:
            return str(getattr(proxy, f"find_{kind}")(name, ignore_missing=False).id)

        known = resources.Resources(
            public_network_id=identifier(admin.network, "network", PUBLIC_NETWORK),
            management_network_id=identifier(admin.network, "network", MANAGEMENT_NETWORK),
            management_subnet_id=identifier(admin.network, "subnet", "mgt"),
            appliance_image_id=identifier(admin.image, "image", APPLIANCE_IMAGE),
            tenant_image_id=identifier(admin.image, "image", TENANT_IMAGE),
            appliance_flavor_id=identifier(admin.compute, "flavor", APPLIANCE_FLAVOR.name),
            tenant_flavor_id=identifier(admin.compute, "flavor", TENANT_FLAVOR.name),
        )
    resources.store(cloud.layout.resources, known)
