"""Count seconds and pauses for one automaton: deadlines, back-off, the cool-down in ERROR.

Pure but for the clock it is given. Decides how long; never where to go. Used by `automaton` alone.
"""

import dataclasses
import functools
import typing

from .table import Fact

if typing.TYPE_CHECKING:
    from .. import clock

NEVER = frozenset[Fact]()
_EXPONENT_MAX = 30  # beyond any configured maximum; keeps the power small


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """Budgets and times, in seconds; see the options of the same names."""

    boot_timeout_s: float = 600
    stop_timeout_s: float = 600
    hotplug_timeout_s: float = 60
    silent_timeout_s: float = 15
    cooldown_s: float = 30
    cooldown_max_s: float = 900
    boot_attempts: int = 5
    tries: int = 3
    retry_delay_s: float = 1
    retry_delay_max_s: float = 30
    watch_interval_s: float = 1


class Patience:
    """The waits and pauses of one automaton."""

    def __init__(self, policy: Policy, time: "clock.Clock") -> None:
        self._policy = policy
        self._clock = time
        self._since: dict[str, float] = {}  # when a wait began, by its name
        self._backoffs = 0  # pauses since the last progress
        self._cooldowns = 0  # pauses in ERROR since the last success
        self._cooling_until = 0.0
        self._hurried_s: float | None = None  # when a cool-down was last cut short
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Go on with other budgets and times; what has begun is measured by them."""
        self._policy = policy

    def waited_s(self, wait: str) -> float:
        """Give the seconds since the wait of that name began, which may be now."""
        now = self._clock.monotonic()
        return now - self._since.setdefault(wait, now)

    def waits(self, wait: str) -> bool:
        """Tell whether the wait of that name has begun."""
        return wait in self._since

    def over(self, wait: str) -> None:
        """End a wait."""
        self._since.pop(wait, None)

    def all_over(self) -> None:
        """End all waits."""
        self._since.clear()

    def overdue(self, wait: str) -> frozenset[Fact]:
        """Give OVERDUE if that wait, which may begin now, has passed its deadline."""
        late = self.waited_s(wait) > _limits(self._policy)[wait]
        return frozenset({Fact.OVERDUE}) if late else NEVER

    # -- pauses --------------------------------------------------------------------------------

    def watch_s(self) -> float:
        """Give the pause between looks at something that takes its time."""
        return self._clock.jitter(self._policy.watch_interval_s)

    def backoff_s(self, at_least_s: float) -> float:
        """Give a pause that doubles with every use since the last progress."""
        policy = self._policy
        grown_s = min(policy.retry_delay_max_s, policy.retry_delay_s * 2**self._backoffs)
        self._backoffs = min(self._backoffs + 1, _EXPONENT_MAX)
        return max(self._clock.jitter(grown_s), at_least_s)

    def progress(self) -> None:
        """Let the next back-off be a short one."""
        self._backoffs = 0

    def success(self) -> None:
        """Let the next cool-down be a short one as well."""
        self._backoffs = self._cooldowns = 0

    def afresh(self) -> None:
        """Forget all waits and pauses, the running one included."""
        self.all_over()
        self.success()
        self._cooling_until = 0.0

    @property
    def cooling(self) -> bool:
        """Tell whether the pause in ERROR is not over."""
        return self._clock.monotonic() < self._cooling_until

    def cooldown_s(self) -> float:
        """Start a pause in ERROR, longer than the last, or give the rest of the running one."""
        now = self._clock.monotonic()
        if now >= self._cooling_until:
            policy = self._policy
            grown_s = min(policy.cooldown_max_s, policy.cooldown_s * 2**self._cooldowns)
            self._cooldowns = min(self._cooldowns + 1, _EXPONENT_MAX)
            self._cooling_until = now + self._clock.jitter(grown_s)
            self._backoffs = 0
        return self._cooling_until - now

    def hurry(self) -> float:
        """Cut the running cool-down short; give the seconds that are left of it.

        The first time nothing is left. After that a try follows the last hurried one no sooner
        than a first cool-down would end, however often anybody asks.
        """
        now = self._clock.monotonic()
        if now < self._cooling_until:
            last_s = self._hurried_s
            free_s = now if last_s is None else max(now, last_s + self._policy.cooldown_s)
            if free_s < self._cooling_until:
                self._cooling_until = self._hurried_s = free_s
        return max(0.0, self._cooling_until - now)


@functools.lru_cache(maxsize=4)
def _limits(policy: Policy) -> dict[str, float]:
    """Give how long each wait may last: one answer for all who share a policy."""
    return {
        "boot": policy.boot_timeout_s,
        "create": policy.boot_timeout_s,
        "replug": policy.hotplug_timeout_s,
        "silent": policy.silent_timeout_s,
        "stop": policy.stop_timeout_s,
    }
