"""What each notification recorded from a real Neutron means for the workers."""

import json
import logging
import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara.events import Event, Hint, Resource
from astara.machine.vocabulary import Action
from astara.sources import mapping, neutron_events

RECORDED = pathlib.Path(__file__).parent / "data" / "notifications"
FILES = sorted(RECORDED.glob("*.json"))

ROUTER = "9b149231-3eb9-4f2a-bcd7-7d1978f6ea99"
TENANT = "c8d1a239bfff47ed91abe19735bc4198"
NETWORK = "344807cd-354f-4eee-ae1c-cbc540a959e2"
RESOURCE = Resource("router", ROUTER, TENANT)


def read(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def meaning(recorded):
    return mapping.messages_of(
        recorded["event_type"], recorded["payload"], recorded["_context_project_id"]
    )


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("router.create.end", Action.CREATE),
        ("router.update.end", Action.UPDATE),
        ("router.delete.end", Action.DELETE),
        ("router.interface.create", Action.UPDATE),
        ("router.interface.delete", Action.UPDATE),
    ],
)
def test_a_router_is_named_with_its_own_tenant(name, action):
    assert meaning(read(name)) == [Event(RESOURCE, action, source="notification")]


@pytest.mark.parametrize("name", ["port.create.end", "port.update.end", "port.delete.end"])
def test_a_tenants_port_means_the_routers_with_that_internal_network(name):
    hint = Hint(Action.UPDATE, network_id=NETWORK, port=True, source="notification")
    assert meaning(read(name)) == [hint]


@pytest.mark.parametrize("name", ["subnet.create.end", "subnet.update.end", "subnet.delete.end"])
def test_a_subnet_means_every_router_on_its_network(name):
    [hint] = meaning(read(name))
    assert hint == Hint(Action.UPDATE, network_id=hint.network_id, source="notification")
    assert hint.network_id == read(name)["payload"]["subnet"]["network_id"]


def test_a_network_update_means_every_router_on_it():
    [hint] = meaning(read("network.update.end"))
    assert hint == Hint(Action.UPDATE, network_id=NETWORK, source="notification")


def test_an_associated_floating_ip_means_its_router_and_its_tenant():
    recorded = read("floatingip.update.end")
    recorded["payload"]["floatingip"]["router_id"] = ROUTER
    assert meaning(recorded) == [
        Event(RESOURCE, Action.UPDATE, source="notification"),
        Hint(Action.UPDATE, tenant_id=TENANT, source="notification"),
    ]


@pytest.mark.parametrize("name", ["floatingip.create.end", "floatingip.delete.end"])
def test_a_floating_ip_without_router_means_its_tenant(name):
    assert meaning(read(name)) == [Hint(Action.UPDATE, tenant_id=TENANT, source="notification")]


def test_a_port_of_an_appliance_means_nothing():
    recorded = read("port.create.end")
    recorded["payload"]["port"]["description"] = f"astara:router:{ROUTER}"
    assert meaning(recorded) == []


def test_a_port_made_for_a_router_through_the_api_means_that_router():
    recorded = read("port.create.end")
    recorded["payload"]["port"] |= {
        "device_owner": "network:router_interface",
        "device_id": ROUTER,
    }
    assert meaning(recorded) == [Event(RESOURCE, Action.UPDATE, source="notification")]


@pytest.mark.parametrize(
    "name", ["network.create.end", "network.delete.end", "security_group.update.end"]
)
def test_what_concerns_no_appliance_means_nothing(name):
    assert meaning(read(name)) == []


@pytest.mark.parametrize("end", ["compute.instance.delete.end", "compute.instance.power_off.end"])
def test_the_end_of_a_server_of_ours_means_a_look_at_its_router(end):
    recorded = read("compute.instance.delete.end")
    recorded["event_type"] = end
    recorded["payload"]["metadata"] = {"astara_resource": f"router:{ROUTER}"}
    look = Event(Resource("router", ROUTER), Action.POLL, source="notification")
    assert meaning(recorded) == [look]


@pytest.mark.parametrize("mark", [{}, {"k": "v"}, {"astara_resource": "router:"}, [], None])
def test_the_end_of_a_tenants_server_means_nothing(mark):
    recorded = read("compute.instance.delete.end")
    recorded["payload"]["metadata"] = mark
    assert meaning(recorded) == []


def test_another_service_means_nothing():
    recorded = read("compute.instance.update")
    assert mapping.messages_of(recorded["event_type"], recorded["payload"]) == []


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_recorded_notification_is_understood(path):
    recorded = json.loads(path.read_text())
    messages = meaning(recorded)
    event_type = recorded["event_type"]
    concerns = event_type in mapping.RULES and not event_type.startswith("compute.")
    assert bool(messages) == concerns
    for message in messages:
        if isinstance(message, Event):
            assert message.resource.id
            assert message.resource.tenant_id


def test_the_start_of_a_change_means_nothing():
    assert not any(event_type.endswith(".start") for event_type in mapping.RULES)


def test_the_tenant_of_the_request_fills_in_where_the_payload_names_none():
    [event] = mapping.messages_of("router.delete.end", {"router_id": ROUTER}, "someone")
    assert event.resource == Resource("router", ROUTER, "someone")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
keys = st.sampled_from(["router", "router_interface", "port", "subnet", "network", "floatingip"])
inner_keys = st.sampled_from(["id", "network_id", "project_id", "router_id", "device_owner"])
payloads = st.dictionaries(keys, json_values | st.dictionaries(inner_keys, json_values))


@given(st.sampled_from(sorted(mapping.RULES)), payloads)
def test_no_payload_ends_the_listener(event_type, payload):
    sent = []
    endpoint = neutron_events.Endpoint(sent.append)
    endpoint.info({"project_id": "p"}, "network.host", event_type, payload, {})
    assert all(isinstance(message, Event | Hint) for message in sent)


@pytest.fixture
def driver_log():
    """A log that a watch listens to, and what the watch has asked for."""
    asked = []
    watch = neutron_events.BrokerWatch(lambda: asked.append(time.monotonic()), quiet_s=0.2)
    logger = logging.getLogger("test.driver")
    logger.setLevel("INFO")
    logger.addHandler(watch)
    yield logger, asked
    logger.removeHandler(watch)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_new_connection_to_the_broker_asks_for_an_audit_at_once(driver_log):
    logger, asked = driver_log
    logger.info("something else")
    logger.info("[%s] Reconnected to AMQP server on %s:%s", "id", "host", 5672)
    assert len(asked) == 1


def test_a_complaint_is_followed_by_an_audit_even_if_the_way_back_is_silent(driver_log):
    logger, asked = driver_log
    logger.error("Unable to connect to AMQP server")
    assert asked == []
    wait_for(lambda: asked)


def test_the_last_complaint_is_followed_by_an_audit_too(driver_log):
    logger, asked = driver_log
    for _ in range(3):
        logger.error("Failed to consume message from queue")
    last = time.monotonic()
    wait_for(lambda: len(asked) == 2)
    assert asked[-1] > last
