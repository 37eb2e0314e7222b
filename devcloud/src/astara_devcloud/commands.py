"""The one place of the devcloud that runs a program to its end.

Takes argument lists, never a shell; every run has a deadline and a failure carries what the
program said.
"""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence

DEADLINE_S = 60.0
# Daemons live in sbin, which not everybody's PATH holds.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(Exception):
    """A program ended with another status than 0, or not in time."""


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
    timeout_s: float = DEADLINE_S,
) -> str:
    """Run a program and return its standard output; ``environment`` adds to ours."""
    try:
        done = subprocess.run(
            argv,
            env=_environment(environment),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{argv[0]}: program not found") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(argv)}: not done after {timeout_s:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CommandError(f"{' '.join(argv)}: status {done.returncode}: {said}")
    return done.stdout


def _environment(additions: Mapping[str, str] | None) -> dict[str, str]:
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":")
    return {**os.environ, "PATH": path, **(additions or {})}


def missing(programs: Iterable[str]) -> list[str]:
    """List the programs that are not installed."""
    return [name for name in programs if shutil.which(name, path=SYSTEM_PATH) is None]


def run_logged(
    argv: Sequence[str],
    log: pathlib.Path,
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float,
) -> None:
    """Run a long program with its output appended to a log."""
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                argv,
                env=_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"{' '.join(argv)}: not done after {timeout_s:.0f} s") from error
    if done.returncode:
        raise CommandError(f"{' '.join(argv)}: status {done.returncode} (log: {log})")
