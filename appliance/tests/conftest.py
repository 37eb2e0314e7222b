"""Appliances, pairs and traffic of the `lab` as fixtures; each is removed after its test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.appliance import ApplianceHost
from lab.hosts import eventually
from lab.pair import Pair
from lab.traffic import Flow, Pinger


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    """Return the function that polls until something is true, with a deadline."""
    return eventually


@pytest.fixture
def appliance_host() -> Iterator[ApplianceHost]:
    """Yield an appliance that is booted, with its management NIC plugged; the agent does not run
    yet.
    """
    host = ApplianceHost()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def shared_appliance_host() -> Iterator[ApplianceHost]:
    """Yield one appliance to all tests of a module, which each push what they need."""
    host = ApplianceHost()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Yield two appliances with one router; their agents do not run yet."""
    both = Pair()
    try:
        yield both
    finally:
        both.close()


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[tuple[ApplianceHost, ApplianceHost]]:
    """Yield two appliances that know nothing of each other, on the same segments."""
    first = ApplianceHost()
    try:
        second = ApplianceHost(address="fdca:3ba5:a17a:acda::3", peer_of=first)
        try:
            yield first, second
        finally:
            second.close()
    finally:
        first.close()


@pytest.fixture(scope="module")
def other_site() -> Iterator[Callable[[ApplianceHost], ApplianceHost]]:
    """Return what makes one more appliance on the segments of another one."""
    made: list[ApplianceHost] = []

    def make(neighbour: ApplianceHost) -> ApplianceHost:
        made.append(ApplianceHost(address="fdca:3ba5:a17a:acda::7", peer_of=neighbour))
        return made[-1]

    try:
        yield make
    finally:
        for host in made:
            host.close()


@pytest.fixture(scope="session")
def flow() -> type[Flow]:
    """Return what makes a TCP connection."""
    return Flow


@pytest.fixture(scope="session")
def pinger() -> type[Pinger]:
    """Return what pings."""
    return Pinger
