"""The one place of the hypervisor that runs host tools (ip, ethtool, ovs-vsctl).

It decides how long a tool may take and what its failure reads like; it must never use a shell.
Called by `vif`, `namespace` and `lifecycle`.
"""

import subprocess
from collections.abc import Sequence

from . import errors

DEFAULT_TIMEOUT_S = 20.0


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    check: bool = True,
) -> str:
    """Run argv and return what it printed; raise CommandFailed or CommandTimedOut.

    With `check` false a status other than 0 is accepted: for removals, where "not there" is what
    was wanted.
    """
    shown = " ".join(argv[:6]) + (" ..." if len(argv) > 6 else "")
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise errors.CommandTimedOut(f"{shown}: no answer within {timeout_s:g} s") from exc
    except OSError as exc:
        raise errors.CommandFailed(f"{shown}: {exc.strerror}") from exc
    if check and done.returncode:
        raise errors.CommandFailed(f"{shown}: {done.stderr.strip()[-500:] or done.returncode}")
    return done.stdout
