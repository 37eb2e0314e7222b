"""Write the reference pages that are generated from the contract: ``python -m ... DIRECTORY``.

Called by ``make docs``; a test holds the committed pages against what this module writes.
"""

import sys
from pathlib import Path

import msgspec

from astara_contract import document, errors, stats, status


def pages() -> dict[str, bytes]:
    """Return the generated pages: file name to content."""
    (_, parts) = msgspec.json.schema_components(
        [status.Status, status.InterfacesBody, stats.Stats]
    )
    observed = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": parts}
    return {
        "document.schema.json": _pretty(document.json_schema()),
        "status.schema.json": _pretty(observed),
        "error.schema.json": _pretty(msgspec.json.schema(errors.ErrorBody)),
    }


def main(arguments: list[str]) -> int:
    """Write all pages to the directory named by the only argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m astara_contract.reference DIRECTORY\n")
        return 2
    target = Path(arguments[0])
    target.mkdir(parents=True, exist_ok=True)
    for name, content in pages().items():
        (target / name).write_bytes(content)
    return 0


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
