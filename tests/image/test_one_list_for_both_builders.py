"""Both builders of the image take the same contents: nothing is listed in one of them alone."""

import pathlib
import subprocess

import pytest

IMAGE = pathlib.Path(__file__).parents[2] / "image"
OPTIONS = sorted(path.name for path in (IMAGE / "contents/options").iterdir())
SCRIPTS = sorted(
    path
    for path in IMAGE.rglob("*")
    if path.is_file()
    and "dist" not in path.relative_to(IMAGE).parts
    and path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash"))
)


def listed(path):
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def test_every_option_has_an_element_and_every_element_an_option():
    elements = {path.name for path in (IMAGE / "elements").iterdir() if path.is_dir()}
    assert elements - {"astara"} == set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_brings_packages_and_a_script(option):
    folder = IMAGE / "contents/options" / option
    assert listed(folder / "packages.txt")
    assert (folder / "install").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGE)))
def test_scripts_can_be_parsed(script):
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)
    assert script.stat().st_mode & 0o111 or script.name == "install"


def test_no_package_is_listed_twice():
    lists = [IMAGE / "contents/packages.txt"]
    packages = [name for path in lists for name in listed(path)]
    assert len(packages) == len(set(packages))
    assert all(" " not in name for name in packages)
