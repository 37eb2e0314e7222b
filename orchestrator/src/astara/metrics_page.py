"""Write the reference page of the metrics from their declarations: `make docs`."""

import pathlib
import sys

from . import metrics

_HEAD = """# Metrics of the orchestrator

Generated from `astara.metrics` by `make docs`. Each node gives its own at `GET /metrics` of the
HTTP API (port 44250), in the text format of Prometheus; [monitoring](../operator/monitoring.md)
tells how to read them. Histograms have the usual `_bucket`, `_sum` and `_count`. No label names a
resource or a tenant. Counters go on when a child of the orchestrator is started again and begin
anew with the orchestrator.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Give the whole page."""
    lines = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} |"
        f" {one.help} |"
        for one in metrics.declarations()
    ]
    return _HEAD + "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Write the page to the file named."""
    pathlib.Path(argv[0]).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
