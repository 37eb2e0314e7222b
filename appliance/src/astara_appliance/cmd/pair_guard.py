"""`python -m astara_appliance.cmd.pair_guard RUN_DIR LOG_DIR`: guard the addresses of a pair.

Started by the vrrp driver; runs in the foreground until SIGTERM.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys

from .. import logs
from ..pair import guard
from ..system.paths import Paths

_NICENESS = -15


def main() -> int:
    """Run the guard."""
    logs.start("pair-guard")
    run_dir, log_dir = map(pathlib.Path, sys.argv[1:3])
    with contextlib.suppress(PermissionError):
        os.nice(_NICENESS)  # a master that is late is no master
    guard.Guard(dataclasses.replace(Paths(), run_dir=run_dir, log_dir=log_dir)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
