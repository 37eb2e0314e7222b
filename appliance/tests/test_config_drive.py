"""Reading Nova's user data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.system import config_drive


def user_data(**keys):
    return "#cloud-config\n" + json.dumps(keys)


def test_management_and_api_port_are_taken():
    told = {"mac": "fa:16:3e:00:00:01", "addresses": ["fd00::2/64"], "mtu": 1400, "routes": []}
    boot = config_drive.parse(user_data(astara={"management": told, "api_port": 5001}))
    assert boot.management.addresses == ("fd00::2/64",)
    assert (boot.management.mtu, boot.management.api_port) == (1400, 5001)


def test_ssh_keys_of_our_user_only():
    users = [
        {"name": "other", "ssh-authorized-keys": ["no"]},
        {"name": "astara", "ssh-authorized-keys": ["one\ntwo", "three"]},
    ]
    assert config_drive.parse(user_data(users=users)).ssh_keys == ("one", "two", "three")


def test_somebody_elses_yaml_is_not_for_us():
    boot = config_drive.parse("#cloud-config\nusers:\n - default\n")
    assert boot == config_drive.BootData(None, ())


@pytest.mark.parametrize(
    "ours", [[], {}, {"management": {"mac": 1}}, {"management": {"addresses": []}}]
)
def test_broken_settings_are_one_error(ours):
    with pytest.raises(config_drive.ConfigDriveError):
        config_drive.parse(user_data(astara=ours))


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    try:
        config_drive.parse(text)
    except config_drive.ConfigDriveError:
        pass


def test_missing_drive_is_nothing(tmp_path):
    assert config_drive.read(tmp_path) is None
