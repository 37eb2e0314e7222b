"""Make the library that reads our messages fit for threads.

msgspec 0.22 looks at a struct when it is first decoded, and keeps what it found while its fields
are still being looked at. A second thread that decodes the same struct in that moment ends the
process by SIGSEGV. Called once by every program with threads, before it starts any.
"""

import contextlib

import msgspec


def prepare() -> None:
    """Have every struct that is defined by now looked at."""
    waiting: list[type] = [msgspec.Struct]
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        for each in subclasses:
            waiting.append(each)
            # Those that are never decoded may hold what cannot be.
            with contextlib.suppress(TypeError, NameError):
                msgspec.json.Decoder(each)
