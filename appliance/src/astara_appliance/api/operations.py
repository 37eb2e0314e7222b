"""The one table of what the API offers.

`routes` makes the HTTP rules of it, `openapi` the description; neither knows anything that is not
here.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from astara_contract import document as contract
from astara_contract import facts as contract_facts
from astara_contract import metadata, stats, status, tls

from .. import metrics
from . import views

TEXT = "text/plain"


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A value beside the body, all of them optional but for those in the path."""

    name: str
    where: Literal["path", "query", "header"]
    schema: dict[str, Any]
    meaning: str


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `{name}` in the path is a parameter of the view."""

    method: Literal["GET", "PUT", "POST"]
    path: str
    view: Callable[..., Any]
    summary: str
    answer: type | None = None
    """None: text."""

    media: str = views.JSON
    body: type | None = None
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()
    """Status codes that this operation may answer with beside success and 500."""


_EPOCH = Parameter(
    views.EPOCH_HEADER,
    "header",
    {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "Grows with each change of the owner; lower than the highest seen is refused.",
)
_CONFIRM = Parameter(
    "confirm",
    "query",
    {"type": "integer", "minimum": 1, "maximum": views.LONGEST_TRIAL_S},
    "Seconds within which the document must be confirmed, or it ends by itself.",
)
_IFNAME = Parameter("ifname", "path", {"type": "string", "minLength": 1}, "Such as ge1.")

_UPSTREAM = Parameter(
    metadata.UPSTREAM_HEADER,
    "header",
    {"type": "string"},
    "Where metadata requests go from now on: an address, a space, a port. Others are ignored.",
)

TABLE: tuple[Operation, ...] = (
    Operation("GET", "/v1/base", views.base, "Tell that the agent lives", media=TEXT),
    Operation(
        "GET",
        "/v1/status",
        views.show_status,
        "Tell what is in effect",
        status.Status,
        parameters=(_UPSTREAM,),
    ),
    Operation(
        "GET", "/v1/firewall/rules", views.firewall_rules, "List the firewall rules", media=TEXT
    ),
    Operation(
        "GET", "/v1/system/interfaces", views.interfaces, "Show all NICs", status.InterfacesBody
    ),
    Operation(
        "GET",
        "/v1/system/interface/{ifname}",
        views.interface,
        "Show one NIC",
        status.InterfaceBody,
        parameters=(_IFNAME,),
        refusals=(404,),
    ),
    Operation(
        "GET",
        "/v1/system/config",
        views.show_config,
        "Show the committed document without its secrets",
        status.ConfigBody,
    ),
    Operation(
        "PUT",
        "/v1/system/config",
        views.put_config,
        "Bring a document into effect, all of it or nothing",
        status.ConfigBody,
        body=contract.Document,
        parameters=(_CONFIRM, _EPOCH),
        refusals=(400, 409, 413, 415, 503),
    ),
    Operation(
        "POST",
        "/v1/system/config/confirm",
        views.confirm_config,
        "Commit the document on trial",
        status.ConfigBody,
        body=status.Confirmation,
        parameters=(_EPOCH,),
        refusals=(400, 409, 413, 415, 503),
    ),
    Operation(
        "PUT",
        "/v1/system/role",
        views.put_role,
        "Hand the router over to the other one of the pair",
        status.RoleState,
        body=status.RoleBody,
        refusals=(400, 409, 413, 415),
    ),
    Operation(
        "GET",
        "/v1/system/drift",
        views.show_drift,
        "Compare the appliance with what it should be",
        contract_facts.Drift,
        refusals=(503,),
    ),
    Operation(
        "POST",
        "/v1/system/drift/repair",
        views.repair_drift,
        "Put right what drifted, and show what is left",
        contract_facts.Drift,
        refusals=(503,),
    ),
    Operation(
        "GET",
        "/v1/system/tls",
        views.show_tls,
        "Tell how long the certificate of the API is valid",
        tls.Shown,
    ),
    Operation(
        "PUT",
        "/v1/system/tls",
        views.put_tls,
        "Serve new connections with another certificate",
        tls.Shown,
        body=tls.Bundle,
        refusals=(400, 409, 413, 415),
    ),
    Operation(
        "GET",
        "/v1/system/facts",
        views.show_facts,
        "Tell what the appliance is made of",
        contract_facts.Facts,
    ),
    Operation(
        "GET",
        "/v1/system/stats",
        views.show_stats,
        "Tell what has been counted: traffic of networks, floating IPs and labels",
        stats.Stats,
    ),
    Operation(
        "GET",
        "/metrics",
        views.show_metrics,
        "Count and measure, for Prometheus",
        media=metrics.CONTENT_TYPE,
    ),
)
