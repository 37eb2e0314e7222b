"""Faults of the services that the orchestrator asks: Keystone, Neutron, Nova."""

import random
import signal
from collections.abc import Iterator, Sequence

from . import node, proxy
from .cloud import Cloud
from .kind import Fault, Struck, kind

_FOREVER_S = 600.0
_ANY = frozenset({"GET", "POST", "PUT", "DELETE"})
_CREATING = frozenset({"POST"})
_CHANGING = frozenset({"POST", "PUT", "DELETE"})


@kind("tokens revoked", 1, 4)
def _tokens_revoked(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    before = cloud.proxy.refused
    count = cloud.proxy.revoke_tokens()

    def felt() -> str:
        refused = cloud.proxy.refused - before
        return f"{refused} calls refused" if refused else ""

    yield Struck(f"{count} tokens", felt)


def _hits(rule: proxy.Rule) -> str:
    return f"{rule.hits} calls" if rule.hits else ""


def _answer(status: int, name: str, message: str, **headers: str) -> proxy.Effect:
    body = {name: {"code": status, "type": name, "message": message, "detail": ""}}
    return proxy.Effect(status, body, headers)


def _broken(service: str, effect: proxy.Effect, methods: frozenset[str] = _ANY) -> Fault:
    def fault(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
        share = chance.choice([0.3, 0.7, 1.0])
        rule = proxy.Rule(service, effect, methods, share=share)
        with cloud.proxy.rule(rule):
            yield Struck(f"{share:.0%} of the calls", lambda: _hits(rule))

    return fault


_BUSY = _answer(409, "conflictingRequest", "somebody else is at it")
_PORT_QUOTA = {
    "NeutronError": {
        "type": "OverQuota",
        "message": "Quota exceeded for resources: ['port'].",
        "detail": "",
    }
}
_SERVER_QUOTA = {
    "forbidden": {
        "code": 403,
        "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10.",
    }
}
for _service, _quota in (
    ("network", proxy.Effect(409, _PORT_QUOTA)),
    ("compute", proxy.Effect(403, _SERVER_QUOTA)),
):
    _told = {
        "500": (_answer(500, "computeFault", "Unexpected API Error."), _ANY),
        "503": (_answer(503, "serviceUnavailable", "away", **{"Retry-After": "1"}), _ANY),
        "409": (_BUSY, _CHANGING),
        "429": (_answer(429, "overLimit", "slow down", **{"Retry-After": "1"}), _ANY),
        "over quota": (_quota, _CREATING),
        "hanging up": (proxy.Effect(answered=False), _ANY),
        "answer lost": (proxy.Effect(forwarded=True, answered=False), _CHANGING),
        "slow": (proxy.Effect(forwarded=True, hang_s=1.5), _ANY),
    }
    for _name, (_effect, _methods) in _told.items():
        # Nova is asked for nothing as long as no appliance comes or goes.
        _making = _service == "compute" or _methods is not _ANY
        _kind = kind(f"{_service}: {_name}", 4, 10, making=_making)
        _kind(_broken(_service, _effect, _methods))
    # Longer than the orchestrator waits for any answer.
    _silence = proxy.Effect(hang_s=_FOREVER_S, answered=False)
    _kind = kind(f"{_service}: timeout", 8, 34, making=_service == "compute")
    _kind(_broken(_service, _silence))


def _keystone(effect: proxy.Effect) -> Fault:
    """Break it when it is needed: tokens are good for an hour."""

    def fault(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
        rule = proxy.Rule("keystone", effect, _ANY)
        with cloud.proxy.rule(rule):
            count = cloud.proxy.revoke_tokens()
            yield Struck(f"all calls, {count} tokens revoked", lambda: _hits(rule))

    return fault


for _name, _effect in {
    "503": _answer(503, "error", "The service is unavailable."),
    "hanging up": proxy.Effect(answered=False),
    "slow": proxy.Effect(forwarded=True, hang_s=1.5),
}.items():
    kind(f"keystone: {_name}", 4, 10)(_keystone(_effect))


@kind("killed while creating", 4, 8, making=True)
def _killed_while_creating(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    """Nova makes the server; who asked for it dies before it hears of that."""
    effect = proxy.Effect(forwarded=True, answered=False)
    rule = proxy.Rule("compute", effect, _CREATING, "/servers$", most=1)
    rule.then = lambda: _kill_workers(cloud.nodes)
    with cloud.proxy.rule(rule):
        yield Struck("all workers", lambda: _hits(rule))


def _kill_workers(nodes: Sequence[node.Node]) -> None:
    for each in nodes:
        for title in {title for title in each.titles() if title.startswith(node.WORKER)}:
            each.send(signal.SIGKILL, title)
