"""Run benchmarks side by side and keep their results.

    python -m bench [TOPIC...] [--quick] [--keep DIRECTORY] [--page]

Needs root and the repository's environment; runs in namespaces of its own (see `arena`).
"""

import argparse
import importlib
import os
import pathlib
import sys

from . import arena, page, report

TOPICS = ("forwarding", "apply", "dhcp", "agent", "failover")


def main() -> None:
    """Run the chosen topics; print tables, write JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "topics", nargs="*", choices=[*TOPICS, []], metavar="TOPIC", help=", ".join(TOPICS)
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer sizes and rounds, results not kept"
    )
    parser.add_argument("--keep", type=pathlib.Path, default=None, help="where to write JSON")
    parser.add_argument(
        "--page", action="store_true", help=f"write {page.PAGE.name} from kept results, and end"
    )
    options = parser.parse_args()
    if options.page:
        page.write()
        return
    arena.enter()
    for topic in options.topics or TOPICS:
        module = importlib.import_module(f"bench.{topic}")
        result = module.measure(quick=options.quick)
        print(f"\n== {topic}\n", *(f"\n{text}\n" for text in module.shown(result)), flush=True)
        if options.keep or not options.quick:
            report.write(topic, result, options.keep or report.RESULTS)
            if not options.keep:
                page.write()
    # Namespaces and processes end with us; threads of measured code must not hold that up.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
