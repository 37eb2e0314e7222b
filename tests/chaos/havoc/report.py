"""Tell what was broken and how long it took until all was right again; pure.

The time of a round belongs to each kind of fault in it, so a kind is judged by its median rather
than by its maximum, which it may owe to another one.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .run import Done, Outcome

_MOVES = ("moves", "refused")


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A whole run; `wrong` says what was not right in the end, `wanted` which kinds were due."""

    seed: int
    seconds: float
    outcomes: Sequence[Outcome]
    wrong: str = ""
    wanted: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Name the kinds that were due and were never in place."""
        done = {each.kind for one in self.outcomes for each in one.strikes if not each.missed}
        return tuple(kind for kind in self.wanted if kind not in done)


def as_json(run: Run) -> dict[str, Any]:
    """Return the run as plain data."""
    return {
        "seed": run.seed,
        "seconds": round(run.seconds, 1),
        "wrong": run.wrong,
        "missing": list(run.missing),
        "rounds": [dataclasses.asdict(each) for each in run.outcomes],
        "kinds": _by_kind(run.outcomes),
        "all": _figures([each.recovery_s for each in run.outcomes]),
    }


def outcomes_of(told: Mapping[str, Any]) -> list[Outcome]:
    """Read the rounds of a report."""
    return [
        Outcome(
            **{
                **one,
                "strikes": tuple(Done(**each) for each in one["strikes"]),
                "waited_for": tuple(one["waited_for"]),
            }
        )
        for one in told["rounds"]
    ]


def _by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {}
    missed: dict[str, int] = {}
    for outcome in outcomes:
        for strike in outcome.strikes:
            if strike.missed:
                missed[strike.kind] = missed.get(strike.kind, 0) + 1
                continue
            times.setdefault(strike.kind, []).append(outcome.recovery_s)
            if len(outcome.strikes) == 1:
                alone.setdefault(strike.kind, []).append(outcome.recovery_s)
    return {
        kind: _figures(found)
        | {"alone": _figures(alone.get(kind, [])), "missed": missed.get(kind, 0)}
        for kind, found in sorted(times.items())
    }


def _figures(times: Sequence[float]) -> dict[str, Any]:
    if not times:
        return {"count": 0}
    return {
        "count": len(times),
        "median_s": round(statistics.median(times), 1),
        "max_s": max(times),
    }


def shown(run: Run) -> str:
    """Return the run as a table."""
    told = as_json(run)
    lines = [f"{'fault':<28} {'count':>5} {'median s':>9} {'max s':>7} {'alone, max s':>13}"]
    for kind, row in told["kinds"].items():
        alone = row["alone"].get("max_s", "")
        lines.append(
            f"{kind:<28} {row['count']:>5} {row['median_s']:>9} {row['max_s']:>7} {alone:>13}"
        )
    faults = sum(len(each.strikes) for each in run.outcomes)
    every = told["all"]
    moves, refused = (sum(getattr(each, name) for each in run.outcomes) for name in _MOVES)
    lines.append(
        f"{faults} faults in {len(run.outcomes)} rounds, seed {run.seed}, "
        f"{run.seconds:.0f} s; the tenant made {moves} changes and was refused {refused}; "
        f"all right again after a "
        f"median of {every.get('median_s', '-')} s, at most {every.get('max_s', '-')} s"
    )
    if run.wanted:
        done = len(run.wanted) - len(run.missing)
        lines.append(f"{done} of {len(run.wanted)} kinds; missing: {', '.join(run.missing)}")
    if run.wrong:
        lines.append(f"WRONG in the end: {run.wrong}")
    return "\n".join(lines)
