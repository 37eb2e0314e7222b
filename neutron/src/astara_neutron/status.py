"""What a status report means: pure checks and decisions.

The `dhrouterstatus` extension parses reports with it, and the API plug-in asks it which ports and
floating IPs have to change. It decides; it never writes.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

ACTIVE = "ACTIVE"
BUILD = "BUILD"
DOWN = "DOWN"
ERROR = "ERROR"
ROUTER_STATUSES = (ACTIVE, BUILD, DOWN, ERROR)

#: `id` is what clients that send a whole resource back include.
_KEYS = ("status", "ports", "floatingips", "ipsec_site_connections", "prefixes")
_CONNECTION_STATUSES = (ACTIVE, DOWN, ERROR)
_IGNORED = ("id",)


class BadReportError(ValueError):
    """The report is malformed; the message is for the caller of the API."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What the orchestrator saw; None leaves the respective statuses as they are."""

    status: str | None = None
    ports: frozenset[str] | None = None
    floatingips: frozenset[str] | None = None
    ipsec_site_connections: Mapping[str, str] | None = None
    prefixes: Mapping[str, str] | None = None
    """By subnet, what the provider has delegated to the router."""


def parse_report(body: object) -> StatusReport:
    """Read `{"routerstatus": {...}}`; raise BadReportError that names what would be allowed."""
    report = body.get("routerstatus") if isinstance(body, dict) else None
    if not isinstance(report, dict):
        raise BadReportError('The request body must be {"routerstatus": {...}}')
    allowed = ", ".join(_KEYS)
    unknown = sorted(str(key) for key in report if key not in _KEYS + _IGNORED)
    if unknown:
        raise BadReportError(f"Unknown attribute {', '.join(unknown)}; allowed are {allowed}")
    if not any(key in report for key in _KEYS):
        raise BadReportError(f"An empty report; give at least one of {allowed}")
    return StatusReport(
        status=_router_status(report["status"]) if "status" in report else None,
        ports=_ids("ports", report.get("ports")),
        floatingips=_ids("floatingips", report.get("floatingips")),
        ipsec_site_connections=_connections(report.get("ipsec_site_connections")),
        prefixes=_prefixes(report.get("prefixes")),
    )


def changes(current: Collection[tuple[str, str]], served: frozenset[str]) -> dict[str, str]:
    """Return the new status of each (id, status) pair that is not yet as `served` says.

    An id that is served but not among the current ones is ignored: a report may be a little older
    than the router's last change.
    """
    wanted = {item: ACTIVE if item in served else DOWN for item, _ in current}
    return {item: wanted[item] for item, status in current if wanted[item] != status}


def moves(
    current: Collection[tuple[str, str]], served: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """Return the same as `changes`, the ids by new status."""
    changed = changes(current, served)
    return {
        new: tuple(item for item, value in changed.items() if value == new)
        for new in sorted(set(changed.values()))
    }


def _router_status(value: object) -> str:
    if value not in ROUTER_STATUSES:
        allowed = ", ".join(ROUTER_STATUSES)
        raise BadReportError(f"Invalid router status {value!r}; allowed are {allowed}")
    return str(value)


def _connections(value: object) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(
        isinstance(key, str) and item in _CONNECTION_STATUSES for key, item in value.items()
    ):
        allowed = ", ".join(_CONNECTION_STATUSES)
        raise BadReportError(f"ipsec_site_connections must map ids to one of {allowed}")
    return value


def _prefixes(value: object) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadReportError("prefixes must map ids of subnets to IPv6 prefixes")
    try:
        return {key: str(ipaddress.IPv6Network(text)) for key, text in value.items()}
    except ValueError as error:
        raise BadReportError(f"prefixes: {error}") from error


def _ids(key: str, value: object) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadReportError(f"{key} must be a list of ids")
    return frozenset(value)
