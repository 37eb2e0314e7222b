"""What a guest sees of the host, and what it is started with."""

import pathlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_devcloud.guests import kinds

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(st.lists(NAMES, max_size=4).map(lambda parts: "/" + "/".join(parts)))


@given(PATHS)
def test_a_cover_holds_every_path_and_nothing_twice(paths: list[str]) -> None:
    cover = [pathlib.PurePath(p) for p in kinds.cover(paths)]
    for path in map(pathlib.PurePath, paths):
        holders = [c for c in cover if path.is_relative_to(c)]
        assert len(holders) == (path != pathlib.PurePath("/"))


def test_relative_paths_are_nobodys() -> None:
    assert kinds.cover(["x", "", "/y"]) == ["/y"]


def test_a_guest_sees_programs_but_no_home_and_no_temporary_files() -> None:
    paths = kinds.host_paths()
    assert "/usr" in paths
    assert not {"/", "/root", "/home", "/tmp", "/var", "/etc"} & set(paths)


@pytest.mark.parametrize("script", sorted(kinds.HERE.glob("*.sh")), ids=lambda script: script.name)
def test_scripts_are_plain_shell(script: pathlib.Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)


def test_every_kind_has_its_script() -> None:
    assert all(script.is_file() for script in kinds.SCRIPTS.values())
