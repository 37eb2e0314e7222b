"""What may happen to an appliance from outside, and that it comes back whole. Real kernel, real
daemons.
"""

import json
import os
import random
import threading

import pytest

pytestmark = pytest.mark.functional

ROUNDS = int(os.environ.get("ASTARA_KILL_ROUNDS", "5"))
METADATA = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": "ab" * 32}


@pytest.fixture
def router(appliance_host):
    """An appliance between ext and blue; the agent does not run yet."""
    host = appliance_host
    host.ext, host.blue = host.plug("ext"), host.plug("blue")
    return host


def document(host, number):
    """Return documents that differ in every driver's part."""
    subnet = {
        "cidr": "192.168.0.0/24",
        "gateway_ip": f"192.168.0.{number}",
        "dhcp_enabled": True,
    }
    allocation = {
        "mac_address": f"fa:16:3e:00:00:{number:02x}",
        "ip_addresses": {f"192.168.0.{number + 100}": True},
        "hostname": f"vm{number}",
        "device_id": f"vm{number}",
        "tenant_id": "tenant",
    }
    internal = host.network(
        "internal",
        host.blue,
        [f"192.168.0.{number}/24", f"fd00:b::{number}/64"],
        [subnet],
        allocations=[allocation],
    )
    external = host.network(
        "external",
        host.ext,
        [f"203.0.113.{number}/24"],
        [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.254"}],
    )
    return host.document(
        [external, internal],
        hostname=f"router{number}",
        orchestrator=METADATA,
        floating_ips=[
            {"floating_ip": f"203.0.113.{100 + number}", "fixed_ip": f"192.168.0.{100 + number}"}
        ],
        static_routes=[[f"10.{number}.0.0/16", "192.168.0.77"]],
    )


def is_clean(host):
    return host.get("/v1/system/drift")["clean"]


def push_until_killed(host, documents):
    """Push one after the other in a thread until the agent is gone; return the thread."""

    def work():
        try:
            while True:
                for one in documents:
                    host.try_push(one)
        except (OSError, AssertionError, ValueError):
            return  # the agent was killed in the middle of it

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_killed_at_any_point_of_an_apply_it_ends_with_a_whole_configuration(router, eventually):
    router.start_agent()
    expected = {}
    documents = [document(router, number) for number in (1, 2)]
    for one in documents:
        digest = router.push(one)["digest"]
        expected[digest] = router.kernel_state(), one["hostname"]
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    seen = set()
    for number in range(ROUNDS):
        pushing = push_until_killed(router, documents)
        pushing.join(chance.uniform(0.0, 0.3))
        router.kill_agent()
        pushing.join(40)
        router.start_agent()
        where = f"seed {seed} round {number}"
        eventually(lambda: is_clean(router), 20, where)
        digest = router.get("/v1/status")["digest"]
        state, hostname = expected[digest]
        assert router.kernel_state() == state, where
        assert router.get("/v1/system/config")["configuration"]["hostname"] == hostname
        seen.add(digest)
    print(f"seed {seed}, {ROUNDS} rounds, ended with {len(seen)} different documents")


def damage(path, how):
    content = path.read_bytes()
    path.write_bytes({"half": content[: len(content) // 2], "empty": b""}.get(how, b"\0\xff{" * 9))


@pytest.mark.parametrize("how", ["half", "empty", "garbage"])
def test_damaged_files_are_survived(router, eventually, how):
    """Every file that the appliance keeps, all at once."""
    router.start_agent()
    for number in (1, 2):
        router.push(document(router, number))
    router.push(document(router, 2))
    state = router.kernel_state()
    router.kill_agent()
    root = router.root
    kept = [*(root / "var/lib/astara").iterdir(), *(root / "run/astara").rglob("*")]
    for path in kept:
        # The config drive, not the disk, has the last word on management, see the next test; and
        # the generation before is there for when the last one is damaged.
        if path.is_file() and path.name not in ("management.json", "config.previous.json"):
            damage(path, how)
    router.start_agent()
    eventually(lambda: is_clean(router), 20, "repair")
    assert router.get("/v1/system/config")["configuration"]["hostname"] == "router2"
    assert router.kernel_state() == state
    router.push(document(router, 1))
    assert is_clean(router)


def test_without_any_readable_document_nothing_that_runs_is_touched(router):
    router.start_agent()
    router.push(document(router, 1))
    router.push(document(router, 2))
    state = router.kernel_state()
    router.kill_agent()
    for name in ("config.json", "config.previous.json"):
        damage(router.root / "var/lib/astara" / name, "half")
    router.start_agent()
    assert router.get("/v1/status")["digest"] is None
    assert "the next push decides" in json.dumps(router.get("/v1/system/drift"))
    assert router.kernel_state() == state
    router.push(document(router, 1))
    assert is_clean(router)


def test_lost_management_settings_are_read_from_the_config_drive_again(router):
    router.start_agent()
    router.push(document(router, 1))
    router.kill_agent()
    management = {
        "mac": router.management.mac,
        "addresses": ["fdca:3ba5:a17a:acda::2/64"],
    }
    drive = router.root / "drive/openstack/latest"
    drive.mkdir(parents=True)
    told = json.dumps({"astara": {"management": management}})
    (drive / "user_data").write_text("#cloud-config\n" + told)
    router.execute("mount", "--bind", str(router.root / "drive"), "/mnt")
    damage(router.root / "var/lib/astara/management.json", "half")
    router.start_agent()
    assert router.get("/v1/status")["pushes_applied"] == 1


def test_full_disk_refuses_the_push_and_keeps_what_runs(router):
    router.configure_management()
    directory = router.root / "var/lib/astara"
    settings = (directory / "management.json").read_text()
    router.execute("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory))
    router.execute("sh", "-c", f"cat >{directory}/management.json <<'END'\n{settings}END")
    router.start_agent()
    before = router.push(document(router, 1))["digest"]
    state = router.kernel_state()
    router.execute("sh", "-c", f"cat /dev/zero >{directory}/full 2>/dev/null", check=False)
    number, answer = router.try_push(document(router, 2))
    assert number == 500
    error = answer["error"]
    assert (error["driver"], error["rolled_back"]) == ("store", True)
    assert "No space left" in error["reason"]
    assert router.kernel_state() == state
    assert router.get("/v1/status")["digest"] == before
    router.plug("late")
    assert len(router.get("/v1/status")["interfaces"]) == 4
    router.restart_agent()
    assert router.get("/v1/status")["digest"] == before
    router.execute("rm", f"{directory}/full")
    router.push(document(router, 2))
    assert is_clean(router)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "dnsmasq --test: cannot be started"),
        ("[ $1 = --test ] && exit 0; echo out of luck; exit 3", "out of luck"),
    ],
    ids=["missing", "dies-at-once"],
)
def test_daemon_that_cannot_run_is_named_and_the_push_taken_back(router, script, words):
    router.start_agent()
    plain = router.document([router.network("external", router.ext, ["203.0.113.9/24"])])
    router.push(document(router, 1))
    router.push(plain)
    state = router.kernel_state()
    stand_in = router.root / "stand-in"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755 if script else 0o644)
    where = router.execute("sh", "-c", "command -v dnsmasq").strip()
    router.execute("mount", "--bind", str(stand_in), where)
    number, answer = router.try_push(document(router, 1))
    assert number == 500
    error = answer["error"]
    assert (error["driver"], error["rolled_back"]) == ("dhcp", True)
    assert words in error["reason"]
    assert router.kernel_state() == state
    router.execute("umount", where)
    router.push(document(router, 1))
    assert is_clean(router)
