"""Decide how each connection is, from what the daemon tells and what it wrote down.

The daemon lists what is established; why something is not, it only logs. The lines that matter
become one sentence for the tenant. Pure; called by `driver`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from astara_contract import ipsec

from ...system import vici

if TYPE_CHECKING:
    from ...system.vici import Answer

# What strongSwan 5.9 writes, in the order in which it matters: (pattern, what it means).
_REASONS = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"MAC mismatched", "the other gateway has another pre-shared key"),
        (
            r"received AUTHENTICATION_FAILED",
            "the other gateway refuses us: pre-shared key or identities differ",
        ),
        (r"no shared key found", "there is no pre-shared key for these identities"),
        (
            r"decryption failed|message parsing failed|INVALID_HASH|calculated HASH does not",
            "messages cannot be decrypted: pre-shared keys differ",
        ),
        (
            r"NO_PROPOSAL_CHOSEN|no proposal chosen|no matching proposal",
            "the other gateway accepts none of the algorithms of the policies",
        ),
        (
            r"TS_UNACCEPTABLE|no acceptable traffic selectors|INVALID_ID_INFORMATION",
            "the other gateway expects other subnets",
        ),
        (r"INVALID_KE_PAYLOAD", "the other gateway wants another Diffie-Hellman group"),
        (r"unable to resolve", "the name of the other gateway cannot be resolved"),
        (
            r"giving up after|peer not responding|sending retransmit",
            "the other gateway does not answer",
        ),
        (r"received DELETE for IKE_SA", "the other gateway has ended the connection"),
    )
)


def report(
    ids: Iterable[str], refused: Mapping[str, str], listed: Iterable["Answer"], log: str
) -> ipsec.Report:
    """Return how the connections are.

    `refused` tells which the daemon would not even load, and why; `listed` are its events
    `list-sa`, `log` is the end of its log.
    """
    up = {name for answer in listed for name in answer if _is_up(vici.section(answer, name))}
    return ipsec.Report(
        connections=tuple(_status(name, name in up, refused.get(name), log) for name in ids)
    )


def lacking(name: str, loaded: "Answer", listed: Iterable["Answer"]) -> tuple[str, ...]:
    """Return the tunnels of connection `name` that nobody works on.

    `loaded` is how the daemon has the connection, `listed` are its events `list-sa`.
    """
    present: set[str] = set()
    for answer in listed:
        known = vici.section(answer, name)
        if known and (known.get("state") != "ESTABLISHED" or known.get("tasks-active")):
            return ()
        children = vici.section(known, "child-sas")
        present.update(str(vici.section(children, key).get("name")) for key in children)
    return tuple(child for child in vici.section(loaded, "children") if child not in present)


def why(name: str, log: str) -> str:
    """Return the last thing in the log that explains why a connection is down."""
    about = re.compile(rf"<{re.escape(name)}\|\d+> |'{re.escape(name)}'")
    for line in reversed(log.splitlines()):
        if about.search(line) is None:
            continue
        for pattern, meaning in _REASONS:
            if pattern.search(line):
                return meaning
    return "not established"


def _status(name: str, up: bool, refused: str | None, log: str) -> ipsec.ConnectionStatus:
    if refused is not None:
        return ipsec.ConnectionStatus(id=name, status="ERROR", reason=refused)
    if up:
        return ipsec.ConnectionStatus(id=name, status="ACTIVE")
    return ipsec.ConnectionStatus(id=name, status="DOWN", reason=why(name, log))


def _is_up(connection: "Answer") -> bool:
    children = vici.section(connection, "child-sas")
    states = {vici.section(children, name).get("state") for name in children}
    return connection.get("state") == "ESTABLISHED" and "INSTALLED" in states
