"""The committed page of the state machine is the one that the table gives."""

import pathlib
import subprocess
import sys

from astara.machine import diagram
from astara.machine.vocabulary import WalkState

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "state-machine.md"


def test_the_committed_page_is_current():
    assert PAGE.read_text() == diagram.page(), (
        "run: python -m astara.machine.diagram docs/state-machine.md"
    )


def test_the_page_names_every_state():
    page = diagram.page()
    assert all(str(state) in page for state in WalkState)


def test_the_command_writes_the_page(tmp_path):
    target = tmp_path / "page.md"
    command = [sys.executable, "-m", "astara.machine.diagram", str(target)]
    subprocess.run(command, check=True, timeout=60)
    assert target.read_text() == diagram.page()
