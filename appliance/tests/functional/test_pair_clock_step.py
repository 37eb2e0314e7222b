"""A pair whose clocks are set: who is master does not depend on what time it is.

keepalived and conntrackd run with libfaketime, which moves their time of day by what a file says
and leaves the monotonic clock alone, as clock_settime(2) does; the clock of this machine is not
touched.
"""

import pathlib
import time

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.quiet]

LIBRARY = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
STEPS = ("+400d", "-1d", "+0")
WRAPPER = """#!/bin/bash
export LD_PRELOAD={library} FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1
export FAKETIME_TIMESTAMP_FILE={file}
exec -a {name} {program} "$@"
"""


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """The file that says by how much the daemons' clocks are off."""
    file, programs = tmp_path / "clock", tmp_path / "bin"
    file.write_text(STEPS[-1])
    programs.mkdir()
    for name in ("keepalived", "conntrackd"):
        wrapper = programs / name
        program = f"/usr/sbin/{name}"
        wrapper.write_text(WRAPPER.format(library=LIBRARY, file=file, name=name, program=program))
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin")
    return file


def test_setting_the_clock_moves_nothing(clock, pair, pinger, eventually):
    assert LIBRARY, "libfaketime is one of scripts/debian-packages.txt"
    pair.start()
    master, backup = pair.master, pair.backup
    guards = pair.log()
    ping = pinger(pair.vm, pair.OUTSIDE)
    for step in STEPS:
        clock.write_text(step)
        # Several times as long as a backup waits for adverts.
        pair.vm.run("ping", "-n", "-c", "20", "-i", "0.1", pair.OUTSIDE)
        assert (pair.role(master), pair.role(backup)) == ("master", "backup")
    assert ping.stop()[0] == 0
    assert pair.log() == guards, "nobody even thought of it"
    clock.write_text(STEPS[0])
    handed = b'{"role": "backup"}'
    kind = {"Content-Type": "application/json"}
    assert master.request("PUT", "/v1/system/role", handed, kind)[0] == 200
    eventually(lambda: pair.role(backup) == "master", what="the other one is master")
    told = (backup.root / "var/log/astara/keepalived.log").read_text().splitlines()[-1]
    year = time.localtime(time.time() + 400 * 86400).tm_year
    assert str(year) in told, "its clock was off indeed"
