"""Write the figures of a run into the operators' page, between two marks; the rest is by hand."""

import pathlib
from collections.abc import Mapping
from typing import Any

FILE = pathlib.Path(__file__).parents[3] / "docs/operator/faults.md"
BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"


def table(told: Mapping[str, Any]) -> str:
    """Return the report of a run as a table in Markdown."""
    lines = [
        "| kind of fault | count | median s | max s |",
        "|---|---:|---:|---:|",
        *(
            f"| {kind} | {row['count']} | {row['median_s']} | {row['max_s']} |"
            for kind, row in told["kinds"].items()
        ),
    ]
    every = told["all"]
    count = sum(row["count"] for row in told["kinds"].values())
    lines.append(f"| **all** | {count} | {every['median_s']} | {every['max_s']} |")
    if "note" in told:
        lines += ["", told["note"]]
    return "\n".join(lines)


def filled(text: str, told: Mapping[str, Any]) -> str:
    """Return a page with the table of a run in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(told)}\n{END}{after}"


def write(told: Mapping[str, Any]) -> None:
    """Put a run into the page."""
    FILE.write_text(filled(FILE.read_text(), told))
