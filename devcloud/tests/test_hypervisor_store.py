"""What the store remembers, and that it forgives what is missing."""

import pathlib

import pytest

from astara_devcloud.hypervisor import store as servers

SERVER = servers.Server("u-1", "instance-01", "web", "web.example", "idle")
NIC = servers.Nic("tap1", "eth0", "fa:16:3e:00:00:01", 1400, "br-int", "port-1")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> servers.Store:
    return servers.Store(tmp_path / "instances")


def test_a_server_and_its_nics_are_remembered(store: servers.Store) -> None:
    store.create(SERVER)
    store.save_nics("u-1", [NIC])
    again = servers.Store(store.root)
    assert again.uuids() == ["u-1"]
    assert again.server("u-1") == SERVER
    assert again.nics("u-1") == [NIC]


def test_a_server_that_never_was_is_empty_and_no_error(store: servers.Store) -> None:
    assert store.uuids() == []
    assert store.server("u-2") is None
    assert store.nics("u-2") == []
    assert store.recorded_pid("u-2") is None
    store.forget_pid("u-2")
    store.delete("u-2")


def test_a_deleted_server_does_not_come_back_with_its_nics(store: servers.Store) -> None:
    store.create(SERVER)
    store.delete("u-1")
    store.save_nics("u-1", [NIC])
    assert not store.exists("u-1")


@pytest.mark.parametrize("text", ["", "half", "12 34"])
def test_a_pid_file_that_holds_no_pid_means_off(store: servers.Store, text: str) -> None:
    store.create(SERVER)
    (store.directory("u-1") / "pid").write_text(text)
    assert store.recorded_pid("u-1") is None


def test_a_console_is_shown_and_kept_by_its_end(store: servers.Store) -> None:
    store.create(SERVER)
    log = store.directory("u-1") / "console.log"
    log.write_bytes(b"x" * (5 * servers.CONSOLE_KEEP_BYTES) + b"end")
    assert store.console("u-1", 5) == b"xxend"
    store.trim_console("u-1")
    assert log.stat().st_size == servers.CONSOLE_KEEP_BYTES
    assert store.console("u-1", 3) == b"end"
