"""Write the documentation page of the state machine from the table.

Pure but for the command: `python -m astara.machine.diagram [FILE]` writes the page to FILE or to
the standard output. A test holds the committed page against it.
"""

import pathlib
import sys
from collections.abc import Iterable, Mapping, Set
from typing import Any

from . import collapse, table
from .vocabulary import Action, InstanceState, WalkState

_HEAD = """# The state machine of a resource

This page is written by `python -m astara.machine.diagram docs/state-machine.md` from
`astara/machine/table.py`; change the table, not the page.

One automaton exists per resource. Events only make it look: it merges what was asked, walks from
state to state by the first row whose guard holds, and ends idle or with a pause, during which no
thread is held. A pause is cut short by the actions named in the table of pauses; all others wait
until it is over, and none is dropped.
"""

_LETTERS = """Guards are written in the letters of the original design. Actions: **C**reate,
**R**ead,
**U**pdate, **D**elete, **P**oll, r**E**build. Instance: **D**own, **B**ooting, **U**p,
**C**onfigured,
**R**estart needed, **H**otplug needed, **d**egraded, **G**one, **E**rror. Words are facts found
while executing the state.
"""


def _letters(names: Set[Any], alphabet: Mapping[str, Any]) -> str:
    return "".join(letter for letter, name in alphabet.items() if name in names)


def guard_text(guard: table.Guard) -> str:
    """Write a guard as the original diagram does."""
    parts = []
    if guard.actions != frozenset(Action):
        parts.append(f"ACT:[{_letters(guard.actions, table.ACTION_LETTERS)}]")
    if guard.states != frozenset(InstanceState):
        parts.append(f"vm:[{_letters(guard.states, table.STATE_LETTERS)}]")
    parts += sorted(guard.facts)
    return ", ".join(parts) or "otherwise"


def _mermaid() -> list[str]:
    edges: dict[tuple[str, str, bool], list[str]] = {}
    for row in table.TABLE:
        ours = row.origin is not table.Origin.DESIGN
        edges.setdefault((row.state, row.next, ours), []).append(guard_text(row.guard))
    lines = ["```mermaid", "flowchart TD", f"    start(( )) --> {WalkState.CALC_ACTION}"]
    for (state, target, ours), guards in edges.items():
        arrow = "-.->" if ours else "-->"
        label = "<br/>".join(guard.replace("[", "").replace("]", "") for guard in guards)
        lines.append(f'    {state} {arrow}|"{label}"| {target}')
    lines.append(f"    {WalkState.EXIT} --> finish((( )))")
    return [*lines, "```"]


def _rows(state: WalkState) -> list[str]:
    rows = [row for row in table.TABLE if row.state is state]
    if not rows:
        return []
    lines = [f"### {state}", "", state.sentence, ""]
    lines += ["| if | then | when | because | origin |", "|---|---|---|---|---|"]
    for row in rows:
        extra = " (gives up: ERROR)" if row.gives_up else ""
        extra += f" (as {row.becomes})" if row.becomes else ""
        lines.append(
            f"| {guard_text(row.guard)} | {row.next}{extra} | {row.pause} | {row.reason} "
            f"| {row.origin} |"
        )
    return [*lines, ""]


def _vocabulary(title: str, members: Iterable[InstanceState | Action]) -> list[str]:
    lines = [f"## {title}", "", "| name | meaning |", "|---|---|"]
    lines += [f"| {member} | {member.sentence} |" for member in members]
    return [*lines, ""]


def _collapse() -> list[str]:
    lines = ["## How actions merge", ""]
    lines += ["The strongest pending action is walked next; it absorbs what its walk does anyway."]
    lines += ["", "| action | absorbs |", "|---|---|"]
    for action in collapse.PRECEDENCE:
        absorbed = [
            str(other) for other in collapse.PRECEDENCE if other in collapse.ABSORBS[action]
        ]
        lines.append(f"| {action} | {', '.join(absorbed)} |")
    return [*lines, ""]


def _pauses() -> list[str]:
    lines = ["## Pauses", "", "| pause | cut short by |", "|---|---|"]
    for pause, actions in table.INTERRUPTS.items():
        lines.append(f"| {pause} | {', '.join(sorted(actions))} |")
    return [*lines, ""]


def _deviations() -> list[str]:
    lines = ["## Where the table contradicts the original diagram", ""]
    lines += ["Rows whose origin is not `design` add what the diagram leaves open: waits,"]
    lines += ["deadlines, failures; each says why. Here the diagram says something else:", ""]
    for one in table.CONTRADICTIONS:
        lines.append(f"- **{one.state}**, {guard_text(one.guard)}: {one.reason}.")
    return [*lines, ""]


def page() -> str:
    """Give the whole page."""
    lines = [*_HEAD.splitlines(), "", "Solid arrows are those of the original design.", ""]
    lines += [*_mermaid(), "", *_LETTERS.splitlines(), ""]
    lines += _vocabulary("Actions", Action)
    lines += _vocabulary("States of an instance", InstanceState)
    lines += ["## States of the walk", ""]
    for state in WalkState:
        lines += _rows(state)
    lines += [*_pauses(), *_collapse(), *_deviations()]
    return "\n".join(lines).rstrip() + "\n"


def main(argv: list[str]) -> int:
    """Write the page to the file named, or to the standard output."""
    if argv:
        pathlib.Path(argv[0]).write_text(page())
    else:
        sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
