"""The firewall's verbs: one table, replaced only when its rules differ, else changed by elements.

Decides how to get from what the kernel holds to what a document wants, in one transaction (where
hundreds of floating IPs come or go, these in another, after all else), and which connections end
by it. It never decides rules (`skeleton`) nor what is in the sets
(`elements`). Called by the pipeline.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import clock
from ...system import files, management, process
from .. import base, links
from . import bulk, changes, conntrack, nft, skeleton
from .elements import Elements, Management, elements, parse_listing

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

LOG = logging.getLogger(__name__)

_NAME = "firewall"
RECORD = "firewall.json"  # in the run directory: which rules were loaded, and when
_EXPLAINED = 200  # characters of a command that names thousands of elements
_CUT = tuple(field.name for field in dataclasses.fields(conntrack.Cut))


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The whole firewall."""

    skeleton: str
    elements: Elements


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel holds."""

    skeleton: str | None
    """The text that the rules were loaded from; None if they are absent or somebody changed
    them.
    """

    elements: Elements
    unfinished: conntrack.Cut
    """Connections that an interrupted change had still to end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """The transactions, and the connections that end with them."""

    commands: str
    replaces: str | None
    """The skeleton's text, when the commands load it anew."""

    cut: conntrack.Cut
    elements: Elements = dataclasses.field(default_factory=dict)
    """What the sets and maps hold afterwards."""

    many: tuple[bulk.Step, ...] = ()
    """Floating IPs by hundreds, after the commands."""

    def __bool__(self) -> bool:
        return bool(self.commands or self.many or self.cut)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel held at a generation of its rules: as long as that is the present one, it
    holds the same.
    """

    generation: int
    skeleton: str | None
    elements: Elements


class FirewallDriver:
    """See `base.Driver` for the verbs."""

    name = _NAME

    def __init__(
        self,
        paths: "Paths",
        tool: nft.Nft | None = None,
        needs: "Callable[[Document], base.Openings]" = lambda _document: base.NO_OPENINGS,
    ) -> None:
        self._needs = needs
        self._loaded = paths.run_dir / RECORD
        self._cuts = paths.run_dir / "firewall-cuts.json"
        self._nft = tool or nft.connect()
        self._booted = management.load(paths.state_dir)
        self._vouched: Desired | None = None
        self._seen: Seen | None = None
        self._compared: tuple[Elements, Elements, changes.Differences] | None = None
        self._has_flowtables: bool | None = None

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute the table for `document`."""
        of = links.links(document, facts)
        needs = self._needs(document)
        rules = skeleton.text(self._offloaded(of) if _may_offload(document) else ())
        return Desired(rules, elements(document, of, self._management(facts), needs))

    def check(self, desired: Desired) -> None:
        """Let nftables dry-run what it has not taken in an earlier check: as a rule some elements,
        against the table in the kernel; else rules and elements as a whole. Not plain addresses:
        the kernel needs 10 ms to forget a trial.
        """
        tried = self._vouched
        if tried is not None and tried.skeleton == desired.skeleton:
            differing = self._compare(tried.elements, desired.elements)
            with contextlib.suppress(nft.Refused):
                self._try("", differing, desired.elements)
                self._vouched = desired
                return
        try:
            differing = changes.differences({}, desired.elements)
            self._try(desired.skeleton, differing, desired.elements)
        except nft.Refused as refused:
            raise base.CheckFailed(_NAME, f"nft refuses the rules: {refused}") from refused
        self._vouched = desired

    def observe(self) -> Observed:
        """Tell what is in the table and whether its rules are those that we loaded; list it only
        when somebody else has changed anything since we looked.
        """
        unfinished = _decode_cut(files.read_file(self._cuts))
        generation = self._nft.generation()
        if self._seen is None or self._seen.generation != generation:
            self._seen = None
            listing = nft.list_json(self._nft, f"table {changes.WHERE}")
            if listing is None:
                return Observed(None, {}, unfinished)
            record = _decode(files.read_file(self._loaded))
            known = record.get("rules") == rules_digest(listing)
            loaded, found = record.get("skeleton") if known else None, parse_listing(listing)
            if generation is None or generation != self._nft.generation():
                return Observed(loaded, found, unfinished)
            self._seen = Seen(generation, loaded, found)
        return Observed(self._seen.skeleton, self._seen.elements, unfinished)

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute the transaction: elements where the rules are right, else everything."""
        wanted, replaced = desired.elements, None
        differing = self._compare(observed.elements, wanted)
        self._compared = None  # it holds on to what goes
        if not differing:
            self._share(observed.elements, wanted)
        ended = changes.ended(differing, observed.elements, wanted, observed.unfinished)
        if observed.skeleton != desired.skeleton:
            replaced, differing = desired.skeleton, changes.differences({}, wanted)
        many = changes.many(differing)
        steps = changes.commands(differing, wanted, many)
        return Change((replaced or "") + steps, replaced, ended, wanted, many)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell whether the rules differ, else which elements."""
        if change.replaces is not None:
            return ("the rules are gone, or somebody changed them",)
        lines = [line[:_EXPLAINED] for line in change.commands.splitlines()]
        lines += [f"{x.name}: {len(x.new)} are absent, {len(x.gone)} surplus" for x in change.many]
        return (*lines, "connections without ground live on") if change.cut else tuple(lines)

    def apply(self, change: Change) -> None:
        """Commit the transaction, then end the connections that it leaves without ground."""
        if change.cut:
            # Written first: an agent killed half-way finishes this in its next life.
            files.write_file(self._cuts, _encode_cut(change.cut), 0o600)
        if change.commands or change.many:
            self._commit(change)
        try:
            conntrack.cut(change.cut)
        except process.CommandFailed as failed:
            raise base.ApplyFailed(_NAME, f"old connections stay: {failed}") from failed
        files.remove_file(self._cuts)

    def verify(self, desired: Desired) -> None:
        """Hold the kernel's table against the wanted one."""
        rest = self.diff(self.observe(), desired)
        if rest.replaces is not None:
            raise base.VerifyFailed(_NAME, "the rules in the kernel are not the ones loaded")
        if rest:
            told = "; ".join(self.explain(rest))
            raise base.VerifyFailed(_NAME, f"elements differ: {told[:_EXPLAINED]}")

    def listing(self) -> str:
        """Return the table as nft shows it to people, for GET /v1/firewall/rules."""
        return nft.list_text(self._nft, f"table {changes.WHERE}")

    def _offloaded(self, of: tuple[links.Link, ...]) -> list[str]:
        """Return the devices whose flows bypass the rules: none on a kernel without flowtables."""
        if self._has_flowtables is None:
            reason = nft.lacks_flowtables(self._nft)
            if reason is not None:
                LOG.warning(
                    "firewall.no_flowtables effect=%s remedy=%s reason=%s",
                    "forwarding without them",
                    "boot an image whose kernel has CONFIG_NF_FLOW_TABLE_INET",
                    reason,
                )
            self._has_flowtables = reason is None
        if not self._has_flowtables:
            return []
        return [link.device for link in of if link.role in ("internal", "external")]

    def _management(self, facts: base.Facts) -> Management:
        nic, booted = facts.management, self._booted
        return Management(
            device=nic.device if nic else None,
            addresses=booted.addresses if booted else (),
            ports=(skeleton.SSH_PORT, booted.api_port if booted else management.API_PORT),
        )

    def _share(self, listed: Elements, wanted: Elements) -> None:
        """Keep equal elements once: what was listed is the same text in other strings."""
        seen, tried = self._seen, self._vouched
        if seen and tried and seen.elements is listed and tried.elements is wanted:
            self._seen = dataclasses.replace(seen, elements=wanted)

    def _compare(self, present: Elements, wanted: Elements) -> changes.Differences:
        """Compare once for `check` and `diff`: what was tried last is there, as a rule."""
        known = self._compared
        if known is None or known[0] is not present or known[1] is not wanted:
            known = present, wanted, changes.differences(present, wanted)
            self._compared = known
        return known[2]

    def _try(self, rules: str, differing: changes.Differences, wanted: Elements) -> None:
        commands = rules + changes.trial(differing, wanted)
        if commands:
            self._nft.run(commands, dry=True)

    def _commit(self, change: Change) -> None:
        seen, self._seen = self._seen, None
        before = self._nft.generation()
        try:
            if change.commands:
                self._nft.run(change.commands)
            if change.replaces is not None:
                self._record(change.replaces)
            if change.many:
                bulk.run(change.many)
        except nft.Refused as refused:
            raise base.ApplyFailed(_NAME, f"nft refuses the change: {refused}") from refused
        if change.replaces is None and (seen is None or seen.generation != before):
            return  # what was there besides is not known
        if before is not None:
            # If only our transactions have been committed since: nftables keeps all of one or
            # nothing.
            following = (before + bool(change.commands) + bool(change.many)) & 0xFFFFFFFF
            if self._nft.generation() == following:
                rules = change.replaces or (seen.skeleton if seen else None)
                self._seen = Seen(following, rules, change.elements)

    def _record(self, loaded: str) -> None:
        """Note what the rules look like that were just loaded."""
        listing = nft.list_json(self._nft, f"table {changes.WHERE}")
        if listing is None:
            raise base.ApplyFailed(_NAME, "the table is gone right after it was loaded")
        record = {"skeleton": loaded, "rules": rules_digest(listing), "loaded_at": clock.now()}
        files.write_file(self._loaded, json.dumps(record), 0o600)


def _may_offload(document: "Document") -> bool:
    """Tell whether flows may bypass the rules: those that are counted or held back may not."""
    watched = document.rate_limits or document.metering_labels or document.labels
    return document.flow_offload and not watched


def rules_digest(listing: Mapping[str, Any]) -> str:
    """Return a digest of the table in `listing` that ignores handles and elements."""
    kept = []
    for item in listing["nftables"]:
        for kind, body in item.items():
            if kind != "metainfo":
                kept.append([kind, {k: v for k, v in body.items() if k not in ("handle", "elem")}])
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _decode(text: str | None) -> dict[str, Any]:
    """Return the record in `text`; an unreadable one counts as none, which loads all anew."""
    try:
        record = json.loads(text or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _encode_cut(cut: conntrack.Cut) -> str:
    return json.dumps({name: sorted(getattr(cut, name)) for name in _CUT})


def _decode_cut(text: str | None) -> conntrack.Cut:
    record = _decode(text)
    return conntrack.Cut(**{name: frozenset(record.get(name, ())) for name in _CUT})
