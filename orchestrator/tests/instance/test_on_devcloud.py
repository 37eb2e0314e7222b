"""The clients and an instance against the real Neutron, Nova and a real appliance.

The orchestrator of the devcloud runs meanwhile and drives the router; what is tested here only
looks, the way a second process would, and must not disturb it.
"""

import time
import uuid

import pytest
from oslo_config import cfg

from astara import conf as options
from astara import events, store
from astara.clients.connect import open_cloud
from astara.clients.errors import NotFound, Rejected
from astara.cluster import fence, node
from astara.conf import identity
from astara.drivers.router import needs
from astara.instance import factory, inventory, management, names, requirements, settings
from astara.machine.vocabulary import InstanceState
from astara.pki import trust

pytestmark = pytest.mark.cloud


def wait_for(look, deadline_s=120):
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def conf(devcloud):
    """The configuration that the devcloud's orchestrator runs with."""
    from astara_devcloud import layout

    conf = cfg.ConfigOpts()
    options.register(conf)
    identity.register(conf)
    conf(
        ["--config-file", str(layout.current_layout().etc / "orchestrator.ini")], project="astara"
    )
    return conf


@pytest.fixture(scope="module")
def cloud(conf):
    return open_cloud(conf)


@pytest.fixture(scope="module")
def router(tenant):
    """A tenant's router with one network, served by an appliance."""
    label = f"inst-{uuid.uuid4().hex[:6]}"
    network = tenant.network.create_network(name=label)
    subnet = tenant.network.create_subnet(
        network_id=network.id, ip_version=4, cidr="10.77.0.0/24", name=label
    )
    router = tenant.network.create_router(name=label)
    try:
        tenant.network.add_interface_to_router(router, subnet=subnet.id)
        wait_for(lambda: tenant.network.get_router(router.id).status == "ACTIVE")
        yield router.id
    finally:
        tenant.network.remove_interface_from_router(router, subnet=subnet.id)
        tenant.network.delete_router(router.id)
        wait_for(lambda: not list(tenant.network.ports(network_id=network.id)))
        wait_for(lambda: deleted(tenant, network.id))


def deleted(tenant, network_id):
    """Delete a network; False while a carrier port of ours still lies on it."""
    import openstack.exceptions

    try:
        tenant.network.delete_network(network_id)
    except openstack.exceptions.ConflictException:
        return False
    return True


@pytest.fixture(scope="module")
def makes(conf, cloud):
    address = management.recorded_address(conf.state_path)
    opened = store.open_store(conf)
    own = fence.Fence(opened.epochs, node.this_node(conf).owner)
    trusted = trust.from_conf(conf, opened)
    factory_ = factory.from_cloud(cloud, settings.from_conf(conf), address, own, opened, trusted)
    yield factory_
    factory_.close()


def test_this_cloud_has_all_that_is_needed(conf):
    requirements.verify(conf)


def test_the_router_is_listed_and_read_whole(cloud, router):
    listed = {r.id: r for page in cloud.neutron.router_pages(1) for r in page}
    detail = cloud.neutron.router(router)

    assert listed[router].generation == detail.generation
    assert listed[router].project_id == detail.project_id
    assert len(needs.logical_ports(detail)) == 1
    assert detail.networks[0].subnets[0].cidr == "10.77.0.0/24"
    assert cloud.neutron.router(str(uuid.uuid4())) is None


def test_its_ports_and_its_server_are_found_by_their_marks(cloud, router):
    ports = cloud.neutron.ports_of_router(router)
    [server] = cloud.nova.servers(names.resource(router), names.server_prefix(router))

    assert len(ports) == 2
    assert {port.device_id for port in ports} == {server.id}
    assert {port.project_id for port in ports} == {cloud.neutron.project_id}
    assert [port.ip_allocation for port in ports if not port.fixed_ips] == ["none"]
    attached = {attachment.port_id for attachment in cloud.nova.attachments(server.id)}
    assert attached == {port.id for port in ports}


def test_the_inventory_lists_it_and_finds_its_traces(cloud, router):
    lister = inventory.CloudInventory(cloud, page_size=50)

    assert router in {line.resource.id for page in lister.pages() for line in page}
    assert router in {trace.resource.id for trace in lister.traces()}


def test_a_second_process_finds_it_configured_and_changes_nothing(cloud, makes, router):
    before = makes.calls
    instance = makes.create(events.Resource("router", router))

    def settled():
        instance.begin_walk()
        return instance.update_state() is InstanceState.CONFIGURED

    wait_for(settled)
    made = {name: n - before.get(name, 0) for name, n in makes.calls.items()}

    assert instance.answering
    assert instance.serving
    assert "PUT /v1/system/config" not in made
    assert "POST /servers" not in made
    assert instance.applied_generation == cloud.neutron.router(router).generation


def test_a_healthy_instance_costs_two_calls_a_poll(makes, router):
    instance = makes.create(events.Resource("router", router))
    instance.begin_walk()
    instance.update_state()
    before = makes.calls

    instance.begin_walk()
    instance.update_state()

    made = {n: c - before.get(n, 0) for n, c in makes.calls.items() if c > before.get(n, 0)}
    assert made == {"GET /v2.0/astara-routers/*": 1, "GET /v1/status": 1}


def test_plugging_the_management_port_again_leaves_it_as_it_is(conf, monkeypatch):
    from astara_devcloud import layout

    monkeypatch.setenv("OVS_RUNDIR", str(layout.current_layout().openvswitch))

    assert management.ensure_local_port(conf) == management.recorded_address(conf.state_path)


def test_neutron_and_nova_refuse_in_words_that_are_understood(cloud):
    nowhere = str(uuid.uuid4())

    assert cloud.nova.server(nowhere) is None
    assert not cloud.neutron.set_router_status(nowhere, "ACTIVE")
    cloud.nova.delete_server(nowhere)
    cloud.neutron.delete_port(nowhere)
    with pytest.raises(NotFound):
        cloud.neutron.create_port({"network_id": nowhere})
    with pytest.raises(Rejected):
        cloud.neutron.create_port({"network_id": "not an id"})
