"""A small collector: takes spans by OTLP over HTTP on loopback and keeps them."""

import contextlib
import dataclasses
import gzip
import http.server
import threading
import time

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    name: str
    trace: str
    id: str
    parent: str
    begin_ns: int
    end_ns: int
    process: str
    facts: dict[str, object]
    links: tuple[str, ...]


def _value(value):
    return getattr(value, value.WhichOneof("value"))


class Receiver:
    """Spans as they arrived; `url` is what [tracing] otlp_endpoint takes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._spans = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))

    def take(self, body):
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            about = {one.key: _value(one.value) for one in part.resource.attributes}
            for scope in part.scope_spans:
                with self._lock:
                    self._spans += [_span(one, about) for one in scope.spans]

    def spans(self, trace=None):
        with self._lock:
            return [one for one in self._spans if trace is None or one.trace == trace]

    def wait_for(self, condition, what, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while not (found := condition(self.spans())):
            assert time.monotonic() < deadline, (what, [one.name for one in self.spans()])
            time.sleep(0.1)
        return found

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()


def _span(one, about):
    return Span(
        name=one.name,
        trace=one.trace_id.hex(),
        id=one.span_id.hex(),
        parent=one.parent_span_id.hex(),
        begin_ns=one.start_time_unix_nano,
        end_ns=one.end_time_unix_nano,
        process=about["service.instance.id"],
        facts={item.key.removeprefix("astara."): _value(item.value) for item in one.attributes},
        links=tuple(link.trace_id.hex() for link in one.links),
    )


def path_to(span, spans):
    """Give the names from the root of a trace down to a span."""
    by_id = {one.id: one for one in spans}
    names = [span.name]
    with contextlib.suppress(KeyError):
        while span.parent:
            span = by_id[span.parent]
            names.append(span.name)
    return names[::-1]
