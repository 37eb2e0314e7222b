"""What each request becomes: one function for each operation of the table in `operations`.

A view translates between HTTP and the pipeline and returns a value of the contract, or text. It
never decides what is applied; what it raises becomes an answer in `routes`.
"""

import dataclasses
import logging
import math
import re
from typing import TypeVar

import flask
import msgspec
from werkzeug import exceptions

from astara_contract import document as contract
from astara_contract import errors as contract_errors
from astara_contract import facts as contract_facts
from astara_contract import metadata, status
from astara_contract import stats as contract_stats
from astara_contract import tls as contract_tls

from .. import facts, inventory, ledger, metrics, pipeline, stats, store, watch
from ..metadata_proxy import settings
from ..pair import role
from ..system import files, process, tls
from ..system.paths import Paths

LOG = logging.getLogger(__name__)
_ADDITIONS = contract.additions()

LONGEST_TRIAL_S = 3600
EPOCH_HEADER = "Astara-Epoch"
PREFER_HEADER, MINIMAL = "Prefer", "return=minimal"
"""RFC 7240; no parameter of the description, because what else is preferred is no error."""

JSON = "application/json"
_Told = TypeVar("_Told")


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the views answer from."""

    line: pipeline.Pipeline
    names: facts.NicNames
    watch: watch.Watch
    paths: Paths
    agent: inventory.Agent
    keeper: tls.Gatekeeper


def base(parts: Parts) -> str:
    """Tell that the agent lives."""
    del parts
    return "astara appliance: service is active\n"


def _learn_upstream(parts: Parts) -> None:
    """Send metadata requests to the node that watches us now."""
    told = flask.request.headers.get(metadata.UPSTREAM_HEADER)
    if told is None:
        return
    try:
        address, port = metadata.parse_upstream(told)
    except ValueError as error:
        # What watches us must not take us for dead because of a header.
        LOG.warning("metadata_upstream.ignored reason=%s", error)
        return
    file, text = parts.paths.run_dir / settings.UPSTREAM, f"{address} {port}"
    if files.read_file(file) != text:
        files.write_file(file, text, 0o640, group=settings.PROXY_ID)
        LOG.info("metadata_upstream.learned address=%s port=%d", address, port)


def show_status(parts: Parts) -> status.Status:
    """Tell what is in effect."""
    _learn_upstream(parts)
    committed, reachable = parts.line.committed, parts.watch.reachability
    nics = facts.gather(parts.names).nics.values()
    return status.Status(
        v4=reachable.v4,
        v6=reachable.v6,
        agent_version=parts.agent.version,
        schema_versions=(contract.SCHEMA_VERSION,),
        additions=_ADDITIONS,
        digest=committed.digest,
        trial=_trial(parts.line),
        epoch=committed.epoch,
        applied_at=committed.applied_at,
        pushes_applied=committed.pushes_applied,
        pushes_unchanged=committed.pushes_unchanged,
        booted_at=parts.agent.booted_at,
        agent_started_at=parts.agent.started_at,
        role=role.observe(parts.paths).role,
        functions=parts.line.reports(),
        interfaces=tuple(
            status.Nic(ifname=nic.ifname, lladdr=nic.mac)
            for nic in sorted(nics, key=lambda nic: int(nic.ifname.removeprefix("ge")))
        ),
    )


def firewall_rules(parts: Parts) -> str:
    """List the rules in the kernel."""
    del parts
    return process.run(["nft", "list", "ruleset"]).stdout


def interfaces(parts: Parts) -> status.InterfacesBody:
    """Show all NICs."""
    return status.InterfacesBody(facts.interfaces(parts.names))


def interface(parts: Parts, ifname: str) -> status.InterfaceBody:
    """Show one NIC."""
    for state in facts.interfaces(parts.names):
        if state.ifname == ifname:
            return status.InterfaceBody(state)
    raise exceptions.NotFound("there is no such interface")


def show_config(parts: Parts) -> status.ConfigBody:
    """Show what is committed."""
    committed = parts.line.committed
    document = store.committed_document(committed)
    return status.ConfigBody(
        configuration=contract.without_secrets(document) if document else None,
        digest=committed.digest,
        trial=_trial(parts.line),
    )


def put_config(parts: Parts) -> status.ConfigBody:
    """Bring a document into effect."""
    body = _json_body()
    committed = parts.line.put(body, _epoch(), confirm_within_s=_confirm_within_s())
    parts.watch.document_changed()
    if MINIMAL in flask.request.headers.get(PREFER_HEADER, ""):
        return status.ConfigBody(None, committed.digest, _trial(parts.line))
    return show_config(parts)


def confirm_config(parts: Parts) -> status.ConfigBody:
    """Commit what is on trial."""
    asked = _told(status.Confirmation)
    parts.line.confirm(asked.digest, _epoch())
    return show_config(parts)


def put_role(parts: Parts) -> status.RoleState:
    """Hand the router over."""
    _told(status.RoleBody)
    return role.hand_over(parts.paths)


def show_tls(parts: Parts) -> contract_tls.Shown:
    """Tell about the certificate, and never the key."""
    return parts.keeper.shown


def put_tls(parts: Parts) -> contract_tls.Shown:
    """Serve new connections with another certificate."""
    return parts.keeper.replace(_told(contract_tls.Bundle))


def show_facts(parts: Parts) -> contract_facts.Facts:
    """Tell what the appliance is made of."""
    return inventory.take(parts.agent, parts.line.driver_names, parts.names, parts.paths)


def show_stats(parts: Parts) -> contract_stats.Stats:
    """Tell what has been counted."""
    document = store.document_in_effect(parts.line.committed)
    return stats.take(document, parts.names, parts.paths, parts.agent.booted_at)


def show_drift(parts: Parts) -> contract_facts.Drift:
    """Compare the appliance with what it should be."""
    return _drift(parts.line, ())


def repair_drift(parts: Parts) -> contract_facts.Drift:
    """Put right what drifted."""
    return _drift(parts.line, parts.line.repair(wait=True))


def show_metrics(parts: Parts) -> str:
    """Count and measure, for Prometheus."""
    return metrics.exposition(
        parts.line,
        parts.watch.reachability,
        parts.names,
        parts.paths,
        parts.agent,
        parts.keeper.shown,
    )


def _drift(line: pipeline.Pipeline, acted: tuple[str, ...]) -> contract_facts.Drift:
    found = line.drift()
    return contract_facts.Drift(
        digest=line.committed.running_digest,
        clean=not any(found.values()),
        drivers=tuple(
            contract_facts.DriverDrift(
                driver=name,
                differences=lines,
                repaired=line.ledger.times(ledger.Event.REPAIRED, name),
                repairs_failed=line.ledger.times(ledger.Event.REPAIR_FAILED, name),
                repaired_at=line.ledger.repaired_at(name),
            )
            for name, lines in found.items()
        ),
        acted=acted,
    )


def _trial(line: pipeline.Pipeline) -> status.Trial | None:
    trial, left_s = line.committed.trial, line.trial_left_s()
    return status.Trial(digest=trial.digest, left_s=left_s) if trial and left_s else None


def _told(kind: type[_Told]) -> _Told:
    try:
        return msgspec.json.decode(_json_body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise contract_errors.ContractError("$", str(error)) from None


def _json_body() -> bytes:
    if flask.request.mimetype != JSON:
        raise exceptions.UnsupportedMediaType()
    body = flask.request.get_data(cache=False)
    if len(body) >= (flask.request.max_content_length or math.inf):
        # A body without a length is only cut off there.
        raise exceptions.RequestEntityTooLarge()
    return body


def _confirm_within_s() -> int | None:
    text = flask.request.args.get("confirm")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LONGEST_TRIAL_S:
        reason = f"expected whole seconds, 1 to {LONGEST_TRIAL_S}"
        raise contract_errors.ContractError("query confirm", reason)
    return int(text)


def _epoch() -> int | None:
    text = flask.request.headers.get(EPOCH_HEADER)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise contract_errors.ContractError(f"header {EPOCH_HEADER}", "expected a whole number")
    return int(text)
