"""Decide who may do what over HTTP: keystone tells who asks, policy whether it is allowed.

Rules can be changed by `policy.yaml` ([oslo_policy] policy_file) without a restart. Used by
`http`; must never look at what is asked for, only at the rule's name.
"""

import dataclasses
import hmac
import typing
from collections.abc import Mapping

from oslo_config import cfg
from oslo_policy import opts, policy

VIEW = "astara:view"
COMMAND = "astara:command"
DEBUG = "astara:debug"
METRICS = "astara:metrics"
_DEFAULT = "role:admin or role:service"

RULES = (
    policy.DocumentedRuleDefault(
        VIEW,
        _DEFAULT,
        "See resources, workers, nodes, documents and consoles.",
        [{"path": "/resources", "method": "GET"}],
    ),
    policy.DocumentedRuleDefault(
        COMMAND,
        _DEFAULT,
        "Poll, update, rebuild; have workers report, have the configuration read again.",
        [{"path": "/router/rebuild/{id}", "method": "PUT"}],
    ),
    policy.DocumentedRuleDefault(
        DEBUG,
        _DEFAULT,
        "Enter and leave debug modes.",
        [{"path": "/router/debug/{id}", "method": "PUT"}],
    ),
    policy.DocumentedRuleDefault(
        METRICS,
        _DEFAULT,
        "Read the metrics with a keystone token; see also the option metrics_token.",
        [{"path": "/metrics", "method": "GET"}],
    ),
)


class Denied(Exception):
    """Say that a request is not allowed; `known` tells whether the caller showed who he is."""

    def __init__(self, text: str, *, known: bool) -> None:
        super().__init__(text)
        self.known = known


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; `name` is written beside debug modes and into the log."""

    name: str


class Guard(typing.Protocol):
    """Lets a request pass, or raises `Denied`."""

    def __call__(self, headers: Mapping[str, str], rule: str, /) -> Caller:
        """Give who asks."""


def _open_door(headers: Mapping[str, str], _rule: str) -> Caller:
    return Caller(headers.get("X-User-Name") or "http")


class Policy:
    """Looks at the headers that keystonemiddleware has put in, and at the rules."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._enforcer = policy.Enforcer(conf, use_conf=True)
        self._enforcer.register_defaults(list(RULES))

    def __call__(self, headers: Mapping[str, str], rule: str) -> Caller:
        """Give who asks; raises `Denied`."""
        if headers.get("X-Identity-Status") != "Confirmed":
            raise Denied("this needs a valid keystone token in X-Auth-Token", known=False)
        credentials = {
            "roles": [role for role in headers.get("X-Roles", "").split(",") if role],
            "user_id": headers.get("X-User-Id", ""),
            "project_id": headers.get("X-Project-Id", ""),
            "is_admin_project": headers.get("X-Is-Admin-Project", "True") == "True",
        }
        if not self._enforcer.enforce(rule, {}, credentials):
            raise Denied(f"policy does not allow {rule} to this user", known=True)
        return Caller(headers.get("X-User-Name") or headers.get("X-User-Id", ""))


class ScraperFirst:
    """Lets who shows the metrics token see the metrics; whatever else goes to another guard."""

    def __init__(self, token: str, other: Guard) -> None:
        self._wanted = f"Bearer {token}".encode()
        self._other = other

    def __call__(self, headers: Mapping[str, str], rule: str) -> Caller:
        """Give who asks; raises `Denied`."""
        shown = headers.get("Authorization", "").encode()
        if rule == METRICS and hmac.compare_digest(shown, self._wanted):
            return Caller("scraper")
        return self._other(headers, rule)


def guard(conf: cfg.ConfigOpts) -> Guard:
    """Give the guard that the configuration asks for."""
    if conf.auth_strategy == "noauth":
        return _open_door
    opts.set_defaults(conf, policy_file="policy.yaml")
    by_policy = Policy(conf)
    return ScraperFirst(conf.metrics_token, by_policy) if conf.metrics_token else by_policy


def list_rules() -> tuple[policy.DocumentedRuleDefault, ...]:
    """List the rules for oslopolicy-sample-generator."""
    return RULES
