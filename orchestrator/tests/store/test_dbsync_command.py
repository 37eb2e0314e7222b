"""`astara-dbsync` as an operator uses it."""

import subprocess
import sys

import pytest

from astara.store import tables


@pytest.fixture
def dbsync(tmp_path):
    ini = tmp_path / "orchestrator.ini"
    ini.write_text(f"[DEFAULT]\nstate_path = {tmp_path / 'state'}\n")

    def run(*arguments, connection=""):
        if connection:
            ini.write_text(f"[database]\nconnection = {connection}\n")
        argv = [sys.executable, "-m", "astara.cmd.dbsync", "--config-file", str(ini), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_a_database_goes_up_and_down(dbsync):
    before = dbsync("check")
    assert before.returncode == 1
    assert "run astara-dbsync upgrade" in before.stdout
    assert f"revision {tables.REVISION}" in dbsync("upgrade").stdout
    assert dbsync("check").returncode == 0
    assert "0001  applied" in dbsync("history").stdout
    assert "revision none" in dbsync("downgrade", "base").stdout
    assert f"revision {tables.REVISION}" in dbsync("stamp", "head").stdout
    assert "debug_modes" in dbsync("check").stdout  # noted, but not made
    assert f"revision {tables.REVISION}" in dbsync("current").stdout


def test_an_unknown_revision_is_an_error(dbsync):
    answer = dbsync("upgrade", "nonsense")
    assert answer.returncode == 1
    assert "nonsense" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_server_that_is_away_is_told_with_a_remedy(dbsync):
    answer = dbsync("upgrade", connection="mysql+pymysql://root:hush@127.0.0.1:9/astara")
    assert answer.returncode == 1
    assert "Is the server up" in answer.stderr
    assert "hush" not in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_malformed_connection_is_told(dbsync):
    answer = dbsync("upgrade", connection="not-a-url")
    assert answer.returncode == 78
    assert "Traceback" not in answer.stderr


def test_help_names_the_commands(dbsync):
    told = dbsync("--help").stdout
    for verb in ("upgrade", "downgrade", "stamp", "current", "history", "check"):
        assert verb in told
