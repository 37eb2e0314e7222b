"""The story of the demo, step by step: a failed step fails its test, and those that build on it.

What each step promises is in `astara_devcloud.story.steps`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from astara_devcloud.story import report, steps
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(900)]

_failed: list[str] = []


@pytest.fixture(scope="module")
def scene(
    tenant: "Connection",
    service: "Connection",
) -> Iterator[steps.Scene]:
    """The scene that the steps share, on a tenant that starts with nothing."""
    stage = steps.Scene(tenant=Tenant(tenant), service=service, report=report.Report())
    stage.tenant.clear()
    yield stage
    stage.tenant.clear()


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.__name__)
def test_step(scene: steps.Scene, step: steps.Step) -> None:
    if _failed:
        pytest.fail(f"builds on the step {_failed[0]}, which failed")
    scene.report.begin(step.__name__)
    try:
        step(scene)
    except BaseException:
        _failed.append(step.__name__)
        raise
