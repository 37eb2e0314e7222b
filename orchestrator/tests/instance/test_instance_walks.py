"""What an instance does to Neutron, Nova and the appliance, told by those it was done to."""

import http_cloud
import msgspec
import pytest

from astara.clients import connect
from astara.instance import inventory, stop
from astara.machine import instance_port
from astara.machine.vocabulary import InstanceState


def test_a_new_router_gets_a_configured_appliance(rig):
    router_id = rig.cloud.add_router(networks=2)
    instance = rig.instance(router_id)

    rig.drive(instance)

    [server] = rig.cloud.servers.values()
    assert server["name"] == f"ak-router-{router_id}_0"
    assert server["metadata"] == {"astara_resource": f"router:{router_id}"}
    assert len(rig.cloud.ports_of(router_id)) == 3
    [(_, document)] = rig.cloud.pushes
    assert document.router_id == router_id
    assert [n.network_type for n in document.networks].count("internal") == 2
    router = rig.cloud.routers[router_id]
    assert router["status"] == "ACTIVE"
    assert {port["status"] for port in router["ports"]} == {"ACTIVE"}
    assert instance.applied_generation == "g1"
    assert instance.tenant_id == router["project_id"]


def test_a_router_without_networks_boots_with_its_management_nic(rig):
    router_id = rig.cloud.add_router(networks=0)

    rig.drive(rig.instance(router_id))

    assert len(rig.cloud.ports_of(router_id)) == 1
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def test_a_healthy_instance_costs_two_calls_a_poll_and_no_push(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    pushes = len(rig.cloud.pushes)
    rig.cloud.log.clear()

    instance.begin_walk()
    assert instance.update_state() is InstanceState.CONFIGURED
    assert instance.configure() is InstanceState.CONFIGURED

    assert [line.split()[1].rsplit("/", 1)[0] for line in rig.cloud.log] == [
        "/network/v2.0/astara-routers",
        "/v1",
    ]
    assert len(rig.cloud.pushes) == pushes


def test_a_restarted_orchestrator_pushes_nothing_and_reports_nothing(rig):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    pushes, puts = len(rig.cloud.pushes), len(rig.cloud.status_puts)
    rig.cloud.log.clear()

    fresh = rig.instance(router_id)
    fresh.begin_walk()
    assert fresh.update_state() is InstanceState.CONFIGURED

    assert (len(rig.cloud.pushes), len(rig.cloud.status_puts)) == (pushes, puts)
    assert fresh.answering
    assert fresh.serving
    assert len(rig.cloud.log) == 5, "router, ports, management network and subnet, appliance"
    [server_id] = rig.cloud.servers
    assert fresh.describe().server_id == server_id


def test_silence_after_a_restart_is_that_of_a_server_that_has_answered(rig):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    fresh = rig.instance(router_id)
    fresh.begin_walk()
    fresh.update_state()

    rig.cloud.silence()
    fresh.begin_walk()

    assert fresh.update_state() is InstanceState.CONFIGURED
    assert not fresh.answering


def glance(rig, instance):
    """What one poll asks for, and the state it finds."""
    instance.begin_walk()
    before = len(rig.cloud.log)
    state = instance.glance()
    instance.end_walk()
    return state, rig.cloud.log[before:]


def test_a_poll_asks_the_appliance_alone_while_all_is_well(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    instance.end_walk()

    assert glance(rig, instance) == (InstanceState.CONFIGURED, ["GET /v1/status"])


def test_a_poll_looks_at_everything_when_the_appliance_runs_something_else(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    [appliance] = rig.cloud.appliances.values()
    appliance["digest"] = "0" * 64

    state, asked = glance(rig, instance)

    assert state is InstanceState.UP
    assert any("astara-routers" in line for line in asked)


def test_a_poll_asks_nova_about_an_appliance_that_is_silent_and_probes_it_once(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    rig.cloud.silence()

    state, asked = glance(rig, instance)

    assert state is InstanceState.CONFIGURED
    assert not instance.answering
    assert asked.count("GET /v1/status") == 1
    assert any("/servers/" in line for line in asked)


def test_a_report_that_was_not_sent_makes_the_next_poll_look_at_everything(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    rig.cloud.routers[router_id]["status"] = "DOWN"
    instance.begin_walk()
    rig.cloud.refuse_reports = True
    instance.update_state()
    rig.cloud.refuse_reports = False

    glance(rig, instance)

    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def test_what_was_read_for_many_is_not_read_again(rig):
    routers = [rig.cloud.add_router() for _ in range(3)]
    for router_id in routers:
        rig.drive(rig.instance(router_id))
    instances = [rig.instance(router_id) for router_id in routers]
    briefings = instances[0]._tools.briefings
    for instance in instances:
        instance._tools.briefings = briefings
    rig.cloud.log.clear()

    briefings.prepare(routers, set(routers))
    briefings.forget(routers[2])
    for instance in instances:
        instance.begin_walk()
        assert instance.update_state() is InstanceState.CONFIGURED

    reads = [line for line in rig.cloud.log if "astara-routers" in line]
    path = "GET /network/v2.0/astara-routers"
    assert reads == [path, f"{path}/{routers[2]}"]
    assert rig.cloud.log.count("GET /network/v2.0/ports") == 2


def test_a_change_is_pushed_without_showing_the_tenant_an_outage(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    puts = len(rig.cloud.status_puts)
    rig.cloud.routers[router_id]["routes"] = [
        {"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}
    ]

    rig.drive(instance)

    assert rig.cloud.pushes[-1][1].static_routes == (("10.9.0.0/16", "10.1.0.9"),)
    assert len(rig.cloud.status_puts) == puts


def test_a_new_network_is_plugged_into_the_same_server(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [server_id] = rig.cloud.servers
    added = {rig.cloud.add_interface(router_id), rig.cloud.add_interface(router_id)}

    instance.begin_walk()
    assert instance.update_state() is InstanceState.HOTPLUG_NEEDED
    assert instance.replug() is InstanceState.UP
    assert instance.configure() is InstanceState.CONFIGURED

    assert list(rig.cloud.servers) == [server_id]
    assert added <= {n.network_id for n in rig.cloud.pushes[-1][1].networks}
    assert instance.networks >= added


def test_a_network_that_left_takes_its_port_along(rig):
    router_id = rig.cloud.add_router(networks=2)
    instance = rig.instance(router_id)
    rig.drive(instance)
    gone = rig.cloud.routers[router_id]["networks"][0]["id"]
    rig.cloud.remove_interface(router_id, gone)

    rig.drive(instance)

    assert gone not in {port["network_id"] for port in rig.cloud.ports_of(router_id)}
    assert gone not in {n.network_id for n in rig.cloud.pushes[-1][1].networks}
    assert len(rig.cloud.servers) == 1


def test_several_ports_on_one_network_share_a_nic(rig):
    router_id = rig.cloud.add_router()
    router = rig.cloud.routers[router_id]
    second = dict(router["ports"][0], id="00000000-0000-4000-8000-00000000000f")
    second["fixed_ips"] = [dict(second["fixed_ips"][0], ip_address="10.1.0.254")]
    router["ports"].append(second)

    rig.drive(rig.instance(router_id))

    assert len(rig.cloud.ports_of(router_id)) == 2
    internal = [n for n in rig.cloud.pushes[-1][1].networks if n.network_type == "internal"]
    assert {"10.1.0.1/24", "10.1.0.254/24"} <= set(internal[0].interface.addresses)


def test_a_server_deleted_behind_our_back_is_booted_again_with_the_same_ports(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    ports = {port["id"]: port["mac_address"] for port in rig.cloud.ports_of(router_id)}
    [server] = rig.cloud.servers.values()
    rig.cloud._erase(server)

    instance.begin_walk()
    assert instance.update_state() is InstanceState.DOWN
    assert not instance.answering
    rig.drive(instance)

    assert {p["id"]: p["mac_address"] for p in rig.cloud.ports_of(router_id)} == ports
    assert server["id"] not in rig.cloud.servers


def test_a_silent_appliance_keeps_its_state_and_says_so(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    rig.cloud.silence()

    instance.begin_walk()
    assert instance.update_state() is InstanceState.CONFIGURED
    assert not instance.answering
    instance.begin_walk()
    with pytest.raises(instance_port.Retry):
        instance.configure()


def test_a_silent_appliance_that_this_process_never_heard_is_booting(rig):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    rig.cloud.silence()

    fresh = rig.instance(router_id)
    fresh.begin_walk()

    assert fresh.update_state() is InstanceState.BOOTING
    assert fresh.boot_age_s >= 0


@pytest.mark.parametrize("status", ["ERROR", "SHUTOFF", "PAUSED", "SUSPENDED"])
def test_a_server_that_cannot_serve_is_replaced(rig, status):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [server] = rig.cloud.servers.values()
    server["status"] = status
    rig.cloud.silence()

    instance.begin_walk()
    assert instance.update_state() is InstanceState.RESTART_NEEDED
    rig.cloud.boots_to_error = False
    rig.drive(instance)

    assert server["id"] not in rig.cloud.servers
    assert len(rig.cloud.servers) == 1


def test_a_failed_boot_is_told_and_its_server_removed_before_the_next(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.cloud.boots_to_error = True
    instance.begin_walk()
    assert instance.update_state() is InstanceState.DOWN
    assert instance.boot() is InstanceState.BOOTING
    assert instance.check_boot() is InstanceState.RESTART_NEEDED

    with pytest.raises(instance_port.Retry):
        instance.boot()
    rig.cloud.boots_to_error = False
    rig.drive(instance)

    assert len(rig.cloud.servers) == 1


def test_a_second_boot_adopts_what_the_first_left(rig):
    router_id = rig.cloud.add_router()
    first, second = rig.instance(router_id), rig.instance(router_id)
    first.begin_walk()
    first.boot()

    second.begin_walk()
    assert second.boot() is InstanceState.UP

    assert len(rig.cloud.servers) == 1


def test_a_server_of_somebody_else_with_our_name_is_not_ours(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [server] = rig.cloud.servers.values()
    server["metadata"] = {}

    fresh = rig.instance(router_id)
    fresh.begin_walk()
    rig.cloud.silence()

    assert fresh.update_state() is InstanceState.DOWN


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"badRequest": {"code": 400, "message": "image"}}), instance_port.BootFailed),
        ((403, {"forbidden": {"message": "Quota exceeded"}}), instance_port.OperatorError),
        ((403, {"forbidden": {"message": "Policy"}}), instance_port.OperatorError),
        ((409, {"conflict": {"message": "in use"}}), instance_port.Retry),
        ((503, {}), instance_port.Retry),
    ],
    ids=["bad image", "quota", "policy", "port in use", "nova away"],
)
def test_what_nova_refuses_becomes_what_the_automaton_understands(rig, answer, error):
    instance = rig.instance(rig.cloud.add_router())
    rig.cloud.refuse_create = answer
    instance.begin_walk()

    with pytest.raises(error):
        instance.boot()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            (
                500,
                {
                    "error": {
                        "code": "apply-failed",
                        "driver": "firewall",
                        "reason": "nft",
                        "rolled_back": True,
                    }
                },
            ),
            instance_port.ConfigureFailed,
        ),
        (
            (400, {"error": {"code": "invalid-document", "path": "$.x", "reason": "no"}}),
            instance_port.OperatorError,
        ),
        ((409, {"error": {"code": "stale-epoch", "reason": "old"}}), instance_port.Retry),
        ((503, {"error": {"code": "busy", "reason": "applying"}}), instance_port.Retry),
    ],
    ids=["apply failed", "invalid", "stale epoch", "busy"],
)
def test_what_the_appliance_refuses_becomes_what_the_automaton_understands(rig, answer, error):
    instance = rig.instance(rig.cloud.add_router())
    instance.begin_walk()
    instance.boot()
    instance.check_boot()
    for appliance in rig.cloud.appliances.values():
        appliance["refuse"] = answer

    with pytest.raises(error):
        instance.configure()
    assert not instance.serving


def test_an_appliance_of_an_older_release_is_named_and_serves_on(rig):
    instance = rig.instance(rig.cloud.add_router())
    rig.drive(instance)
    [appliance] = rig.cloud.appliances.values()
    appliance["digest"] = "0" * 64
    refusal = {"code": "invalid-document", "path": "$.flow_offload", "reason": "unknown key"}
    appliance["refuse"] = (400, {"error": refusal})

    instance.begin_walk()
    instance.update_state()
    with pytest.raises(instance_port.OperatorError) as told:
        instance.configure()
    assert "older release" in str(told.value)
    assert "flow_offload" in str(told.value)
    assert f"astara-ctl router rebuild {instance.resource.id}" in str(told.value)
    assert instance.serving, "what runs is left alone: one more server would know no more"
    assert len(rig.cloud.servers) == 1


def test_what_an_appliance_of_a_later_release_runs_can_be_shown(rig):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    [(address, appliance)] = rig.cloud.appliances.items()
    appliance["committed"] = {"router_id": router_id, "teleports": [1]}
    running = rig.appliances.committed(address, router_id)
    assert running.configuration.router_id == router_id
    assert running.unknown == ("$.teleports",)


def test_a_deleted_router_leaves_nothing(rig):
    router_id = rig.cloud.add_router(networks=2)
    instance = rig.instance(router_id)
    rig.drive(instance)
    del rig.cloud.routers[router_id]
    rig.cloud.deletion_takes = 2

    instance.begin_walk()
    assert instance.update_state() is InstanceState.GONE
    assert instance.stop(final=True) is InstanceState.RESTART_NEEDED
    assert len(rig.cloud.ports_of(router_id)) == 3  # ports go after the server
    rig.end(instance)

    assert not rig.cloud.servers
    assert not rig.cloud.ports_of(router_id)


def test_a_deletion_that_nova_lost_is_asked_for_again(rig, monkeypatch):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    del rig.cloud.routers[router_id]
    rig.cloud.deletion_takes = 10**6  # its message was lost with the broker

    instance.begin_walk()
    assert instance.stop(final=True) is InstanceState.RESTART_NEEDED
    assert instance.stop(final=True) is InstanceState.RESTART_NEEDED  # patience first
    rig.cloud.deletion_takes = 0
    monkeypatch.setattr(stop, "LOST_AFTER_S", 0.0)
    rig.end(instance)

    assert not rig.cloud.servers
    assert not rig.cloud.ports_of(router_id)


def test_a_neutron_without_our_plugin_does_not_make_routers_vanish(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    del rig.cloud.routers[router_id]
    rig.cloud.extension_missing = True

    instance.begin_walk()
    with pytest.raises(instance_port.Retry):
        instance.update_state()
    assert instance.stop(final=False) is not InstanceState.GONE


def test_leftovers_of_a_router_that_was_deleted_unseen_are_removed(rig):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    del rig.cloud.routers[router_id]

    rig.end(rig.instance(router_id))

    assert not rig.cloud.servers
    assert not rig.cloud.ports_of(router_id)


def test_stopping_for_a_rebuild_keeps_the_ports(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)

    instance.begin_walk()
    states = [instance.stop(final=False), instance.stop(final=False)]

    assert states == [InstanceState.RESTART_NEEDED, InstanceState.DOWN]
    assert len(rig.cloud.ports_of(router_id)) == 2
    assert rig.cloud.routers[router_id]["status"] == "DOWN"


def test_stopping_for_a_rebuild_notices_that_the_router_is_gone(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    del rig.cloud.routers[router_id]

    instance.begin_walk()
    instance.stop(final=False)

    assert instance.stop(final=False) is InstanceState.GONE


def test_a_router_that_is_switched_off_keeps_its_appliance_and_loses_its_networks(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    router = rig.cloud.routers[router_id]
    router["admin_state_up"] = False

    rig.drive(instance)

    assert [n.network_type for n in rig.cloud.pushes[-1][1].networks] == ["management"]
    assert router["status"] == "DOWN"
    assert {port["status"] for port in router["ports"]} == {"DOWN"}
    assert len(rig.cloud.servers) == 1


def test_error_is_told_and_cleared_by_looking_again(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)

    instance.begin_walk()
    assert instance.set_error("too many boots") is InstanceState.ERROR
    assert rig.cloud.routers[router_id]["status"] == "ERROR"
    assert {p["status"] for p in rig.cloud.routers[router_id]["ports"]} == {"ACTIVE"}

    assert instance.clear_error() is InstanceState.CONFIGURED
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def test_a_status_that_could_not_be_sent_is_sent_by_the_next_walk(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    rig.cloud.routers[router_id]["status"] = "BUILD"  # as if the PUT had been lost

    instance.begin_walk()
    instance.update_state()

    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def test_a_port_held_by_a_vanished_server_is_freed(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [server] = rig.cloud.servers.values()
    del rig.cloud.servers[server["id"]]  # as if Nova had forgotten to unbind
    rig.cloud.appliances.clear()

    rig.drive(instance)

    assert len(rig.cloud.ports_of(router_id)) == 2


def test_a_carrier_deleted_behind_our_back_is_plugged_anew(rig):
    router_id = rig.cloud.add_router(networks=2)
    instance = rig.instance(router_id)
    rig.drive(instance)
    [server_id] = rig.cloud.servers
    lost = next(p for p in rig.cloud.ports_of(router_id) if not p["fixed_ips"])
    rig.cloud.neutron("DELETE", f"/v2.0/ports/{lost['id']}", {}, None)

    rig.drive(instance)

    assert list(rig.cloud.servers) == [server_id]
    again = [p for p in rig.cloud.ports_of(router_id) if p["network_id"] == lost["network_id"]]
    assert [port["device_id"] for port in again] == [server_id]


def test_a_lost_management_port_is_made_again_for_the_next_server(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    lost = next(p for p in rig.cloud.ports_of(router_id) if p["fixed_ips"])
    rig.cloud.neutron("DELETE", f"/v2.0/ports/{lost['id']}", {}, None)
    rig.cloud.silence()

    instance.begin_walk()
    instance.update_state()
    assert not instance.answering
    instance.stop(final=False)
    rig.drive(instance)

    assert len(rig.cloud.ports_of(router_id)) == 2


def test_a_carrier_that_nova_would_refuse_is_replaced(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    instance.begin_walk()
    instance.boot()
    rig.end(instance)
    net = rig.cloud.routers[router_id]["networks"][0]["id"]
    odd = rig.cloud._new_port(
        {"network_id": net, "description": f"astara:router:{router_id}", "name": "odd"}
    ) | {"ip_allocation": "immediate"}
    rig.cloud.ports[odd["id"]] = odd

    rig.drive(instance)

    assert odd["id"] not in rig.cloud.ports


@pytest.mark.parametrize("lost", range(1, 26))
def test_an_answer_lost_at_any_call_leaves_exactly_one_of_everything(rig, lost):
    """Walk from nothing to configured; the n-th answer is lost, then a new process goes on."""
    router_id = rig.cloud.add_router(networks=2)
    rig.cloud.break_at = lost

    first = rig.instance(router_id)
    first.begin_walk()
    try:
        rig._step(first)
        rig._step(first)
    except instance_port.InstanceError:
        pass
    rig.drive(rig.instance(router_id))

    assert len(rig.cloud.servers) == 1
    ports = rig.cloud.ports_of(router_id)
    assert len({port["network_id"] for port in ports}) == len(ports) == 3
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def _comes_about(rig, router_id):
    """Have Nova make the server of a creation that it did not answer."""
    ports = [{"port": port["id"]} for port in rig.cloud.ports_of(router_id)]
    mark = {"astara_resource": f"router:{router_id}"}
    body = {"name": f"ak-router-{router_id}_0", "networks": ports, "metadata": mark}
    assert rig.cloud._create_server(body, {})[0] == 202


def test_a_creation_without_an_answer_is_not_repeated_while_it_may_come_about(rig):
    """A Nova that took longer than 30 seconds made two servers: ours and the repetition."""
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    instance.begin_walk()
    rig.cloud.refuse_create = (504, {"error": {"message": "the gateway lost patience"}})
    with pytest.raises(instance_port.Retry, match="lost patience"):
        instance.boot()
    rig.cloud.refuse_create = None

    with pytest.raises(instance_port.Retry, match="may still come about"):
        instance.boot()
    assert not rig.cloud.servers
    _comes_about(rig, router_id)
    rig.drive(instance)

    assert len(rig.cloud.servers) == 1
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


@pytest.mark.parametrize("late", ["ERROR", "BUILD"])
def test_a_creation_that_comes_about_after_all_patience_is_undone(rig, late):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    instance.begin_walk()
    instance.boot()
    [first] = rig.cloud.servers.values()
    second = first | {"id": http_cloud.new_id(), "status": late, "_ports": [], "_held": True}
    rig.cloud.servers[second["id"]] = second
    instance.check_boot()
    rig.drive(instance)

    assert list(rig.cloud.servers) == [first["id"]]
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"


def _doubled(rig, first, **values):
    """Have a second server, as somebody left it who died before he wrote it down."""
    second = first | {"id": http_cloud.new_id(), "_ports": []} | values
    rig.cloud.servers[second["id"]] = second
    return second["id"]


@pytest.mark.parametrize("older", [False, True])
def test_of_two_servers_the_one_without_the_ports_goes_after_a_restart(rig, older):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    [first] = rig.cloud.servers.values()
    created = "2020-01-01T00:00:00Z" if older else "2030-01-01T00:00:00Z"
    second = _doubled(rig, first, status="ACTIVE", created=created)
    successor = rig.instance(router_id)
    rig.drive(successor)
    assert second in rig.cloud.servers, "an appliance that answers is not asked about"

    successor.recount()
    successor.begin_walk()
    successor.glance()
    assert list(rig.cloud.servers) == [first["id"]]
    assert successor.state is InstanceState.CONFIGURED


def test_a_second_server_of_somebody_else_or_of_the_other_half_is_left_alone(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [first] = rig.cloud.servers.values()
    unmarked = _doubled(rig, first, status="ACTIVE", metadata={})
    half = _doubled(rig, first, status="ACTIVE", name=f"ak-router-{router_id}_1")
    odd = _doubled(rig, first, status="ACTIVE", name=f"mine-{router_id}")
    instance.recount()
    instance.begin_walk()
    instance.update_state()
    assert set(rig.cloud.servers) == {first["id"], unmarked, half, odd}


def test_the_inventory_tells_what_is_there_twice(rig):
    single, twice = rig.cloud.add_router(), rig.cloud.add_router()
    for router_id in (single, twice):
        rig.drive(rig.instance(router_id))
    first, second = rig.cloud.servers.values()
    _doubled(rig, first, status="ACTIVE", name=f"ak-router-{single}_1")
    _doubled(rig, first, status="ACTIVE", _deleting=1, _held=True)
    _doubled(rig, second, status="ERROR")
    cloud = connect.Cloud(neutron=rig.neutron, nova=rig.nova, glance=None, keystone=None)
    lister = inventory.CloudInventory(cloud, 100)
    assert {trace.resource.id: trace.doubled for trace in lister.traces()} == {
        single: False,
        twice: True,
    }


@pytest.mark.parametrize("lost", range(1, 12))
def test_an_answer_lost_at_any_call_of_the_end_leaves_nothing(rig, lost):
    router_id = rig.cloud.add_router()
    rig.drive(rig.instance(router_id))
    del rig.cloud.routers[router_id]
    rig.cloud.break_at = rig.cloud.count + lost

    rig.end(rig.instance(router_id))

    assert not rig.cloud.servers
    assert not rig.cloud.ports_of(router_id)


def test_what_is_pushed_is_what_the_contract_reads(rig):
    rig.drive(rig.instance(rig.cloud.add_router()))
    [(_, document)] = rig.cloud.pushes

    assert msgspec.json.decode(msgspec.json.encode(document))["schema_version"] == 1


@pytest.mark.parametrize("lost", range(1, 14))
def test_an_answer_lost_at_any_call_of_a_replug_leaves_the_right_nics(rig, lost):
    router_id = rig.cloud.add_router(networks=2)
    instance = rig.instance(router_id)
    rig.drive(instance)
    rig.cloud.remove_interface(router_id, rig.cloud.routers[router_id]["networks"][0]["id"])
    rig.cloud.add_interface(router_id)
    rig.cloud.break_at = rig.cloud.count + lost

    rig.drive(rig.instance(router_id))

    [server] = rig.cloud.servers.values()
    plugged = {rig.cloud.ports[p]["network_id"] for p in server["_ports"]}
    networks = {n["id"] for n in rig.cloud.routers[router_id]["networks"]}
    assert plugged == networks | {http_cloud.MGT_NET}
    assert {p["network_id"] for p in rig.cloud.ports_of(router_id)} == plugged
