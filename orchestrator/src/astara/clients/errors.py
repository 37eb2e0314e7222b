"""What can go wrong when another service is asked, split by what the caller does about it.

ServiceError
  Unavailable        retry later: no answer, time-out, 5xx, 429 (``retry_after_s`` if it was told)
    NotSent          a dry run: the request would change something
    TimedOut         no answer in time: what was asked for may still be done
  Busy               wait: the other side is in the middle of something (409)
  NotFound           the thing does not exist (404); the caller knows what that means
  NeedsOperator      no retry helps until somebody acts
    Denied           401, 403: credentials or policy
    QuotaExceeded    the project's quota is used up
  Rejected           a bug or a mismatch of versions: the request was refused (400, 422, ...)
    BadAnswer        ... or the answer could not be understood

Used by every client; ``from_answer`` must stay the only place that reads status codes.
"""


class ServiceError(Exception):
    """A call to another service failed; ``service`` and ``operation`` say which."""

    def __init__(self, service: str, operation: str, reason: str, status: int | None = None):
        super().__init__(f"{service}: {operation}: {reason}")
        self.service = service
        self.operation = operation
        self.reason = reason
        self.status = status


class Unavailable(ServiceError):  # named for what the caller does
    """Nobody answered, or the service is in trouble: try again later."""

    def __init__(
        self,
        service: str,
        operation: str,
        reason: str,
        status: int | None = None,
        retry_after_s: float | None = None,
    ):
        super().__init__(service, operation, reason, status)
        self.retry_after_s = retry_after_s


class TimedOut(Unavailable):
    """There was no answer in time; whoever was asked may still be at it."""


class NotSent(Unavailable):
    """Nothing was sent, because this process only looks (a dry run)."""

    def __init__(self, service: str, operation: str, body: object = None):
        text = f"dry run, not sent: {body}" if body is not None else "dry run, not sent"
        super().__init__(service, operation, text[:500])


class Busy(ServiceError):  # named for what the caller does
    """The state of the other side forbids this now: look again in a moment."""


class NotFound(ServiceError):  # named for what the caller does
    """What was asked for does not exist."""


class NeedsOperator(ServiceError):  # named for what the caller does
    """Only an operator can put this right."""


class Denied(NeedsOperator):
    """The credentials or the policy of the service do not allow this call."""


class QuotaExceeded(NeedsOperator):
    """The quota of the service project does not allow one more."""


class Rejected(ServiceError):  # named for what the caller does
    """The service refused the request as wrong."""


class BadAnswer(Rejected):
    """The service answered something that cannot be understood."""


def _is_quota(status: int, reason: str) -> bool:
    """Say whether a refusal is about quota: Neutron uses 409, Nova 403 or 413."""
    text = reason.lower()
    return status in (403, 409, 413) and ("overquota" in text or "quota exceeded" in text)


def _retry_after_s(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdigit() else None


def from_answer(
    service: str, operation: str, status: int, reason: str, retry_after: str | None = None
) -> ServiceError:
    """Turn a failed answer into the error that tells the caller what to do."""
    if _is_quota(status, reason):
        return QuotaExceeded(service, operation, reason, status)
    if status in (401, 403):
        return Denied(service, operation, reason, status)
    if status in (404, 410):
        return NotFound(service, operation, reason, status)
    if status == 409:
        return Busy(service, operation, reason, status)
    if status == 504:
        return TimedOut(service, operation, reason, status, _retry_after_s(retry_after))
    if status in (408, 429) or status >= 500:
        return Unavailable(service, operation, reason, status, _retry_after_s(retry_after))
    return Rejected(service, operation, reason, status)
