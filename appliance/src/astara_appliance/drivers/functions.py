"""Find the network functions that other packages bring along, and read their sections.

A package offers a function by an entry point in the group `astara.appliance.functions`. Its name
is the function's name: the key of its section under `functions` in the document, and the name of
its driver. It leads to a class that is built as `XxxDriver(paths)`, has the verbs of
`base.Driver`, and says as `section` what its section looks like (a msgspec type).

This module decides which of them may run. A package that cannot be loaded, or that takes a name
in use, is told in the log and left out: it must not stop the router. A document that has a
section for a function that is not there, or one that does not fit, is refused before anything is
changed. Three verbs more a function may have:

    openings(document) -> base.Openings   pure: what the firewall has to let through for it
    report() -> plain data                how it is, for the appliance's status; quick
    tend()                                try again what failed outside; called now and then

A function whose `observe` asks which role this appliance has in a pair says `follows_role = True`:
it is planned and applied anew as soon as the role changes.

What breaks in the latter two is logged and harms nobody else. `hangs` bounds how long each call
may take. Called by `registry`, by the
pipeline, the firewall and the API, and by the functions themselves (`section_of`).
"""

import functools
import importlib.metadata
import logging
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import msgspec

from astara_contract.errors import ContractError

from . import base, hangs

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ..system.paths import Paths

LOG = logging.getLogger(__name__)

GROUP = "astara.appliance.functions"

_VERBS = ("render", "check", "observe", "diff", "explain", "apply", "verify")

SectionT = TypeVar("SectionT", bound=msgspec.Struct)


class Function(base.Driver[Any, Any, Any], Protocol):
    """A driver that has a section of its own."""

    section: ClassVar[type[msgspec.Struct]]
    """Forbid unknown fields in it: what is misspelt would silently not be applied."""


def discover(paths: "Paths", taken: Collection[str], watch: hangs.Hangs) -> tuple[Function, ...]:
    """Build the functions of all installed packages, sorted by name.

    `taken` are the names of the appliance's own drivers.
    """
    found: dict[str, Function] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda item: item.name):
        if entry.name in found or entry.name in taken:
            LOG.error("function.left_out function=%s reason=name-in-use", entry.name)
            continue
        if entry.name in watch.left_out:
            LOG.error(
                "function.left_out function=%s reason=%s", entry.name, watch.left_out[entry.name]
            )
            continue
        function = _built(entry, paths, watch)
        if function is not None:
            found[entry.name] = function
    return tuple(found.values())


def check_sections(
    document: "Document", drivers: Iterable[base.Driver[Any, Any, Any]], watch: hangs.Hangs
) -> None:
    """Raise ContractError unless every section has a function that understands it."""
    known = {driver.name: driver for driver in drivers if getattr(driver, "section", None)}
    for name in sorted(document.functions):
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            reason = f"this appliance has no such function (it has: {there})"
            if name in watch.left_out:
                reason = f"left out until the next boot: {watch.left_out[name]}"
            raise ContractError(f"$.functions.{name}", reason)
        driver = known[name]
        kind: type[msgspec.Struct] = driver.section  # type: ignore[attr-defined]
        try:
            watch.around(driver, "section", functools.partial(_read, document, name, kind))
        except hangs.Hung as late:
            raise ContractError(f"$.functions.{name}", late.reason) from late


def openings(
    functions: Iterable[Function], watch: hangs.Hangs, document: "Document"
) -> base.Openings:
    """Return what the functions need from the firewall for `document`, all of it together.

    Raises DriverError with the name of a function that breaks.
    """
    tunnels: list[str] = []
    ports: list[base.Opening] = []
    for function in functions:
        if function.name not in document.functions or not hasattr(function, "openings"):
            continue
        try:
            ask = functools.partial(function.openings, document)
            asked: base.Openings = watch.around(function, "openings", ask)
            tunnels += asked.tunnels
            ports += asked.ports
        except base.DriverError:
            raise
        except Exception as error:
            LOG.exception("function.openings_failed function=%s", function.name)
            reason = f"internal error ({type(error).__name__})"
            raise base.CheckFailed(function.name, reason) from error
    return base.Openings(tuple(tunnels), tuple(ports))


def reports(
    functions: Iterable[base.Driver[Any, Any, Any]], asked: Collection[str], watch: hangs.Hangs
) -> dict[str, Any]:
    """Return what those of the functions tell that are in `asked`, as plain data by name."""
    found = {}
    for function in functions:
        report = getattr(function, "report", None)
        if function.name not in asked or report is None:
            continue
        try:
            tell = functools.partial(_told, report)
            found[function.name] = watch.around(function, "report", tell, hangs.REPORT_PATIENCE_S)
        except hangs.Hung:
            continue  # noted where it was found out
        except Exception:
            # The status must be told, whatever a function does.
            LOG.exception("function.report_failed function=%s", function.name)
    return found


def tend(
    functions: Iterable[base.Driver[Any, Any, Any]], asked: Collection[str], watch: hangs.Hangs
) -> None:
    """Let those of the functions that are in `asked` look after what is outside."""
    for function in functions:
        work = getattr(function, "tend", None)
        if function.name not in asked or work is None:
            continue
        try:
            watch.around(function, "tend", work)
        except Exception:
            # One function's trouble is no other's.
            LOG.exception("function.tend_failed function=%s", function.name)


def section_of(document: "Document", name: str, kind: type[SectionT]) -> SectionT | None:
    """Return the section of function `name`, None if the document has none.

    Raises CheckFailed if it does not fit.
    """
    try:
        return _read(document, name, kind)
    except ContractError as error:
        raise base.CheckFailed(name, str(error)) from error


def _read(document: "Document", name: str, kind: type[SectionT]) -> SectionT | None:
    section = document.functions.get(name)
    if section is None:
        return None
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        where = f"$.functions.{name}{path.rstrip('`')}"
        raise ContractError(where, reason) from None
    except Exception as error:
        # Types may bring code of their own; what breaks there is the section's fault.
        LOG.exception("function.section_unreadable function=%s", name)
        raise ContractError(f"$.functions.{name}", f"{type(error).__name__}: {error}") from error


def _told(report: Callable[[], Any]) -> Any:
    return msgspec.to_builtins(report())


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _built(
    entry: importlib.metadata.EntryPoint, paths: "Paths", watch: hangs.Hangs
) -> Function | None:
    def build() -> Function:
        made: Function = entry.load()(paths)
        return made

    try:
        # Not known yet to be of another package, and importing it may hang.
        function = watch.call(entry.name, "import", build)
        lacking = [word for word in _VERBS if not callable(getattr(function, word, None))]
        if not _is_struct(getattr(function, "section", None)):
            lacking.append("section")
        if lacking or function.name != entry.name:
            wrong = f"lacks {lacking}" if lacking else f"calls itself {function.name!r}"
            LOG.error("function.left_out function=%s reason=%s", entry.name, wrong)
            return None
    except Exception:
        # Whatever a foreign package does wrong, the router must run.
        LOG.exception("function.left_out function=%s", entry.name)
        return None
    LOG.info("function.found function=%s from=%s", entry.name, entry.value)
    return function
