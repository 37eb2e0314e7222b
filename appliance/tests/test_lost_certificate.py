"""An appliance that was given a certificate never falls back to plaintext."""

import json

import pytest

from astara_appliance.cmd import agent
from astara_appliance.system import config_drive, tls
from astara_appliance.system.paths import Paths

BUNDLE = {
    "name": "x.appliance.astara",
    "certificate": "c",
    "key": "secret-key",
    "authorities": "a",
    "not_before": 0,
    "not_after": 1,
}
MANAGEMENT = {"mac": "fa:16:3e:00:00:01", "addresses": ["fd00::2/64"]}


def user_data(**ours):
    return "#cloud-config\n" + json.dumps({"astara": {"management": MANAGEMENT, **ours}})


def test_user_data_tells_whether_tls_is_required():
    told = config_drive.parse(user_data(tls=BUNDLE))
    assert told.management.tls
    assert told.tls.key == "secret-key"
    assert "secret-key" not in repr(told)
    assert not config_drive.parse(user_data()).management.tls


def test_broken_bundle_is_told_without_its_key():
    with pytest.raises(config_drive.ConfigDriveError) as refused:
        config_drive.parse(user_data(tls={**BUNDLE, "not_after": "never"}))
    assert "secret-key" not in str(refused.value)


def test_lost_certificate_stops_the_agent(tmp_path, monkeypatch):
    monkeypatch.setattr(config_drive, "MOUNTED_AT", tmp_path / "no-drive")
    paths = Paths.under(tmp_path)
    with pytest.raises(tls.BundleError, match="which is lost"):
        agent._bundle(paths, required=True)
    assert agent._bundle(paths, required=False) is None
