"""Run one program with a deadline; the only place of the orchestrator that forks programs.

Must never use a shell. ``ovs-vsctl`` finds a database in another place by OVS_RUNDIR of the
environment, which is passed on as it is.
"""

import subprocess

TIMEOUT_S = 20.0


class CommandFailed(Exception):  # named for what happened
    """A program was missing, failed or took too long."""


def run(*argv: str) -> str:
    """Run a program and return what it printed; raise CommandFailed with its complaint."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{' '.join(argv)}: {error}") from error
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
