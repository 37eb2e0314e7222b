"""Errors of the contract, and the body in which they travel.

    ContractError        a document is not acceptable: `path` says where, `reason` says why

`ErrorBody` is the JSON of every answer of the appliance that is not a success. `reason` is written
for whoever sent the document; `operator` says what an operator would do about it.
"""

import msgspec

UNKNOWN_KEY = "unknown key"
"""The reason for refusing what a later release may know."""


class ContractError(ValueError):
    """A document is not acceptable; nothing of it may be applied.

    `path` is a JSONPath such as ``$.networks[0].mtu``, `reason` one sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong; `code` is stable and meant for programs.

    Codes: invalid-document, unsupported-media-type, too-large, stale-epoch, not-on-trial, busy,
    apply-failed, not-found, method-not-allowed, bad-request, internal.
    """

    code: str
    reason: str
    path: str | None = None
    driver: str | None = None
    rolled_back: bool | None = None
    operator: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """``{"error": {...}}``, the body of every refused request."""

    error: ErrorDetail
