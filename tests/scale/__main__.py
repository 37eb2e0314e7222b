"""Measure the orchestrator at scale: `python tests/scale [--routers N ...] [--quick]`.

Everything runs in namespaces of its own (see `room`) and nothing stays behind but the result.
"""

import argparse
import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import room  # noqa: E402  found by the path above
import run  # noqa: E402
import table  # noqa: E402

MUTUAL = HERE.parents[1] / "bench" / "results" / "scale.json"
PLAIN = MUTUAL.with_name("scale-plaintext.json")
PAGE = HERE.parents[1] / "docs" / "scale.md"


def main() -> None:
    """Run the sizes that were asked for; print a table; keep JSON, and the table in the docs."""
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--routers", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--period", type=float, default=60.0, help="seconds of a health cycle")
    parser.add_argument("--quick", action="store_true", help="correctness only, results not kept")
    parser.add_argument("--plaintext", action="store_true", help="[tls] enabled = false")
    parser.add_argument(
        "--steps",
        nargs="+",
        default=None,
        help="only these; adopt comes first; not kept but with --keep",
    )
    parser.add_argument("--keep", type=pathlib.Path, default=None, help="where to write JSON")
    parser.add_argument("--scratch", type=pathlib.Path, default=None, help="keep logs there")
    options = parser.parse_args()
    room.enter()
    results = []
    for count in options.routers:
        with tempfile.TemporaryDirectory(prefix="astara-scale-") as scratch:
            root = options.scratch / str(count) if options.scratch else pathlib.Path(scratch)
            root.mkdir(parents=True, exist_ok=True)
            results.append(run.measure(count, root, options))
    kept = table.result(results)
    print(table.shown(kept))
    if (options.quick or options.steps) and not options.keep:
        return
    keep = options.keep or (PLAIN if options.plaintext else MUTUAL)
    keep.parent.mkdir(parents=True, exist_ok=True)
    keep.write_text(json.dumps(kept, indent=1) + "\n")
    if keep == MUTUAL:
        table.write(PAGE, table.shown(kept))


if __name__ == "__main__":
    main()
