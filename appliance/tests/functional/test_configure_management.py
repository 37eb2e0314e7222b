"""astara-configure-management in a real namespace: arguments, config drive, doing it twice."""

import json
import pathlib
import sys

import pytest

pytestmark = pytest.mark.functional

COMMAND = str(pathlib.Path(sys.executable).parent / "astara-configure-management")


def configure(host, *arguments, check=True):
    return host.execute(COMMAND, *arguments, "--root", str(host.root), check=check)


def settings(host):
    return json.loads((host.root / "var/lib/astara/management.json").read_text())


def write_user_data(host, body):
    drive = host.root / "drive"
    (drive / "openstack/latest").mkdir(parents=True)
    text = "#cloud-config\n" + json.dumps(body)
    (drive / "openstack/latest/user_data").write_text(text)
    return drive


def test_finds_the_nic_by_mac_whatever_it_is_called(appliance_host):
    appliance_host.plug("blue", device="aaa0")
    nic = appliance_host.plug("late", device="zz9")
    shown = configure(appliance_host, nic.mac.upper(), "10.0.0.9/24", "--mtu", "1400")
    assert shown.split()[0] == "zz9"
    assert "10.0.0.9/24" in appliance_host.addresses("zz9")
    link = json.loads(appliance_host.execute("ip", "-j", "link", "show", "zz9"))[0]
    assert (link["mtu"], "UP" in link["flags"]) == (1400, True)


def test_twice_is_as_good_as_once(appliance_host):
    mac = appliance_host.management.mac
    first = configure(appliance_host, mac, "fd00:0::5/64")
    addresses = appliance_host.addresses("eth0")
    assert configure(appliance_host, mac, "fd00::5/64").split()[0] == first.split()[0]
    assert appliance_host.addresses("eth0") == addresses


def test_reads_the_config_drive(appliance_host):
    mac = appliance_host.management.mac
    route = ["fd00:77::/64", "fdca:3ba5:a17a:acda::1"]
    drive = write_user_data(
        appliance_host,
        {
            "bootcmd": ["ignored"],
            "users": [{"name": "astara", "ssh-authorized-keys": ["ssh-ed25519 AAAA op"]}],
            "astara": {
                "management": {
                    "mac": mac,
                    "addresses": ["fdca:3ba5:a17a:acda::2/64"],
                    "mtu": 1400,
                    "routes": [route],
                },
                "api_port": 5000,
                "router_id": "r1",
            },
        },
    )
    configure(appliance_host, "--config-drive", str(drive))
    assert "fdca:3ba5:a17a:acda::2/64" in appliance_host.addresses("eth0")
    assert "fd00:77::/64" in appliance_host.execute("ip", "-6", "route")
    assert settings(appliance_host)["mtu"] == 1400
    appliance_host.start_agent()
    assert appliance_host.get("/v1/status")["interfaces"][0]["ifname"] == "ge0"


def test_arguments_win_and_the_config_drive_adds(appliance_host):
    mac = appliance_host.management.mac
    told = {"mac": mac, "addresses": ["fd00::7/64"], "mtu": 1400}
    drive = write_user_data(appliance_host, {"astara": {"management": told, "api_port": 5001}})
    configure(appliance_host, mac, "fd00::8/64", "--mtu", "1300", "--config-drive", str(drive))
    kept = settings(appliance_host)
    assert kept["addresses"] == ["fd00::8/64", "fd00::7/64"]
    assert (kept["mtu"], kept["api_port"]) == (1300, 5001)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fa:16:3e:00:00:01", "fd00::5/64"),
        ("fa:16:3e:00:00:01",),
        ("fa:16:3e:00:00:01", "nonsense"),
        (),
    ],
    ids=["no-such-nic", "no-address", "bad-address", "nothing-known"],
)
def test_says_in_one_sentence_what_is_wrong(shared_appliance_host, arguments):
    nowhere = ("--config-drive", "/nonexistent")
    with pytest.raises(AssertionError) as refused:
        configure(shared_appliance_host, *arguments, *nowhere)
    assert "status 1" in str(refused.value)
    assert "Traceback" not in str(refused.value)
