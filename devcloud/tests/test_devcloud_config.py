"""The rendered configuration files: what parses, what must and what must not be in them."""

import configparser
import json
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_devcloud import credentials, layout, resources, settings
from astara_devcloud.config import (
    glance,
    ini,
    keystone,
    neutron,
    nova,
    orchestrator,
    placement,
    rabbitmq,
    wsgi,
)

KNOWN = resources.Resources(
    public_network_id="public-id",
    management_network_id="mgt-id",
    management_subnet_id="mgt-subnet-id",
    appliance_image_id="appliance-image-id",
    tenant_image_id="tenant-image-id",
    appliance_flavor_id="appliance-flavor-id",
    tenant_flavor_id="tenant-flavor-id",
)


@pytest.fixture
def cloud(tmp_path):
    return settings.Settings(
        layout.Layout(tmp_path), layout.Ports(), credentials.draw(), pathlib.Path(sys.prefix)
    )


def parsed(text):
    parser = configparser.RawConfigParser(default_section="none", strict=True)
    parser.read_string(text)
    return parser


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10)


@given(st.dictionaries(words, st.dictionaries(words, words, max_size=4), max_size=4))
def test_what_is_rendered_is_read_back(document):
    parser = configparser.RawConfigParser(default_section="\n")
    parser.optionxform = str
    parser.read_string(ini.render(document))
    assert {name: dict(parser[name]) for name in parser.sections()} == document


def test_a_value_cannot_smuggle_in_another_option():
    with pytest.raises(ValueError, match="line break"):
        ini.render({"DEFAULT": {"host": "a\nauth_strategy = noauth"}})


def test_booleans_are_written_as_oslo_reads_them():
    assert "enabled = false" in ini.render({"vnc": {"enabled": False}})


@pytest.mark.parametrize(
    "render",
    [
        keystone.keystone_conf,
        placement.placement_conf,
        glance.glance_conf,
        neutron.neutron_conf,
        neutron.agent_conf,
        nova.nova_conf,
        nova.nova_cpu_conf,
        lambda cloud: orchestrator.orchestrator_ini(cloud, KNOWN),
    ],
)
def test_every_file_parses_without_duplicates(cloud, render):
    assert parsed(render(cloud)).sections()


def test_nova_compute_is_told_of_no_database(cloud):
    assert not {"database", "api_database"} & set(parsed(nova.nova_cpu_conf(cloud)).sections())
    assert {"database", "api_database"} <= set(parsed(nova.nova_conf(cloud)).sections())


def test_nova_and_orchestrator_share_the_metadata_secret(cloud):
    secret = cloud.credentials.metadata_proxy
    ours = parsed(orchestrator.orchestrator_ini(cloud, KNOWN))
    theirs = parsed(nova.nova_conf(cloud))
    assert ours["DEFAULT"]["metadata_proxy_shared_secret"] == secret
    assert theirs["neutron"]["metadata_proxy_shared_secret"] == secret


def test_the_orchestrator_has_a_broker_user_of_its_own(cloud):
    text = orchestrator.orchestrator_ini(cloud, KNOWN)
    assert cloud.credentials.broker_astara in text
    assert cloud.credentials.broker not in text


def test_neutron_runs_the_router_plugin_with_segments(cloud):
    plugins = parsed(neutron.neutron_conf(cloud))["DEFAULT"]["service_plugins"].split(",")
    assert plugins[:2] == ["astara_router", "segments"]


def test_the_agent_calls_no_sudo(cloud):
    parser = parsed(neutron.agent_conf(cloud))
    for section in neutron.PRIVSEP_SECTIONS:
        helper = parser[section]["helper_command"].split()
        assert helper[0] == str(cloud.bin / "privsep-helper")


def test_password_hash_is_the_one_of_the_rabbitmq_documentation():
    salt = bytes.fromhex("908DC60A")
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert rabbitmq.password_hash("test12", salt) == expected


def test_broker_definitions_give_both_users_full_rights_and_no_password(cloud):
    text = rabbitmq.definitions_json(cloud)
    assert cloud.credentials.broker not in text
    assert {p["user"] for p in json.loads(text)["permissions"]} == {"openstack", "astara"}
    assert text == rabbitmq.definitions_json(cloud)


def test_uwsgi_closes_connections_aloud(cloud):
    text = wsgi.uwsgi_ini(cloud, wsgi.Application("keystone.wsgi.api", 30500, 4))
    parser = configparser.RawConfigParser(comment_prefixes=("#",), interpolation=None)
    parser.read_string(text)
    assert parser["uwsgi"]["add-header"] == "Connection: close"
    assert parser["uwsgi"]["module"] == "keystone.wsgi.api:application"


def test_secrets_are_drawn_once_and_only_root_reads_them(tmp_path):
    path = tmp_path / "credentials.json"
    first = credentials.load_or_create(path)
    assert credentials.load_or_create(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.admin not in repr(first)
