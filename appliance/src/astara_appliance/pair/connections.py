"""Have conntrackd bring the other one's connections into this kernel, or let go of them.

The commands are those of conntrackd's own fail-over script (conntrackd(8), OPTIONS); each set runs
in a thread, because the master's lease must be renewed meanwhile. Called by `guard`.
"""

import logging
import threading
from collections.abc import Sequence

from ..system import process

LOG = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
COMMIT = ("-c",)
BECOME_SOURCE = ("-f", "-R", "-B")
BECOME_SINK = ("-t", "-n")


class Connections:
    """The conntrackd of this appliance; none without a configuration."""

    def __init__(self, configuration: str) -> None:
        self._configuration = configuration
        self._order = threading.Lock()

    def run(self, options: Sequence[str]) -> threading.Thread | None:
        """Run the commands one after another in the background, after those of earlier calls."""
        if not self._configuration:
            return None
        thread = threading.Thread(target=self._run, args=(tuple(options),), daemon=True)
        thread.start()
        return thread

    def _run(self, options: Sequence[str]) -> None:
        with self._order:
            for option in options:
                try:
                    process.run(
                        ["conntrackd", "-C", self._configuration, option], timeout_s=_TIMEOUT_S
                    )
                except process.CommandFailed as failed:
                    LOG.error("conntrackd.failed option=%s reason=%s", option, failed)
