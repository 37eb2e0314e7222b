"""How a command of `astara-ctl` ends, and in whose name it is given.

Decides exit statuses: 0 done; 1 not done, the reason is on stderr; 2 wrong arguments; 3 no node
answers; 78 a configuration that cannot be read.
"""

import getpass
import os
import socket

from ..api import messages

EXIT_REFUSED = 1
EXIT_SILENT = 3
_SILENT = frozenset({messages.Code.NODE_SILENT, messages.Code.WORKER_SILENT})


class Refused(Exception):
    """End with a sentence on stderr and an exit status."""

    def __init__(self, text: str, status: int = EXIT_REFUSED) -> None:
        super().__init__(text)
        self.status = status


def status_of(report: messages.Report) -> int:
    """Give the exit status of a report that is not done."""
    return EXIT_SILENT if report.code in _SILENT else EXIT_REFUSED


def who() -> str:
    """Name who is at the keyboard, for the log and for debug modes."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
