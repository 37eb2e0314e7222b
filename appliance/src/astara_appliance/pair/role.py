"""The agent's view of the guard: which role it has, and the wish to hand over.

It never changes an address itself. Called by the API's views, the watch loops and the drivers of
what only one of a pair may have.
"""

import signal
import time

from astara_contract.status import RoleState

from .. import errors
from ..system import daemon, files
from ..system.paths import Paths
from . import settings

_HANDED_OVER_WITHIN_S = 5.0
_POLL_S = 0.02


def observe(paths: Paths) -> RoleState:
    """Return the role; an appliance without a guard is a single one."""
    places = settings.Places(paths.run_dir)
    if files.read_file(places.settings) is None:
        return RoleState(role="single")
    state = settings.read_state(places)
    if state is None or not _daemons(paths).is_running(settings.GUARD):
        return RoleState(role="fault", reason="the guard of the pair does not run")
    return state.told


def holds(paths: Paths) -> bool:
    """Tell whether what only one of a pair may have is to be here."""
    return observe(paths).role in ("single", "master")


def hand_over(paths: Paths) -> RoleState:
    """Have the guard hand the router over, and return the role afterwards.

    One that is not master has nothing to hand over. Raises NotPaired for a single appliance.
    """
    told = observe(paths)
    if told.role == "single":
        raise errors.NotPaired("this appliance is not one of a pair")
    if told.role == "master":
        _daemons(paths).signal(settings.GUARD, signal.SIGUSR1)
    deadline = time.monotonic() + _HANDED_OVER_WITHIN_S
    while told.role == "master" and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        told = observe(paths)
    return told


def _daemons(paths: Paths) -> daemon.Daemons:
    return daemon.Daemons(paths.run_dir, paths.log_dir)
