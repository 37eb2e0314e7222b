"""Run one child process of the supervisor: `python -m astara.cmd.child ROLE NUMBER [options]`.

Parses the configuration itself (nothing is inherited but three file descriptors), installs the
signal handlers, imports the entry of its role and runs it. Shows the supervisor that it lives, and
ends when the supervisor is gone, however that happened. Must never start another process.
"""

import contextlib
import ctypes
import logging
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType

from oslo_config import cfg

from astara_contract import structs

from .. import conf, metrics, tracing
from ..conf import reloading
from ..supervisor import roles

LOG = logging.getLogger(__name__)

LIFELINE = "ASTARA_LIFELINE_FD"  # a pipe that only the supervisor holds open for writing
PULSE = "ASTARA_PULSE_FD"  # a pipe from which only the supervisor reads
BEAT_S = 1.0
ORPHAN_TIMEOUT_S = 5.0


def _trim_memory() -> None:
    """Let the allocator use few arenas: threads would otherwise each keep one of their own."""
    m_arena_max = -8
    ctypes.CDLL(None).mallopt(m_arena_max, 2)


def _watch_lifeline(fd: int, stop: threading.Event) -> None:
    """Stop when the other end of the pipe closes, which even SIGKILL of the supervisor does."""
    os.read(fd, 1)
    LOG.warning("supervisor.gone timeout_s=%s", ORPHAN_TIMEOUT_S)
    stop.set()
    threading.Event().wait(ORPHAN_TIMEOUT_S)
    os._exit(1)


def _beat(fd: int) -> None:
    """Show that this process runs, and that no thread keeps the others from running."""
    never = threading.Event()
    with contextlib.suppress(BrokenPipeError):  # the lifeline tells as well
        while not never.wait(BEAT_S):
            with contextlib.suppress(BlockingIOError):  # the supervisor has not listened for long
                os.write(fd, b".")


def _install_signals(stop: threading.Event) -> None:
    def on_term(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is for the supervisor to handle
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the configuration is parsed
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _reload_on_sighup(loaded: cfg.ConfigOpts) -> None:
    """Read the configuration again at SIGHUP, outside of the handler: it may log and wait."""

    def reread() -> None:
        try:
            reloading.reload(loaded)
        except (cfg.Error, OSError) as fault:
            LOG.error("configuration.not_reloaded reason=%s", fault)

    def on_hup(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=reread, name="reload", daemon=True).start()

    signal.signal(signal.SIGHUP, on_hup)


def _trace_anew(
    loaded: cfg.ConfigOpts, name: str, fresh: Mapping[tuple[str | None, str], object]
) -> None:
    if any(group == "tracing" for group, _option in fresh):
        tracing.start(loaded, name)


def _name(role: roles.Role, number: int) -> None:
    """Show the role in ps and top; the kernel keeps 15 characters."""
    pathlib.Path("/proc/self/comm").write_text(f"astara-{role}-{number}"[:15])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the child; the exit status is 0 after an orderly stop."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    role, number, options = roles.Role(arguments[0]), int(arguments[1]), arguments[2:]
    stop = threading.Event()
    _install_signals(stop)
    if fd := os.environ.get(PULSE):
        threading.Thread(target=_beat, args=(int(fd),), name="pulse", daemon=True).start()
    _trim_memory()
    loaded = conf.load(options)
    _reload_on_sighup(loaded)
    _name(role, number)
    if fd := os.environ.get(LIFELINE):
        watch = threading.Thread(
            target=_watch_lifeline, args=(int(fd), stop), name="lifeline", daemon=True
        )
        watch.start()
    metrics.STARTS.labels(role).inc()
    name = f"{role}-{number:02d}"
    tracing.start(loaded, name)
    loaded.register_mutate_hook(lambda _conf, fresh: _trace_anew(loaded, name, fresh))
    try:
        entry: roles.Entry = roles.load(roles.ENTRIES[role])
        structs.prepare()
        entry(loaded, number, stop)
    except Exception:  # the boundary of the process: the supervisor starts it again
        LOG.exception("child.crashed role=%s number=%d", role, number)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    tracing.stop()
    logging.shutdown()
    os._exit(status)  # not waiting for a thread that a dead peer holds
