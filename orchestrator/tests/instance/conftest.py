"""Instances with their real clients, against a cloud of small HTTP servers (``http_cloud``)."""

import pathlib
import sys

import pytest
from hypothesis import HealthCheck, settings
from keystoneauth1 import noauth, session
from sqlalchemy.engine import make_url

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import http_cloud

from astara import events
from astara.clients.appliance import Appliances
from astara.clients.neutron import Neutron
from astara.clients.nova import Nova
from astara.clients.rest import Patience, Service
from astara.cluster import fence
from astara.instance.router_instance import RouterInstance
from astara.instance.settings import Settings
from astara.instance.tools import Tools
from astara.machine import instance_port
from astara.machine.vocabulary import InstanceState
from astara.store import database, ownership, schema

# A busy machine is no reason to call a property wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

PATIENCE = Patience(timeout_s=5, repeats=2, pause_s=0.001, max_pause_s=0.002)


class Rig:
    """A cloud, and instances that are driven the way the automaton does, without its pauses."""

    def __init__(self, served, base):
        self.served = served
        self.epochs = ownership.Epochs(base)
        self.cloud = served.cloud
        self.appliances = Appliances(served.port, alive_timeout_s=1, config_timeout_s=5)
        self.neutron = Neutron(self._service("network"))
        self.nova = Nova(self._service("compute"))
        self.settings = Settings(
            host="node1",
            management_network_id=http_cloud.MGT_NET,
            management_subnet_id=http_cloud.MGT_SUBNET,
            image_id=http_cloud.IMAGE,
            flavor="m1.astara",
            api_port=served.port,
            alive_timeout_s=1,
            config_timeout_s=5,
            metadata_port=9697,
            metadata_secret="secret",
        )

    def _service(self, kind):
        keystone = session.Session(auth=noauth.NoAuth())
        endpoint = {"endpoint_override": f"{self.served.url}/{kind}"}
        service = Service(keystone, service_type=kind, endpoint=endpoint, patience=PATIENCE)
        service.project_id = lambda: http_cloud.PROJECT  # noauth has no project to tell
        return service

    def instance(self, router_id, owner="node1"):
        """An instance as a process of that node has it."""
        own = fence.Fence(self.epochs, owner)
        tools = Tools(self.neutron, self.nova, self.appliances, self.settings, "127.0.0.9", own)
        return RouterInstance(events.Resource("router", router_id, ""), tools)

    def drive(self, instance, wanted=InstanceState.CONFIGURED, steps=30):
        """Call the verbs until the state is reached; errors of the seam mean: again."""
        state = None
        for _ in range(steps):
            instance.begin_walk()
            try:
                state = self._step(instance)
            except instance_port.InstanceError:
                continue
            if state is wanted:
                return state
        raise AssertionError(f"still {state} after {steps} steps: {self.cloud.log[-10:]}")

    def _step(self, instance):
        state = instance.update_state()
        if state is InstanceState.DOWN:
            return instance.boot()
        if state is InstanceState.BOOTING:
            state = instance.check_boot()
        if state is InstanceState.HOTPLUG_NEEDED:
            state = instance.replug()
        if state is InstanceState.UP:
            state = instance.configure()
        if state is InstanceState.RESTART_NEEDED:
            state = instance.stop(final=False)
        return state

    def end(self, instance, steps=30):
        """Stop for good until nothing is left."""
        for _ in range(steps):
            try:
                if instance.stop(final=True) is InstanceState.GONE:
                    return
            except instance_port.InstanceError:
                continue
        raise AssertionError(f"not gone after {steps} steps: {self.cloud.log[-10:]}")


@pytest.fixture
def rig(tmp_path):
    """A fresh cloud with nothing in it."""
    served = http_cloud.Served(http_cloud.HttpCloud())
    base = database.open_database(make_url(f"sqlite:///{tmp_path}/astara.db"), 5)
    schema.upgrade(base)
    rig = Rig(served, base)
    yield rig
    base.close()
    rig.appliances.close()
    served.close()
