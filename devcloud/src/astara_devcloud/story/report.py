"""The table of a played story: what was checked, how long it took, what failed."""

import dataclasses
import json
import textwrap
import time
from collections.abc import Callable
from typing import Any

from astara_devcloud.story import probes


class StepFailed(Exception):
    """Something that a step promised was not so."""


@dataclasses.dataclass(slots=True)
class Row:
    """One line of the table. `seconds` is None where only the outcome matters."""

    step: str
    what: str
    ok: bool
    seconds: float | None = None
    detail: str = ""


@dataclasses.dataclass(slots=True)
class Report:
    """Collects rows, and says each as soon as it is known."""

    say: Callable[[str], None] = print
    rows: list[Row] = dataclasses.field(default_factory=list)
    step: str = ""
    step_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    _step_began: float = 0.0

    def begin(self, step: str, already_s: float = 0.0) -> None:
        """Start a step, `already_s` seconds ago; rows that follow belong to it."""
        self.step = step
        self._step_began = time.monotonic() - already_s
        self.say(f"\n{step}")

    def end(self) -> None:
        """End the step, well or not."""
        self.step_seconds[self.step] = time.monotonic() - self._step_began

    def check(self, ok: object, what: str, detail: str = "", seconds: float | None = None) -> None:
        """Record that `what` holds; raise StepFailed if it does not."""
        row = Row(self.step, what, bool(ok), seconds, detail)
        self.rows.append(row)
        self.say(line(row))
        if not ok:
            raise StepFailed(f"{what}{': ' + detail if detail else ''}")

    def within(self, what: str, timeout_s: float, look: Callable[[], Any]) -> Any:
        """Wait until `look` gives something, and record how long that took."""
        started = time.monotonic()
        try:
            seen = probes.wait_until(look, what, timeout_s, every_s=0.1)
        except probes.ProbeError as error:
            self.check(False, what, str(error), time.monotonic() - started)
            raise
        self.check(True, what, seconds=time.monotonic() - started)
        return seen

    @property
    def failed(self) -> list[Row]:
        """The rows that did not hold."""
        return [row for row in self.rows if not row.ok]

    def table(self) -> list[str]:
        """Return the steps with their seconds, one line each."""
        lines = [f"{'step':62}{'checks':>9}{'seconds':>10}"]
        for step, seconds in self.step_seconds.items():
            rows = [row for row in self.rows if row.step == step]
            word = "FAILED" if any(not row.ok for row in rows) else f"{len(rows)} ok"
            title = textwrap.shorten(step, 61, placeholder=" ...")
            lines.append(f"{title:62}{word:>9}{seconds:10.1f}")
        return lines

    def as_json(self) -> str:
        """Return the whole report as one line of JSON."""
        return json.dumps(
            {
                "ok": not self.failed,
                "steps": [
                    {
                        "step": step,
                        "seconds": round(seconds, 3),
                        "checks": [
                            {k: v for k, v in dataclasses.asdict(row).items() if k != "step"}
                            for row in self.rows
                            if row.step == step
                        ],
                    }
                    for step, seconds in self.step_seconds.items()
                ],
            }
        )


def line(row: Row) -> str:
    """Return the row as people read it."""
    took = f"{row.seconds:7.1f} s" if row.seconds is not None else " " * 9
    detail = f"  ({row.detail})" if row.detail else ""
    return f"  {'ok  ' if row.ok else 'FAIL'} {took}  {row.what}{detail}"
