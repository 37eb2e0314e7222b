"""Follow one change from its notification to the applied configuration: spans of OpenTelemetry.

A trace begins where something new comes in (`root`); what happens inside of it is a `span`, which
is nothing outside of one: routine looks at appliances leave no spans. Between processes a trace
travels as a W3C traceparent. Without an endpoint nothing is imported and every call returns at
once. Decides nothing; a collector that is away loses spans and holds up nobody. Started by
`cmd.child`, used by whoever has something worth a span.
"""

import contextlib
import importlib.util
import logging
import time
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry import trace as api
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

QUEUE = 4096  # spans that wait; what comes beyond is lost
EXPORT_TIMEOUT_S = 5.0
EXPORT_EVERY_MS = 1000
HEADER = "traceparent"
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

_NOTHING = contextlib.nullcontext("")
_running: "_Running | None" = None


class Asked(typing.NamedTuple):
    """An event's trace, and when it came to this process, in nanoseconds since 1970."""

    context: str
    at_ns: int


def asked(context: str) -> Asked:
    """Note that an event of that trace came now."""
    return Asked(context, time.time_ns())


def missing() -> str:
    """Say which package is wanted for traces and is not here; empty if all are."""
    try:
        absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError:
        absent = list(_PACKAGES)
    return absent[0] if absent else ""


def start(conf: "cfg.ConfigOpts", process: str) -> None:
    """Trace as the configuration says; may be called again when that has changed."""
    global _running
    ended, _running = _running, None
    if ended is not None:
        ended.close()
    options = conf.tracing
    if not options.otlp_endpoint:
        return
    if absent := missing():
        LOG.error("tracing.unavailable reason=%s", f"no package {absent}: astara[tracing]")
        return
    _running = _Running(options.otlp_endpoint, options.sample_ratio, conf.host, process)
    LOG.info("tracing.started endpoint=%s", options.otlp_endpoint)


def stop() -> None:
    """Send what is left, for a moment."""
    if _running is not None:
        _running.close()


def root(name: str, **facts: object) -> contextlib.AbstractContextManager[str]:
    """Begin a trace; gives its context, empty if there are none."""
    if _running is None:
        return _NOTHING
    return _running.span(name, facts, parent=None, kind="CONSUMER")


def span(
    name: str, *, call: bool = False, **facts: object
) -> contextlib.AbstractContextManager[str]:
    """Be a part of the trace that this thread is in, if any; `call` for one to other services."""
    if _running is None or not _running.inside():
        return _NOTHING
    return _running.span(name, facts, kind="CLIENT" if call else "INTERNAL")


def resumed(
    name: str, asking: "Sequence[Asked]", **facts: object
) -> contextlib.AbstractContextManager[str]:
    """Go on with a trace of another process, and point to it from the others that asked.

    Gives the trace's id, empty if there is none. The time since the first was noted is a span
    of its own: `wait`.
    """
    if _running is None or not asking:
        return _NOTHING
    return _running.resumed(name, asking, facts)


def note(**facts: object) -> None:
    """Add facts to the span that this thread is in."""
    if _running is not None:
        _running.note(facts)


def headers() -> dict[str, str]:
    """Give what a request should carry so that its receiver can join the trace."""
    return _running.headers() if _running is not None else {}


def request_id() -> str:
    """Give the trace as OpenStack's services log it: `req-UUID`; empty outside of a trace."""
    return _running.request_id() if _running is not None else ""


class _Running:
    """Traces that are wanted; imports OpenTelemetry."""

    def __init__(self, endpoint: str, ratio: float, host: str, process: str) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.exporter.otlp.proto.http import trace_exporter
        from opentelemetry.sdk import resources
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.trace import export, sampling

        self._api = trace
        self._propagate = propagate
        exporter = trace_exporter.OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S
        )
        self._provider = sdk.TracerProvider(
            sampler=sampling.ParentBased(sampling.TraceIdRatioBased(ratio)),
            resource=resources.Resource.create(
                {
                    "service.name": "astara-orchestrator",
                    "service.instance.id": f"{host}/{process}",
                    "host.name": host,
                }
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            export.BatchSpanProcessor(
                exporter, max_queue_size=QUEUE, schedule_delay_millis=EXPORT_EVERY_MS
            )
        )
        self._tracer = self._provider.get_tracer("astara")

    def close(self) -> None:
        self._provider.shutdown()

    def inside(self) -> bool:
        return self._api.get_current_span().get_span_context().is_valid

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        facts: dict[str, object],
        *,
        kind: str,
        parent: "str | None" = "",
        links: "Sequence[api.Link]" = (),
    ) -> "Iterator[str]":
        """Be a span; `parent` None begins a trace, empty stays in the thread's own."""
        within = None if parent == "" else self._context(parent or "")
        with self._tracer.start_as_current_span(
            name,
            context=within,
            kind=self._api.SpanKind[kind],
            attributes=_attributes(facts),
            links=links,
        ):
            yield self.headers().get(HEADER, "")

    @contextlib.contextmanager
    def resumed(
        self, name: str, asking: "Sequence[Asked]", facts: dict[str, object]
    ) -> "Iterator[str]":
        first, *others = asking
        context = self._context(first.context)
        wait = self._tracer.start_span("wait", context=context, start_time=first.at_ns)
        wait.end()
        with self.span(name, facts, kind="INTERNAL", parent=first.context):
            current = self._api.get_current_span().get_span_context()
            yield self._api.format_trace_id(current.trace_id)
        for other in others:
            merged = self._tracer.start_span(
                "merged",
                context=self._context(other.context),
                start_time=other.at_ns,
                links=[self._api.Link(current)],
            )
            merged.end()

    def note(self, facts: dict[str, object]) -> None:
        self._api.get_current_span().set_attributes(_attributes(facts))

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier)
        return {key: value for key, value in carrier.items() if key == HEADER}

    def request_id(self) -> str:
        current = self._api.get_current_span().get_span_context()
        if not current.is_valid:
            return ""
        text = self._api.format_trace_id(current.trace_id)
        return f"req-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _context(self, traceparent: str) -> typing.Any:
        from opentelemetry import context

        return self._propagate.extract({HEADER: traceparent}, context=context.Context())


def _attributes(facts: dict[str, object]) -> dict[str, str | int | float]:
    return {
        f"astara.{key}": value if isinstance(value, (int, float)) else str(value)
        for key, value in facts.items()
        if value not in (None, "")
    }
