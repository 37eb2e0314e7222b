"""Keep the agent's memory small between requests.

glibc gives each thread a heap of its own and seldom returns freed memory: after a large document
the agent would stay as large as it ever was. Without glibc (musl) both functions leave things as
they are. Called at the start of the agent and after whatever may have used much.
"""

import ctypes
import gc
import threading

from .. import clock

PAUSE_S = 1.0
"""Freed memory waits so long for the next request: to have it anew costs more than to keep it."""

_M_ARENA_MAX = -8  # mallopt(3)
_waiting = threading.Lock()


def settle() -> None:
    """Use one heap for all threads, and leave what is there now out of later collections."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_ARENA_MAX, 1)
    gc.collect()
    gc.freeze()


def give_back(*, thorough: bool = False) -> None:
    """Return what is free to the kernel; takes some milliseconds, with a search for all garbage
    tens of them.
    """
    gc.collect(2 if thorough else 1)
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def give_back_soon() -> None:
    """Give back after a pause, once for all that ask for it meanwhile."""
    if _waiting.acquire(blocking=False):
        threading.Thread(target=_give_back_later, name="give-back", daemon=True).start()


def _give_back_later() -> None:
    clock.sleep(PAUSE_S)
    _waiting.release()
    give_back()
