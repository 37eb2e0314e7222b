"""Push the desired document, unless the appliance reports that it runs it already.

Decides whether to push; must never push a document that the contract would refuse, nor go on
when the appliance says that another node has taken over. Called by the instance.
"""

import logging

import msgspec

from astara_contract import document as contract
from astara_contract import errors as contract_errors

from .. import metrics
from ..clients import appliance, errors, topology
from ..machine import instance_port
from . import names, ports, probe
from .memory import Memory, Wanted
from .tools import Tools

LOG = logging.getLogger(__name__)


def push_if_needed(
    tools: Tools, memory: Memory, router: topology.RouterDetail, plug: ports.Plug
) -> bool:
    """Bring the appliance to the desired document; return whether anything was pushed."""
    desired = probe.wanted(tools, memory, router, plug)
    digest = desired.digest
    if memory.status is not None and memory.status.digest == digest:
        return False
    address = tools.address_of(plug.management)
    if address is None:
        raise instance_port.Retry(f"management port of router {router.id} has no address")
    pushed = _push(tools, memory, address, desired)
    memory.serving = True
    if memory.status is not None:
        memory.status = msgspec.structs.replace(memory.status, digest=pushed.digest)
    if pushed.digest != digest:
        reason = f"appliance at {address} runs {pushed.digest} after a push of {digest}"
        raise instance_port.ConfigureFailed(reason)
    LOG.info("document.pushed router=%s address=%s digest=%s", router.id, address, digest)
    return True


def _push(tools: Tools, memory: Memory, address: str, desired: Wanted) -> appliance.Pushed:
    """Push under our epoch, which is higher than any that the appliance has told of."""
    router_id, text = desired.router.id, _checked(desired.document)
    seen = memory.status.epoch if memory.status is not None else 0
    try:
        epoch = tools.fence.epoch(router_id, seen)
        whose = names.appliance(router_id, memory.index)
        pushed = tools.appliances.configure(address, text, epoch, whose)
        metrics.PUSHES.labels("applied").inc()
        return pushed
    except appliance.UnknownKey as error:
        metrics.PUSHES.labels("refused").inc()
        raise instance_port.OperatorError(
            _older(memory, router_id, desired.document, error)
        ) from error
    except appliance.StaleEpoch as error:
        metrics.PUSHES.labels("stale").inc()
        tools.fence.refused(router_id)
        # Ours, and the appliance had it from somebody else: the next look tells by which epoch.
        raise instance_port.Retry(str(error)) from error
    except errors.ServiceError as error:
        unanswered = isinstance(error, errors.Unavailable)
        metrics.PUSHES.labels("failed" if unanswered else "refused").inc()
        raise


def _older(
    memory: Memory, router_id: str, desired: contract.Document, error: appliance.UnknownKey
) -> str:
    """Say what an appliance of an older release lacks, and what to do; it serves on as it is."""
    status = memory.status
    known = set(status.additions) if status is not None else set()
    lacking = [key for key in contract.additions_of(desired) if key not in known]
    version = status.agent_version if status is not None else ""
    return (
        f"the appliance is of an older release (agent {version or 'unknown'}) and does not know "
        f"{', '.join(lacking) or error.reason}; it goes on with the configuration it has; remedy: "
        f"astara-ctl router rebuild {router_id}"
    )


def _checked(desired: contract.Document) -> bytes:
    """Encode our own document and hold that against the contract: a refusal here is a bug, told
    with its path.
    """
    text = contract.encode(desired)
    try:
        contract.parse(text)
    except contract_errors.ContractError as error:
        reason = f"document of router {desired.router_id} is invalid: {error}"
        raise instance_port.OperatorError(reason) from error
    return text
