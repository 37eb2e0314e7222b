"""Give time and chance: the only module that asks the machine for either.

What decides takes a `Clock`, so that tests run in virtual time; clients use `SYSTEM`. Must never
be bypassed by `time.sleep`; waiting is done on conditions with the deadlines computed here.
"""

import random
import time
import typing


class Clock(typing.Protocol):
    """Seconds that only grow, and jitter."""

    def monotonic(self) -> float:
        """Give seconds since an arbitrary moment; never goes back."""

    def jitter(self, seconds: float) -> float:
        """Give a duration spread evenly between three quarters and five quarters of `seconds`."""


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Give seconds since an arbitrary moment; never goes back."""
        return time.monotonic()

    def wall(self) -> float:
        """Give seconds since 1970, to compare with what other machines wrote; may jump."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Hold the thread for a short, bounded pause within one call of a client."""
        time.sleep(seconds)

    def jitter(self, seconds: float) -> float:
        """Give a duration spread evenly between three quarters and five quarters of `seconds`."""
        return seconds * random.uniform(0.75, 1.25)  # noqa: S311  spreads load, guards nothing


SYSTEM = SystemClock()
