"""Make the traffic classes of rate limits by tc(8), all changes in one batch.

Observed are the classes in the kernel with their rates; of bursts, which the kernel rounds, a file
tells what was asked for. A device without limits keeps the queueing discipline that it came with.
Called by the pipeline.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...system import files, netlink, process
from .. import base, limits, links
from . import plan

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "qos"
_CLASS = re.compile(rf"^class htb {limits.CLASSES}:([0-9a-f]+) .*? rate (\S+) ", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """By device with our discipline, the classes by number: the rate as tc shows it."""

    rates: Mapping[str, Mapping[str, str]]
    asked: plan.Plan
    """What the last change asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Commands of tc, and what they lead to."""

    commands: tuple[str, ...]
    asked: plan.Plan

    def __bool__(self) -> bool:
        return bool(self.commands)


class QosDriver:
    """See `base.Driver` for the verbs."""

    name = _NAME

    def __init__(self, paths: "Paths") -> None:
        self._record = paths.run_dir / "qos.json"

    def render(self, document: "Document", facts: base.Facts) -> plan.Plan:
        """Compute the classes of each device."""
        return plan.classes(document, links.links(document, facts))

    def check(self, desired: plan.Plan) -> None:
        """Accept: numbers and vetted devices leave nothing to refuse."""

    def observe(self) -> Observed:
        """Read the classes of the devices that have our discipline."""
        with netlink.opened() as kernel:
            shown = kernel.disciplines()
        ours = [x.device for x in shown if (x.kind, f"{x.handle:x}") == ("htb", limits.CLASSES)]
        rates = {device: _rates(device) for device in ours}
        return Observed(rates, _decode(files.read_file(self._record)))

    def diff(self, observed: Observed, desired: plan.Plan) -> Change:
        """Compute the commands: classes that go, then those that come or change."""
        idle = sorted(observed.rates.keys() - desired.keys())
        commands = [f"qdisc del dev {device} root" for device in idle]
        for device, wanted in sorted(desired.items()):
            present = observed.rates.get(device)
            if present is None:
                commands.append(f"qdisc replace dev {device} root handle {_ROOT} htb default 0")
                present = {}
            asked = observed.asked.get(device, {})
            commands += _class_commands(device, present, asked, wanted)
        return Change(tuple(commands), desired)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Show the commands that are due."""
        return tuple(f"due: tc {command}" for command in change.commands)

    def apply(self, change: Change) -> None:
        """Run the commands."""
        process.run(["tc", "-batch", "-"], stdin="".join(f"{x}\n" for x in change.commands))
        files.write_file(self._record, _encode(change.asked), 0o600)

    def verify(self, desired: plan.Plan) -> None:
        """Raise VerifyFailed when the kernel has other classes."""
        left = self.diff(self.observe(), desired)
        if left:
            raise base.VerifyFailed(_NAME, "; ".join(self.explain(left)[:5]))


_ROOT = f"{limits.CLASSES}:"


def _class_commands(
    device: str,
    present: Mapping[str, str],
    asked: Mapping[str, plan.Class],
    wanted: Mapping[str, plan.Class],
) -> list[str]:
    gone = sorted(present.keys() - wanted.keys())
    commands = [f"class del dev {device} classid {_ROOT}{number}" for number in gone]
    for number, want in sorted(wanted.items()):
        if present.get(number) != plan.shown_rate(want.kbit) or asked.get(number) != want:
            burst = f"burst {want.burst} cburst {want.burst}"
            commands.append(
                f"class replace dev {device} parent {_ROOT} classid {_ROOT}{number} "
                f"htb rate {want.kbit}kbit ceil {want.kbit}kbit {burst}"
            )
    return commands


def _rates(device: str) -> Mapping[str, str]:
    shown = process.run(["tc", "class", "show", "dev", device]).stdout
    return {found[1]: found[2] for found in _CLASS.finditer(shown)}


def _encode(asked: plan.Plan) -> str:
    return json.dumps(
        {
            device: {number: [item.kbit, item.burst] for number, item in classes.items()}
            for device, classes in asked.items()
        }
    )


def _decode(text: str | None) -> plan.Plan:
    """Return what was asked for; an unreadable record counts as none, which asks anew."""
    try:
        return {
            device: {number: plan.Class(*item) for number, item in classes.items()}
            for device, classes in json.loads(text or "{}").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}
