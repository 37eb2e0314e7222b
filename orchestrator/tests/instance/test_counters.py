"""Reading the traffic counters of an appliance through the real client."""

import pytest

from astara import metrics
from astara.metering import meter

BOOT = "2026-11-21T07:00:00Z"


@pytest.fixture
def served(rig):
    """An instance that serves a router, its simulated appliance, and what it publishes."""
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    told = []
    instance._tools.meter = meter.Meter(lambda kind, payload: told.append((kind, payload)))
    rig.drive(instance)
    [appliance] = rig.cloud.appliances.values()
    return instance, appliance, told


def counted(at, value, since=BOOT):
    counter = {"kind": "interface", "name": "net-1", "scope": "external", "in_bytes": value}
    return {"since": since, "at": at, "counters": [counter]}


def total(outcome):
    return metrics.STATS_READS.labels(outcome)._value.get()


def carried():
    return metrics.TRAFFIC_BYTES.labels("interface", "external", "in")._value.get()


def test_each_byte_is_counted_and_told_once(served):
    instance, appliance, told = served
    before = carried()
    for at, value in (("t1", 100), ("t2", 250), ("t3", 250)):
        appliance["counted"] = counted(at, value)
        instance.read_stats()
    assert carried() - before == 250
    assert [kind for kind, _ in told] == ["astara.bandwidth.used"] * 2
    [first, second] = [payload for _, payload in told]
    assert (first["begin"], first["timestamp"]) == (BOOT, "t1")
    assert (second["begin"], second["timestamp"]) == ("t1", "t2")
    assert second["payload"]["net-1"]["in_bytes"] == 150
    assert second["uuid"] == instance.resource.id
    assert second["tenant_id"] == instance.tenant_id
    assert instance.describe().traffic == {"external": (250, 0, 0, 0)}


def test_an_adopted_appliance_counts_from_the_first_look(rig, served):
    instance, appliance, _ = served
    appliance["counted"] = counted("t1", 1000)
    other = rig.instance(instance.resource.id)
    rig.drive(other)
    before = carried()
    other.read_stats()
    assert carried() == before
    appliance["counted"] = counted("t2", 1007)
    other.read_stats()
    assert carried() - before == 7


def test_silence_loses_nothing(served):
    instance, appliance, told = served
    appliance["counted"] = counted("t1", 100)
    instance.read_stats()
    failed = total("failed")
    appliance["silent"] = True
    instance.read_stats()
    assert total("failed") == failed + 1
    appliance["silent"] = False
    appliance["counted"] = counted("t3", 130)
    instance.read_stats()
    assert told[-1][1]["payload"]["net-1"]["in_bytes"] == 30


def test_an_appliance_of_a_release_before_is_no_failure(served):
    instance, _, told = served
    unknown = total("unknown")
    instance.read_stats()
    assert total("unknown") == unknown + 1
    assert told == []
