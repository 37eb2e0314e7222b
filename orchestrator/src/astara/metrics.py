"""What the orchestrator counts, declared in one place.

Each process counts for itself into files that the node's `api` process adds up when it is asked
(prometheus_client's multiprocess mode; `DIRECTORY` and `NAME` in the environment, set by the
supervisor). A child that is started again goes on with the figures of the one before it. No label
names a resource or a tenant, so the number of series does not grow with the cloud, unless the
operator asks for those that name routers ([metering] per_router). Decides nothing; imported by
whoever has something to count, `exposition` reads.
"""

import dataclasses
import os
import pathlib
import shutil
import typing

import prometheus_client
from prometheus_client import values

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
NAME = "ASTARA_METRICS_NAME"


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """One metric as the documentation shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


_declared: list[Declaration] = []
_known: list[tuple[prometheus_client.Counter, tuple[str, ...]]] = []

if DIRECTORY in os.environ:
    # Files named after the child, not after its pid: as many as children, whatever dies.
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: os.environ.get(NAME, "unnamed")
    )


def declarations() -> tuple[Declaration, ...]:
    """Give all metrics in the order of this file."""
    return tuple(_declared)


def environment(state_path: str, name: str) -> "Mapping[str, str]":
    """Give what a child must find in its environment to count."""
    return {DIRECTORY: str(directory(state_path)), NAME: name}


def directory(state_path: str) -> pathlib.Path:
    """Give where the processes of a node count."""
    return pathlib.Path(state_path) / "metrics"


def reset(state_path: str) -> None:
    """Begin anew, as counters of a restarted program do; before any child counts."""
    shutil.rmtree(directory(state_path), ignore_errors=True)
    directory(state_path).mkdir(mode=0o750, parents=True)


def begin() -> None:
    """Show known counters from zero on: a series that begins at one has not increased."""
    for counter, values_of_label in _known:
        for value in values_of_label:
            counter.labels(value)


def _note(kind: str, name: str, text: str, labels: tuple[str, ...]) -> None:
    _declared.append(Declaration(name, kind, labels, text))


def _counter(
    name: str, text: str, *labels: str, known: tuple[str, ...] = ()
) -> prometheus_client.Counter:
    """Declare a counter; `known` are the values that its only label can have."""
    _note("counter", name, text, labels)
    counter = prometheus_client.Counter(name, text, labels)
    _known.append((counter, known))
    return counter


def _seconds(
    name: str, text: str, *labels: str, buckets: tuple[float, ...]
) -> prometheus_client.Histogram:
    _note("histogram", name, text, labels)
    return prometheus_client.Histogram(name, text, labels, buckets=buckets)


def _gauge(
    name: str,
    text: str,
    *labels: str,
    over: "typing.Literal['mostrecent', 'sum']" = "mostrecent",
) -> prometheus_client.Gauge:
    """Declare a gauge; `over` says what one figure for all processes is."""
    _note("gauge", name, text, labels)
    return prometheus_client.Gauge(name, text, labels, multiprocess_mode=over)


def _seen(name: str, text: str, *labels: str, kind: str = "gauge") -> Declaration:
    """Declare what is read from the workers when somebody asks."""
    _note(kind, name, text, labels)
    return _declared[-1]


_CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_WALK_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_STATE_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0, 604800.0)

_ACTIONS = ("create", "read", "update", "delete", "poll", "rebuild")

# -- events ------------------------------------------------------------------------------------

NOTIFICATIONS = _counter(
    "astara_notifications_total",
    "Notifications read from the broker; outcome: used, ignored (nothing we serve is concerned), "
    "unreadable (the audit finds what it was about).",
    "outcome",
    known=("used", "ignored", "unreadable"),
)
MESSAGES_DROPPED = _counter(
    "astara_messages_dropped_total",
    "Messages between processes of this node that found no room; the audit makes up for them.",
    "to",
)
EVENTS = _counter(
    "astara_events_total",
    "Events that workers took, by the action they ask for.",
    "action",
    known=_ACTIONS,
)
EVENTS_MERGED = _counter(
    "astara_events_merged_total",
    "Events for resources that were being worked on, or waited for it, already.",
    "action",
    known=_ACTIONS,
)
EVENTS_DROPPED = _counter(
    "astara_events_dropped_total",
    "Events that nothing was done for; reason: needless (a line of an audit whose appliance runs "
    "that generation), busy (a routine look at what is being looked at), elsewhere (another "
    "node's).",
    "reason",
    known=("needless", "busy", "elsewhere"),
)
OUTBOX = _gauge(
    "astara_outbox_messages",
    "Messages that wait to be sent to another process of this node.",
    "to",
    over="sum",
)
COMMANDS = _counter(
    "astara_commands_total", "Commands of operators that this node was asked.", "name"
)

# -- the state machine -------------------------------------------------------------------------

TRANSITIONS = _counter(
    "astara_transitions_total", "Steps of the state machine.", "state", "next_state"
)
STEP_FAILURES = _counter(
    "astara_step_failures_total",
    "Steps that failed; kind: retry (a service is away or busy), boot, refused (the appliance "
    "refuses its configuration), operator (nothing but an operator helps), crash (a bug).",
    "kind",
    known=("retry", "boot", "refused", "operator", "crash"),
)
STATE_SECONDS = _seconds(
    "astara_instance_state_seconds",
    "How long instances were in a state, observed when they leave it.",
    "state",
    buckets=_STATE_S,
)
WALK_SECONDS = _seconds(
    "astara_walk_seconds",
    "From the first event about a resource until nothing was left to do for it.",
    "action",
    buckets=_WALK_S,
)
BOOTS = _counter(
    "astara_boots_total",
    "Servers asked of Nova; outcome: asked, failed.",
    "outcome",
    known=("asked", "failed"),
)
REBUILDS = _counter(
    "astara_health_rebuilds_total",
    "Servers that health gave up for silent; verdict: allowed, held (the budget is spent: more "
    "are silent than single faults explain).",
    "verdict",
    known=("allowed", "held"),
)

# -- calls -------------------------------------------------------------------------------------

PUSHES = _counter(
    "astara_pushes_total",
    "Documents sent to appliances; outcome: applied, refused, stale (another node has taken "
    "over), failed.",
    "outcome",
    known=("applied", "refused", "stale", "failed"),
)
APPLIANCE_SECONDS = _seconds(
    "astara_appliance_request_seconds",
    "Requests to appliances that were answered; operation: status, interfaces, config (reading "
    "what runs), configure (a push).",
    "operation",
    buckets=_CALL_S,
)
APPLIANCE_SILENT = _counter(
    "astara_appliance_silent_total",
    "Requests to appliances without an answer.",
    "operation",
    known=("status", "interfaces", "config", "configure", "stats", "tls"),
)
SERVICE_SECONDS = _seconds(
    "astara_service_request_seconds",
    "Requests to OpenStack services that were answered; code: 2xx, 4xx, 5xx.",
    "service",
    "method",
    "code",
    buckets=_CALL_S,
)
SERVICE_FAILURES = _counter(
    "astara_service_failures_total",
    "Requests to OpenStack services that were not answered.",
    "service",
    known=("network", "compute"),
)

# -- traffic -----------------------------------------------------------------------------------

TRAFFIC_BYTES = _counter(
    "astara_traffic_bytes_total",
    "What appliances carried, as read from their counters; kind: interface (scope: the network's "
    "type), floating-ip, label; direction as seen from the appliance: in, out. Traffic of routed "
    "packets is in on one interface and out on another.",
    "kind",
    "scope",
    "direction",
)
TRAFFIC_PACKETS = _counter(
    "astara_traffic_packets_total",
    "The packets of it.",
    "kind",
    "scope",
    "direction",
)
STATS_READS = _counter(
    "astara_counter_reads_total",
    "Looks at the counters of appliances; outcome: read, failed, unknown (an appliance of a "
    "release without).",
    "outcome",
    known=("read", "failed", "unknown"),
)
NOTIFIED = _counter(
    "astara_notified_total",
    "Notifications of used traffic, if [metering] notify; outcome: sent, dropped, failed.",
    "outcome",
    known=("sent", "dropped", "failed"),
)

# -- certificates and metadata -------------------------------------------------------------------

RENEWALS = _counter(
    "astara_certificate_renewals_total",
    "Certificates that appliances were to be given while they served; outcome: done, failed (the "
    "next health check tries again).",
    "outcome",
    known=("done", "failed"),
)
METADATA = _counter(
    "astara_metadata_requests_total",
    "Requests for metadata that appliances passed on; code: 2xx, 4xx, 5xx, overload.",
    "code",
    known=("2xx", "4xx", "5xx", "overload"),
)

# -- the audit ---------------------------------------------------------------------------------

AUDITS = _counter(
    "astara_audits_total", "Audits; outcome: done, failed.", "outcome", known=("done", "failed")
)
AUDIT_SECONDS = _seconds("astara_audit_seconds", "How long an audit took.", buckets=_CALL_S)
AUDIT_RESOURCES = _gauge("astara_audit_resources", "Resources that the last audit listed.")
AUDIT_ORPHANS = _gauge(
    "astara_audit_orphans",
    "Resources that are gone and of which the last audit found servers or ports of ours.",
)
AUDIT_FINDINGS = _counter(
    "astara_audit_findings_total",
    "What audits found; kind: behind (the appliance does not run what Neutron has now), unlisted "
    "(served, and not in Neutron's list), orphan (servers or ports of what is gone), doubled (two "
    "servers of one appliance).",
    "kind",
    known=("behind", "unlisted", "orphan", "doubled"),
)

# -- the node itself ---------------------------------------------------------------------------

STARTS = _counter(
    "astara_child_starts_total", "Starts of processes of this node, the first included.", "role"
)
DEBUG_MODES = _gauge("astara_debug_modes", "Debug modes in force, in the whole cluster.", "scope")

# -- what a node is asked ----------------------------------------------------------------------

RESOURCES = _seen("astara_resources", "Resources of this node by what is done with them.", "phase")
WORKER_THREADS = _seen(
    "astara_worker_threads", "Threads of workers; state: alive, dead.", "worker", "state"
)
WORKER_MEMORY = _seen("astara_worker_memory_bytes", "Resident memory of workers.", "worker")
NODE_FAULTS = _seen("astara_node_faults", "Workers of this node that do not answer.")
INSTANCES = _seen(
    "astara_instances", "Resources of this node by state of their instance.", "state"
)
REBUILDS_LEFT = _seen(
    "astara_rebuilds_left",
    "Silent appliances that a worker may give up at this moment: what is left of its budget.",
    "worker",
)
CERTIFICATES = _seen(
    "astara_certificates",
    "Certificates that appliances of this node showed last; state: fresh, due (to be replaced by "
    "the next health check), ended.",
    "state",
)
CERTIFICATE_AGE = _seen(
    "astara_certificate_oldest_age_seconds", "Age of the oldest certificate of an appliance."
)
CERTIFICATE_ENDS = _seen(
    "astara_certificate_first_end_timestamp_seconds",
    "When the first certificate of an appliance ends.",
)
AUTHORITY_AGE = _seen(
    "astara_authority_age_seconds", "Age of certificate authorities that are trusted.", "number"
)
AUTHORITY_ENDS = _seen(
    "astara_authority_end_timestamp_seconds",
    "When certificate authorities end that are trusted.",
    "number",
)
ROUTER_BYTES = _seen(
    "astara_router_traffic_bytes_total",
    "With [metering] per_router: what a router carried since this node serves it, by type of "
    "network; direction as seen from the appliance.",
    "router",
    "scope",
    "direction",
    kind="counter",
)
ROUTER_PACKETS = _seen(
    "astara_router_traffic_packets_total",
    "The packets of it.",
    "router",
    "scope",
    "direction",
    kind="counter",
)
ROUTER_CERTIFICATE_ENDS = _seen(
    "astara_router_certificate_end_timestamp_seconds",
    "With [metering] per_router: when the certificate of a router's appliance ends.",
    "router",
)
MEMBERS = _seen("astara_members", "Live nodes as this node sees them.")
