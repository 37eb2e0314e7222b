"""Run the operators' tool: `astara-ctl --help` lists its commands.

Exit status: see `cli.app`.
"""

import sys
import warnings
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    warnings.simplefilter("ignore")  # those of libraries are nothing to an operator
    from ..cli import app

    return app.main(argv)


if __name__ == "__main__":
    sys.exit(main())
