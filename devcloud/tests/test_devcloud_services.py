"""The service table and the graph of a start."""

import pathlib
import sys

import pytest

from astara_devcloud import (
    bootstrap,
    cli,
    clients,
    commands,
    credentials,
    faults,
    layout,
    lifecycle,
    markers,
    openvswitch,
    outside,
    outside_http,
    schema,
    services,
    settings,
    tasks,
)


@pytest.fixture
def cloud(tmp_path):
    return settings.Settings(
        layout.Layout(tmp_path), layout.Ports(), credentials.draw(), pathlib.Path(sys.prefix)
    )


def test_every_need_of_a_start_exists_and_there_is_no_circle(cloud):
    graph = lifecycle._graph(cloud, services.declare(cloud), lambda _text: None)
    order = tasks.ordered(graph)
    assert order.index("keystone schema") < order.index("keystone") < order.index("identity")
    assert order.index("resources") < order.index(services.ORCHESTRATOR)


def test_no_two_services_share_a_port(cloud):
    taken = [port for service in services.declare(cloud).values() for port in service.ports]
    assert len(taken) == len(set(taken))
    # Below the range from which Linux gives ports to clients.
    assert all(30000 <= port < 32768 for port in taken)


def test_services_inherit_nothing_from_the_caller(cloud, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "somebody-elses")
    for service in services.declare(cloud).values():
        assert "OS_CLOUD" not in services.environment(cloud, service)


def test_a_changed_configuration_changes_the_fingerprint(cloud):
    keystone = services.declare(cloud)["keystone"]
    changed = settings.Settings(cloud.layout, cloud.ports, credentials.draw(), cloud.prefix)
    same = services.fingerprint(cloud, keystone)
    assert services.fingerprint(cloud, services.declare(cloud)["keystone"]) == same
    renewed = services.declare(changed)["nova-compute"]
    assert services.fingerprint(changed, renewed) != services.fingerprint(
        cloud, services.declare(cloud)["nova-compute"]
    )


@pytest.mark.parametrize("name", ["orchestrator", "astara-orchestrator"])
def test_the_orchestrator_is_found_under_both_names(cloud, name):
    assert lifecycle.resolve(cloud, name).name == services.ORCHESTRATOR


def test_an_unknown_service_is_answered_with_the_list(cloud):
    with pytest.raises(lifecycle.CloudError, match=r"no service 'novaa'; there are: .*nova-api"):
        lifecycle.resolve(cloud, "novaa")


def test_an_unknown_optional_service_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(tmp_path / "cloud"))
    assert cli.main(["up", "--with", "octavia"]) == 1
    assert "unknown optional service octavia" in capsys.readouterr().err
    assert not (tmp_path / "cloud").exists()


def test_a_command_without_a_cloud_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(tmp_path))
    assert cli.main(["status"]) == 1
    assert "run `astara-devcloud up`" in capsys.readouterr().err


def test_down_without_a_cloud_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(tmp_path))
    assert cli.main(["down"]) == 0


def test_wipe_spares_a_directory_that_is_no_cloud(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(tmp_path))
    (tmp_path / "thesis.txt").write_text("years of work")
    assert cli.main(["wipe"]) == 1
    assert "does not look like a devcloud" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_each_user_logs_in_to_a_project_of_its_own(cloud):
    logins = [clients.login(cloud.credentials, name) for name in clients.NAMES]
    assert len({login.project for login in logins}) == len(logins)
    exported = clients.exports(cloud, clients.TENANT)
    assert exported["OS_PROJECT_NAME"] == "demo"
    assert exported["OS_PASSWORD"] == cloud.credentials.demo


def test_schema_versions_name_the_alembic_branches_of_plugins():
    assert schema.versions("neutron").splitlines()[0].startswith("neutron ")
    assert len(schema.versions("neutron").splitlines()) > 1
    assert len(schema.versions("glance").splitlines()) == 1


def test_fernet_keys_are_made_once(tmp_path):
    repository = tmp_path / "keys"
    schema.create_fernet_keys(repository)
    keys = {path.name: path.read_bytes() for path in repository.iterdir()}
    schema.create_fernet_keys(repository)
    assert {path.name: path.read_bytes() for path in repository.iterdir()} == keys
    assert sorted(keys) == ["0", "1"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in repository.iterdir())


def test_interfaces_are_read_from_the_ovsdb_answer():
    answer = '[{"rows":[{"name":"br-int"},{"name":"tap0"}]}]'
    assert openvswitch.parse_interfaces(answer) == ["br-int", "tap0"]


def test_the_internet_has_no_route_to_tenants():
    assert "route" not in outside.namespace_batch()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:0:1", "::ffff:0:1"),
    ],
)
def test_peers_are_shown_in_their_own_family(address, shown):
    assert outside_http.peer_address(address) == shown


def test_the_outside_web_server_names_itself_and_the_peer():
    body = outside_http.body_of("/", "203.0.113.7", 4000)
    assert body.startswith(b'{"hostname": "www.outside.example", "peer": "203.0.113.7"')
    assert outside_http.body_of("/bytes/1000", "", 0) == b"x" * 1000


@pytest.mark.parametrize("path", ["/bytes/many", "/bytes/-1", "/bytes/99999999999"])
def test_impossible_sizes_are_refused(path):
    with pytest.raises(ValueError):
        outside_http.body_of(path, "", 0)


def test_the_orchestrators_log_tells_a_verified_router():
    line = "2026-11-21 INFO x [-] instance.state router=r-1 from=up to=configured"
    assert faults.says_configured(f"before\n{line}\nafter", "r-1")
    assert not faults.says_configured(line, "r-2")
    assert not faults.says_configured(line.replace("configured", "up"), "r-1")


def test_the_ssh_key_pair_is_made_once(tmp_path):
    path = tmp_path / "ssh" / "id_ed25519"
    bootstrap.create_ssh_key(path)
    secret = path.read_bytes()
    assert secret.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ssh" / "id_ed25519.pub").read_text().startswith("ssh-ed25519 ")
    bootstrap.create_ssh_key(path)
    assert path.read_bytes() == secret


def test_missing_programs_are_named():
    assert commands.missing(["sh", "no-such-program"]) == ["no-such-program"]


def test_a_failed_command_carries_what_it_said():
    with pytest.raises(commands.CommandError, match="status 3: because"):
        commands.run(["sh", "-c", "echo because >&2; exit 3"])


def test_a_marked_step_runs_again_only_for_something_else(tmp_path):
    where, runs = layout.Layout(tmp_path), []
    markers.path_of(where, "x").parent.mkdir(parents=True)
    for wanted in ("1", "1", "2"):
        markers.once(where, "a step", wanted, lambda wanted=wanted: runs.append(wanted))
    assert runs == ["1", "2"]
