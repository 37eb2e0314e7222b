"""Break a cloud at random and see it come right: `python tests/chaos [--seed N] [--faults N]`.

Uses the devcloud, which it starts if need be and leaves as it was. The seed is printed first; the
same seed draws the same faults. `--every` plays each kind once, alone, so that its figures are its
own; with `--resume` it leaves out what a run that was cut short has in its report. `--page FILE`
only writes the report in FILE into the operators' page. Ends with status 1 if anything was wrong
in the end, or if a kind of `--every` could not be put in place.
"""

import argparse
import contextlib
import json
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from havoc import cloud, kinds, page, report, run, schedule  # noqa: E402  found by the path above

from astara_devcloud import layout, lifecycle  # noqa: E402

ROUTERS = 4
HOSTS = ("left", "right")
CHANCES = 3  # for a kind of --every that found nothing to break


def main() -> int:
    """Play a schedule; print a table; keep JSON if asked."""
    options = _options()
    if options.page is not None:
        page.write(json.loads(options.page.read_text()))
        return 0
    for number in (signal.SIGTERM, signal.SIGINT):  # whoever stops it wants his cloud back
        signal.signal(number, lambda which, _frame: sys.exit(128 + which))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    rounds = _rounds(options, seed)
    print(f"chaos: seed {seed}, {sum(map(len, rounds))} faults", flush=True)
    where = layout.current_layout()
    started = lifecycle.up(where, (), lambda text: print(f"devcloud: {text}", flush=True))
    try:
        with contextlib.ExitStack() as leave:
            root = options.scratch or pathlib.Path(tempfile.mkdtemp(prefix="astara-chaos-"))
            root.mkdir(parents=True, exist_ok=True)
            if not options.scratch:
                leave.callback(shutil.rmtree, root)
            told = _play(options, seed, rounds, root)
            if told.wrong:
                leave.pop_all()
                print(f"logs of the nodes are kept in {root}")
    except cloud.InUseError as reason:
        print(f"chaos: {reason}", file=sys.stderr)
        return 1
    finally:
        if started.kind != "already up":
            lifecycle.down(where, lambda text: None)
    print(report.shown(told))
    _keep(options, told)
    return bool(told.wrong or told.missing)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="draw the faults of that run again")
    parser.add_argument("--faults", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--seconds", type=float, default=600, help="begin no round after (600)")
    parser.add_argument("--every", action="store_true", help="each kind once, alone")
    parser.add_argument("--kinds", type=_kinds, metavar="A,B", help="only these")
    parser.add_argument("--list", action="store_true", help="name the kinds and end")
    parser.add_argument("--resume", action="store_true", help="go on where --json FILE ends")
    parser.add_argument("--page", type=pathlib.Path, metavar="FILE", help="see above")
    parser.add_argument("--json", type=pathlib.Path, help="write the report there")
    parser.add_argument(
        "--scratch",
        type=pathlib.Path,
        help="keep logs of the nodes there (else: if a run ends wrong)",
    )
    options = parser.parse_args()
    if options.resume and not (options.every and options.json):
        parser.error("--resume needs --every and --json FILE")
    if options.list:
        parser.exit(message="\n".join(kinds.KINDS) + "\n")
    return options


def _kinds(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in kinds.KINDS]:
        raise argparse.ArgumentTypeError(f"no kind {', '.join(unknown)}; see --list")
    return names


def _rounds(options: argparse.Namespace, seed: int) -> list[schedule.Round]:
    spans = kinds.spans(options.kinds)
    if options.every:
        return schedule.every(seed, spans)
    return schedule.rounds(seed, options.faults, spans)


def _play(
    options: argparse.Namespace, seed: int, rounds: list[schedule.Round], root: pathlib.Path
) -> report.Run:
    wanted = tuple(span.kind for span in kinds.spans(options.kinds)) if options.every else ()
    outcomes = list(_earlier(options))
    done = {each.kind for one in outcomes for each in one.strikes if not each.missed}
    left = [strikes for strikes in rounds if strikes[0].kind not in done or not options.resume]
    wrong = ""
    began = time.monotonic()
    with cloud.opened(root, seed, HOSTS) as made:
        runner = run.Runner(made, seed, lambda text: print(text, flush=True))
        print(f"{ROUTERS} routers after {runner.begin(ROUTERS):.1f} s", flush=True)
        began = time.monotonic()
        while left:
            number = len(outcomes) + 1
            if time.monotonic() - began > options.seconds:
                print(f"time is over, {len(left)} rounds are left")
                break
            print(f"round {number} of {len(outcomes) + len(left)}", flush=True)
            strikes = left.pop(0)
            try:
                outcomes.append(runner.play(strikes))
            except run.WrongError as error:
                wrong = f"round {number}, {', '.join(each.kind for each in strikes)}: {error}"
                break
            print(f"  right again after {outcomes[-1].recovery_s} s", flush=True)
            _keep(options, report.Run(seed, time.monotonic() - began, outcomes, wanted=wanted))
            played = [each for one in outcomes for each in one.strikes]
            if wanted and strikes[0].kind in _missed(played, CHANCES):
                left.append(strikes)
        seconds = time.monotonic() - began
        if not wrong and runner.truth is not None:
            wrong = "\n".join(runner.truth.differences())
        _leave(made)
    return report.Run(seed, seconds, outcomes, wrong, wanted)


def _earlier(options: argparse.Namespace) -> Sequence[run.Outcome]:
    """Read what a run that was cut short has kept."""
    if not options.resume or not options.json.exists():
        return ()
    return report.outcomes_of(json.loads(options.json.read_text()))


def _keep(options: argparse.Namespace, told: report.Run) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(told), indent=1) + "\n")


def _missed(played: list[run.Done], chances: int) -> set[str]:
    """Name the kinds that were never in place and have chances left."""
    done = {each.kind for each in played if not each.missed}
    tried = [each.kind for each in played if each.missed]
    return {kind for kind in tried if kind not in done and tried.count(kind) < chances}


def _leave(made: cloud.Cloud) -> None:
    """Have the nodes that made the routers remove them."""
    made.tenant.clear()


if __name__ == "__main__":
    sys.exit(main())
