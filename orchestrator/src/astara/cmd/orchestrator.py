"""Run the orchestrator: `astara-orchestrator --config-file /etc/astara/orchestrator.ini`.

Exit status: 0 after SIGTERM or SIGINT; 78 for a configuration that cannot work; 75 if another
orchestrator holds the state directory.
"""

import os
import sys
from collections.abc import Sequence

from oslo_config import cfg

from .. import conf, metrics
from ..supervisor import lock, parent


def main(argv: Sequence[str] | None = None) -> int:
    """Start the children and watch them until told to stop."""
    options = list(sys.argv[1:] if argv is None else argv)
    try:
        loaded = conf.load(options)
    except (cfg.Error, OSError) as fault:
        print(f"astara-orchestrator: {fault}", file=sys.stderr)
        return os.EX_CONFIG
    try:
        with lock.take(loaded.state_path, loaded.shutdown_timeout) as held:
            metrics.reset(loaded.state_path)
            return parent.Supervisor(loaded, options, held.fileno()).run()
    except lock.HeldError as fault:
        print(f"astara-orchestrator: {fault}", file=sys.stderr)
        return os.EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
