"""Run one short-lived program to its end.

Decides how a child is started (list argv, deadline, plain environment, C locale) and what its
failure looks like. It never uses a shell and never leaves a child behind. Called by drivers for
`nft -c`, `conntrack -D`, `dnsmasq --test`...
"""

import dataclasses
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

from .. import logs

DEFAULT_TIMEOUT_S = 15.0
_STDERR_KEPT = 4000


@dataclasses.dataclass(frozen=True, slots=True)
class CommandResult:
    """What a program that ended with an accepted status printed."""

    returncode: int
    stdout: str
    stderr: str


class CommandFailed(Exception):
    """A program could not be started, ran out of time, or ended with another status than
    wanted.
    """

    def __init__(self, argv: Sequence[str], reason: str, stderr: str = "") -> None:
        self.argv = tuple(argv)
        self.reason = reason
        self.stderr = stderr[-_STDERR_KEPT:]
        super().__init__(f"{argv[0]}: {reason}" + (f": {self.stderr.strip()}" if stderr else ""))


def clean_environment() -> dict[str, str]:
    """Return the environment that children get: our PATH and nothing that could steer them."""
    path = os.environ.get("PATH", "")
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    passed_on = {name: os.environ[name] for name in logs.PASSED_ON if name in os.environ}
    plain = {"PATH": f"{path}:{system}" if path else system, "LC_ALL": "C", "HOME": "/root"}
    return {**plain, **passed_on}


def is_installed(program: str) -> bool:
    """Tell whether there is such a program."""
    return shutil.which(program, path=clean_environment()["PATH"]) is not None


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    stdin: str = "",
    accept: frozenset[int] = frozenset({0}),
) -> CommandResult:
    """Run `argv` to its end and return what it printed.

    `stdin` is fed as UTF-8. A status outside `accept`, a missing program or `timeout_s` running
    out raises `CommandFailed` with argv and the end of stderr.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout_s,
            env=clean_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        late = (error.stderr or b"").decode(errors="replace")
        raise CommandFailed(argv, f"no end after {timeout_s:g} s", late) from error
    except OSError as error:
        raise CommandFailed(argv, f"cannot be started ({error.strerror})") from error
    stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode not in accept:
        raise CommandFailed(argv, f"status {done.returncode}", stderr or stdout)
    return CommandResult(done.returncode, stdout, stderr)


def children(pid: int) -> tuple[int, ...]:
    """Return the live children of process `pid`, none if it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(int(part) for part in text.split())
