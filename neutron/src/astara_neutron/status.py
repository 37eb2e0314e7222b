"""What a status report means: pure checks and decisions.

The `dhrouterstatus` extension parses reports with it and the API plug-in asks it which ports and floating IPs
have to change. It decides; it never writes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

ACTIVE = "ACTIVE"
BUILD = "BUILD"
DOWN = "DOWN"
ERROR = "ERROR"
ROUTER_STATUSES = (ACTIVE, BUILD, DOWN, ERROR)

_KEYS = ("status", "ports", "floatingips")


class BadReportError(ValueError):
    """The report is malformed; the message is for the caller of the API."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What the orchestrator saw; None leaves the respective statuses as they are."""

    status: str | None
    ports: frozenset[str] | None
    floatingips: frozenset[str] | None


def parse_report(body: object) -> StatusReport:
    """Read `{"routerstatus": {...}}`; raise BadReportError naming what is wrong and what is allowed."""
    report = body.get("routerstatus") if isinstance(body, dict) else None
    if not isinstance(report, dict):
        raise BadReportError('The request body must be {"routerstatus": {...}}.')
    unknown = sorted(str(key) for key in report if key not in _KEYS)
    if unknown:
        raise BadReportError(
            f"Unknown attribute {', '.join(unknown)}; allowed are {', '.join(_KEYS)}."
        )
    if not report:
        raise BadReportError(f"An empty report; give at least one of {', '.join(_KEYS)}.")
    return StatusReport(
        status=_router_status(report["status"]) if "status" in report else None,
        ports=_ids("ports", report.get("ports")),
        floatingips=_ids("floatingips", report.get("floatingips")),
    )


def changes(current: Iterable[tuple[str, str]], served: frozenset[str]) -> dict[str, str]:
    """Return the new status of each (id, status) pair that is not yet as `served` says.

    Ids that are served but do not belong to the router are ignored: a report may be older than the router.
    """
    wanted = {item: ACTIVE if item in served else DOWN for item, _ in current}
    return {item: wanted[item] for item, status in current if wanted[item] != status}


def _router_status(value: object) -> str:
    if value not in ROUTER_STATUSES:
        raise BadReportError(
            f"Invalid router status {value!r}; allowed are {', '.join(ROUTER_STATUSES)}."
        )
    return str(value)


def _ids(key: str, value: object) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadReportError(f"{key} must be a list of ids.")
    return frozenset(value)
