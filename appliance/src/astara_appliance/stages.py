"""The stages of a document's way into effect, for one driver at a time.

    plan (render) -> check -> apply what differs -> verify

It decides what may be skipped: a plan that is in effect already is neither checked again nor, when
nothing drifted, applied. Whatever a driver raises leaves here as `PushFailed` with its name. It
never decides which document, in which order, or what happens after a failure. Called by the
pipeline, under its lock.
"""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from astara_contract import document as contract

from . import errors
from .drivers import base, hangs, registry

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A driver and what it is to bring about."""

    driver: registry.AnyDriver
    desired: Any


class Stages:
    """Remembers which plans are in effect. They may be large: of equal ones the first is kept, for
    drivers may hold on to parts of it.
    """

    def __init__(self, watch: hangs.Hangs) -> None:
        self._watch = watch
        self._in_effect: dict[str, Any] = {}

    def plan(
        self, driver: registry.AnyDriver, document: contract.Document, present: base.Facts
    ) -> Step:
        """Have `driver` compute what it wants for `document`."""
        with blamed_on(driver):
            render = functools.partial(driver.render, document, present)
            return Step(driver, self._watch.around(driver, "render", render))

    def check(self, step: Step) -> None:
        """Have the tool check the plan, unless exactly this plan is in effect."""

        def check() -> None:
            if not self._is_in_effect(step):
                step.driver.check(step.desired)

        with blamed_on(step.driver):
            self._watch.around(step.driver, "check", check)

    def apply(self, step: Step) -> bool:
        """Apply what differs; return whether anything did."""
        driver = step.driver

        def apply() -> bool:
            change = driver.diff(driver.observe(), step.desired)
            if change:
                self._in_effect.pop(driver.name, None)
                driver.apply(change)
                return True
            self._remember(step)
            return False

        with blamed_on(driver):
            return self._watch.around(driver, "apply", apply)

    def differences(self, step: Step) -> tuple[str, ...]:
        """Tell what drifted; nothing is changed."""
        driver = step.driver

        def differences() -> tuple[str, ...]:
            change = driver.diff(driver.observe(), step.desired)
            return driver.explain(change) if change else ()

        with blamed_on(driver):
            return self._watch.around(driver, "diff", differences)

    def verify(self, step: Step) -> None:
        """See that the plan is in effect."""

        def verify() -> None:
            step.driver.verify(step.desired)
            self._remember(step)

        with blamed_on(step.driver):
            self._watch.around(step.driver, "verify", verify)

    def _is_in_effect(self, step: Step) -> bool:
        name = step.driver.name
        return bool(name in self._in_effect and self._in_effect[name] == step.desired)

    def _remember(self, step: Step) -> None:
        if not self._is_in_effect(step):
            self._in_effect[step.driver.name] = step.desired


def require_nics(document: contract.Document, present: base.Facts) -> None:
    """Refuse a document whose networks do not each have their own, fitting NIC."""
    used: dict[str, str] = {}
    for network in document.networks:
        named = network.interface.lladdr or network.interface.ifname
        nic = present.find(network.interface)
        reason = None
        if nic is None:
            reason = "is not plugged"
        elif (network.network_type == "management") != (nic.ifname == base.MANAGEMENT):
            reason = f"is {nic.ifname}, and {base.MANAGEMENT} alone is for management"
        elif nic.mac in used:
            reason = f"already carries network {used[nic.mac]}"
        if nic is None or reason:
            told = f"NIC {named} of network {network.network_id} {reason}"
            raise errors.PushFailed("interfaces", told)
        used[nic.mac] = network.network_id


def pruned(document: contract.Document, present: base.Facts) -> contract.Document:
    """Leave out the networks whose NIC is missing."""
    networks = tuple(n for n in document.networks if present.find(n.interface) is not None)
    if len(networks) == len(document.networks):
        return document
    return msgspec.structs.replace(document, networks=networks)


def unplugged(document: contract.Document, present: base.Facts) -> dict[str, tuple[str, ...]]:
    """Return the networks whose NIC is missing, as differences of the driver that minds NICs."""
    lines = tuple(
        f"NIC {n.interface.lladdr or n.interface.ifname} of network {n.network_id} is not plugged"
        for n in document.networks
        if present.find(n.interface) is None
    )
    return {"interfaces": lines}


@contextlib.contextmanager
def blamed_on(driver: registry.AnyDriver) -> Iterator[None]:
    """Turn whatever a driver raises into PushFailed with its name."""
    try:
        yield
    except base.DriverError as error:
        raise errors.PushFailed(error.driver, error.reason) from error
    except base.EFFECT_ERRORS as error:
        raise errors.PushFailed(driver.name, str(error)) from error
    except Exception as error:
        # A bug in one driver: the document must be taken back all the same, or half of it stays.
        LOG.exception("driver.bug driver=%s", driver.name)
        raise errors.PushFailed(driver.name, f"internal error ({type(error).__name__})") from error
