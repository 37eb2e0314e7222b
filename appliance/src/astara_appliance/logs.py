"""Send what a process of the appliance logs to stderr, in the lines of `astara_contract.logline`.

Decides nothing but who is named: the router that this appliance serves, on every line. Format and
router travel to children by environment variables. Called first thing by each `cmd`.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator

from astara_contract import logline

FORMAT = "ASTARA_LOG_FORMAT"
"""`json`, or anything else for text."""

ROUTER = "ASTARA_LOG_ROUTER"
PASSED_ON = (FORMAT, ROUTER)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def start(process: str, *, as_json: bool = False, router_id: str = "") -> None:
    """Log to stderr under the name of `process`; may be called again when more is known."""
    if as_json:
        os.environ[FORMAT] = "json"
    serve(router_id)
    handler = logging.StreamHandler()
    handler.setFormatter(
        logline.Formatter(process, as_json=os.environ.get(FORMAT) == "json", default=_router)
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)


def serve(router_id: str) -> None:
    """Name this router from now on, in what is started from now on as well."""
    if router_id:
        os.environ[ROUTER] = router_id


@contextlib.contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Name the trace of a request (W3C trace context) on what this thread logs meanwhile."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        yield
        return
    with logline.about("router", "", found[1]):
        yield


def _router() -> logline.Subject | None:
    router_id = os.environ.get(ROUTER)
    return logline.Subject("router", router_id) if router_id else None
