"""Options: documented, loadable, and refused when they cannot work. Each in its own process."""

import json
import pathlib
import subprocess
import sys

import pytest

from astara import conf

GOOD = {
    "DEFAULT": {
        "transport_url": "rabbit://u:p@127.0.0.1:5672/",
        "management_network_id": "10000000-0000-4000-8000-000000000001",
        "management_subnet_id": "10000000-0000-4000-8000-000000000002",
        "metadata_proxy_shared_secret": "s3cret",
    },
    "router": {
        "image_uuid": "10000000-0000-4000-8000-000000000003",
        "instance_flavor": "m1.astara",
    },
    "keystone_authtoken": {
        "auth_url": "http://127.0.0.1:5000",
        "username": "astara",
        "password": "hidden",
        "project_name": "service",
    },
}
CHECK = """
import json, sys
from astara import conf
from astara.conf import validation
loaded = conf.load(["--config-file", sys.argv[1]])
try:
    conf.check(loaded)
except validation.InvalidConfiguration as invalid:
    print(json.dumps(invalid.faults))
else:
    print(json.dumps([]))
"""


def faults_of(tmp_path, *, drop=(), **changes):
    """Check GOOD without some options, and with others changed."""
    groups = {name: dict(options) for name, options in GOOD.items()}
    for group, option in drop:
        del groups[group][option]
    groups["DEFAULT"] |= changes
    lines = []
    for group, options in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in options.items())]
    path = tmp_path / "orchestrator.ini"
    path.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)], capture_output=True, timeout=60, check=True
    )
    assert b"hidden" not in done.stdout + done.stderr
    assert b"s3cret" not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # the log precedes it


def test_a_good_configuration_passes(tmp_path):
    assert faults_of(tmp_path) == []


def test_all_that_is_missing_is_named_at_once(tmp_path):
    missing = [(group, option) for group, options in GOOD.items() for option in options]
    faults = faults_of(tmp_path, drop=missing)
    assert faults == [
        f"[{group}] {option} is required"
        for group, option in sorted(missing, key=lambda one: one != ("DEFAULT", "transport_url"))
    ]


def test_contradictions_are_named(tmp_path):
    faults = faults_of(
        tmp_path,
        management_network_id="mgt",
        enabled_drivers="router,teapot",
        alive_timeout=5,
        boot_timeout=5,
        error_state_cooldown=100,
        error_state_cooldown_max=10,
        retry_delay=60,
    )
    assert [fault.split()[1] for fault in faults] == [
        "management_network_id",
        "enabled_drivers",
        "alive_timeout",
        "error_state_cooldown",
        "retry_delay",
    ]


def test_values_that_cannot_be_read_are_all_named(tmp_path):
    faults = faults_of(tmp_path, health_rebuild_number="many", boot_timeout="soon")
    assert [fault.partition(":")[0] for fault in faults] == [
        "[DEFAULT] boot_timeout",
        "[DEFAULT] health_rebuild_number",
    ]
    assert "many" in faults[1]


def test_the_historic_name_of_the_secret_is_understood(tmp_path):
    drop = [("DEFAULT", "metadata_proxy_shared_secret")]
    assert faults_of(tmp_path, drop=drop, neutron_metadata_proxy_shared_secret="s3cret") == []


@pytest.mark.parametrize("group", [group for group, _ in conf.list_opts()])
def test_every_option_has_a_help_text(group):
    for option in dict(conf.list_opts())[group]:
        assert option.help, option.name


def test_times_say_their_unit():
    for concern in (conf.timing, conf.audit):
        for option in concern.OPTS:
            assert "econds" in option.help or type(option).__name__ == "IntOpt", option.name


def test_the_sample_generator_finds_the_options(tmp_path):
    sample = tmp_path / "sample.ini"
    generator = pathlib.Path(sys.executable).parent / "oslo-config-generator"
    command = [str(generator), "--namespace", "astara", "--output-file", str(sample)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    text = sample.read_text()
    for name in ("boot_timeout", "[audit]", "[router]", "[keystone_authtoken]", "password"):
        assert name in text
