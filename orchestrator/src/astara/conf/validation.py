"""Refuse a configuration that cannot work, naming every missing or contradictory option at once.

Looks only at the configuration; what the cloud lacks is found by the clients at start. Must never
log the value of a secret. Called by the preflight process before any other child starts; the
options of oslo.messaging and keystoneauth are registered by then.
"""

import ipaddress
import uuid
from collections.abc import Iterator

import msgspec
from oslo_config import cfg

from astara_contract import types

from .. import tracing
from ..drivers.router import functions
from ..instance import written_sections
from . import identity

_REQUIRED = (
    (None, "management_network_id"),
    (None, "management_subnet_id"),
    (None, "metadata_proxy_shared_secret"),
    ("router", "image_uuid"),
    ("router", "instance_flavor"),
    (identity.GROUP, "auth_url"),
    (identity.GROUP, "username"),
    (identity.GROUP, "password"),
    (identity.GROUP, "project_name"),
)
_UNSET_TRANSPORT = "rabbit://"  # oslo.messaging's default: no host, so nothing was configured
_UUIDS = (
    (None, "management_network_id"),
    (None, "management_subnet_id"),
    ("router", "image_uuid"),
)
_DRIVERS = frozenset({"router"})


class InvalidConfiguration(Exception):
    """Hold one sentence per fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def _value(conf: cfg.ConfigOpts, group: str | None, name: str) -> object:
    return getattr(getattr(conf, group) if group else conf, name, None)


def _missing(conf: cfg.ConfigOpts) -> Iterator[str]:
    if conf.transport_url in (None, "", _UNSET_TRANSPORT):
        yield "[DEFAULT] transport_url is required"
    for group, name in _REQUIRED:
        if not _value(conf, group, name):
            yield f"[{group or 'DEFAULT'}] {name} is required"


def _unreadable(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Read every option once: oslo.config looks at a value only when somebody asks for it."""
    for name in conf:
        try:
            value = conf[name]
        except (cfg.Error, ValueError) as fault:
            yield f"[DEFAULT] {name}: {fault}"
            continue
        if isinstance(value, cfg.ConfigOpts.GroupAttr):
            for member in value:
                try:
                    value[member]
                except (cfg.Error, ValueError) as fault:
                    yield f"[{name}] {member}: {fault}"


def _malformed(conf: cfg.ConfigOpts) -> Iterator[str]:
    for group, name in _UUIDS:
        value = _value(conf, group, name)
        if not isinstance(value, str) or not value:
            continue
        try:
            uuid.UUID(value)
        except ValueError:
            yield f"[{group or 'DEFAULT'}] {name} must be a UUID, it is '{value}'"


def _contradictions(conf: cfg.ConfigOpts) -> Iterator[str]:
    unknown = sorted(set(conf.enabled_drivers) - _DRIVERS)
    if unknown:
        yield f"[DEFAULT] enabled_drivers names unknown drivers: {', '.join(unknown)}"
    if not conf.enabled_drivers:
        yield "[DEFAULT] enabled_drivers is empty: nothing would be served"
    if conf.coordination.enabled and not conf.database.connection:
        yield "[coordination] enabled needs a [database] connection that all nodes share"
    try:
        functions.load(conf.router.functions)
        written_sections.read(conf.router.function_sections)
    except functions.FunctionMissing as missing:
        yield str(missing)
    yield from _bgp(conf.router)
    if conf.tracing.otlp_endpoint and (absent := tracing.missing()):
        yield f"[tracing] otlp_endpoint needs the package {absent}: install astara[tracing]"
    if conf.alive_timeout >= conf.boot_timeout:
        yield "[DEFAULT] alive_timeout must be shorter than boot_timeout"
    if conf.error_state_cooldown > conf.error_state_cooldown_max:
        yield "[DEFAULT] error_state_cooldown must not exceed error_state_cooldown_max"
    if conf.retry_delay > conf.retry_delay_max:
        yield "[DEFAULT] retry_delay must not exceed retry_delay_max"


def _bgp(router: cfg.ConfigOpts) -> Iterator[str]:
    for text in router.bgp_accept:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield f"[router] bgp_accept: {error}"
    try:
        msgspec.convert(router.bgp_password, types.BgpPassword)
    except msgspec.ValidationError:
        yield "[router] bgp_password has a character that is not allowed, or is too long"


def check(conf: cfg.ConfigOpts) -> None:
    """Raise `InvalidConfiguration` with all faults, or return."""
    # What is compared below must be readable.
    faults = [*_unreadable(conf)] or [*_missing(conf), *_malformed(conf), *_contradictions(conf)]
    if faults:
        raise InvalidConfiguration(faults)
