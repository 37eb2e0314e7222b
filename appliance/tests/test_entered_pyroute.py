"""Of pyroute2 only rtnetlink is loaded, and who asks for more gets more."""

import subprocess
import sys

import pytest


def told(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_what_the_agent_does_not_use_is_not_loaded():
    program = "import sys, astara_appliance.system.netlink; print('pyroute2.ndb' in sys.modules)"
    assert told(program) == "False"


@pytest.mark.parametrize(
    "program",
    [
        "from pyroute2 import NDB, netns; print(NDB.__name__)",
        "import pyroute2, pyroute2.netns; print(pyroute2.NDB.__name__)",
    ],
)
def test_another_user_in_the_same_process_gets_all_of_it(program):
    assert told(f"import astara_appliance.system.netlink; {program}") == "NDB"


def test_a_name_that_is_not_there_is_not_there():
    program = "import astara_appliance.system.netlink, pyroute2; print(hasattr(pyroute2, 'zzz'))"
    assert told(program) == "False"
