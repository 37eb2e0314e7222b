"""The verbs of labels and helpers: one table, changed in one transaction that keeps the counters.

Whether the kernel's rules are the wanted ones is told, as with the firewall, by a record of what
they looked like after they were loaded. Called by the pipeline.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...system import files
from .. import base, links
from ..firewall import nft
from . import table

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "services"
_WHERE = f"{table.FAMILY} {table.TABLE}"
_OF_ONE_MOMENT = ("handle", "packets", "bytes")


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel holds."""

    text: str | None
    """What the table was loaded from, empty if there is none; None if it is not as it was."""

    parts: tuple[tuple[str, str], ...] = ()
    """Its chains and objects: kind and name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One transaction, and what the table is loaded from by it."""

    commands: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.commands)


class ServicesDriver:
    """See `base.Driver` for the verbs."""

    name = _NAME

    def __init__(self, paths: "Paths", tool: nft.Nft | None = None) -> None:
        self._record = paths.run_dir / "services.json"
        self._nft = tool or nft.connect()

    def render(self, document: "Document", facts: base.Facts) -> str:
        """Compute the table."""
        return table.text(document, links.links(document, facts))

    def check(self, desired: str) -> None:
        """Let nftables dry-run the table."""
        try:
            self._nft.run(desired, dry=True)
        except nft.Refused as refused:
            lacking = self._lacking(desired)
            reason = f"the kernel has no conntrack helper {', '.join(lacking)}" if lacking else ""
            reason = reason or f"nft refuses the rules: {refused}"
            raise base.CheckFailed(_NAME, reason) from refused

    def _lacking(self, desired: str) -> list[str]:
        """Return the helpers that the kernel refuses by themselves; nft does not say which."""
        found = []
        for helper in table.HELPER.finditer(desired):
            try:
                self._nft.run(f"table {_WHERE} {{\n{helper[0]}}}\n", dry=True)
            except nft.Refused:
                found.append(helper[1])
        return found

    def observe(self) -> Observed:
        """Look at the table and tell whether it is what was loaded."""
        listing = nft.list_json(self._nft, f"table {_WHERE}")
        if listing is None:
            return Observed("")
        record = _decode(files.read_file(self._record))
        is_as_loaded = record.get("rules") == _digest(listing)
        loaded = str(record.get("text")) if is_as_loaded else None
        return Observed(loaded, tuple(_parts(listing)))

    def diff(self, observed: Observed, desired: str) -> Change:
        """Compute the transaction: rules anew, objects only where they come or go."""
        if observed.text == desired:
            return Change()
        if not desired:
            return Change(f"delete table {_WHERE}\n", "")
        gone = [part for part in observed.parts if f"\t{part[0]} {part[1]} {{\n" not in desired]
        # Chains before what their rules use; the rules themselves go first of all.
        deletions = "".join(
            f"delete {kind} {_WHERE} {name}\n"
            for kind, name in sorted(gone, key=lambda part: part[0] != "chain")
        )
        commands = f"add table {_WHERE}\nflush table {_WHERE}\n{deletions}{desired}"
        return Change(commands, desired)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell that the rules differ."""
        return ("the rules of labels and helpers are not as wanted",) if change else ()

    def apply(self, change: Change) -> None:
        """Commit the transaction and record what came of it."""
        try:
            self._nft.run(change.commands)
        except nft.Refused as refused:
            raise base.ApplyFailed(_NAME, f"nft refuses the change: {refused}") from refused
        listing = nft.list_json(self._nft, f"table {_WHERE}")
        record = {"text": change.text, "rules": _digest(listing) if listing else ""}
        files.write_file(self._record, json.dumps(record), 0o600)

    def verify(self, desired: str) -> None:
        """Raise VerifyFailed when the kernel has other rules."""
        if self.diff(self.observe(), desired):
            raise base.VerifyFailed(_NAME, "the rules in the kernel are not the ones loaded")


def _bodies(listing: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in listing["nftables"]:
        for kind, body in item.items():
            if kind != "metainfo":
                yield kind, body


def _parts(listing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, body in _bodies(listing):
        if kind in ("chain", "counter", "ct helper"):
            yield kind, body["name"]


def _digest(listing: Mapping[str, Any]) -> str:
    kept = [
        [kind, {key: value for key, value in body.items() if key not in _OF_ONE_MOMENT}]
        for kind, body in _bodies(listing)
    ]
    # The kernel may list objects in another order than before.
    ordered = sorted(json.dumps(item, sort_keys=True) for item in kept if item[0] != "rule")
    rules = [json.dumps(item, sort_keys=True) for item in kept if item[0] == "rule"]
    return hashlib.sha256("\n".join((*ordered, *rules)).encode()).hexdigest()


def _decode(text: str | None) -> dict[str, Any]:
    """Return the record in `text`; an unreadable one counts as none, which loads all anew."""
    try:
        record = json.loads(text or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
