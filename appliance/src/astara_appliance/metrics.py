"""Every metric of the appliance, for Prometheus: names, help, and where the figures come from.

Figures are read when somebody asks; nothing is kept for it. Counters begin anew with each life of
the agent, but for the pushes that the state file counts. It never changes anything. Called by the
API.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import exposition as text_format
from prometheus_client import metrics_core as core

from astara_contract import facts as contract_facts
from astara_contract import tls

from . import clock, facts, inventory, ledger, pipeline, watch
from .system import host
from .system.paths import Paths

_PREFIX = "astara_appliance_"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(
    line: pipeline.Pipeline,
    reachable: watch.Reachability,
    names: facts.NicNames,
    paths: Paths,
    agent: inventory.Agent,
    certificate: tls.Shown,
) -> str:
    """Return all metrics in the text format."""
    families = [
        *_about_agent(agent),
        *_about_certificate(certificate),
        *_about_pushes(line),
        *_about_drivers(line),
        *_about_network(reachable, names),
        *_about_daemons(inventory.running(paths)),
    ]
    return text_format.generate_latest(_Collected(families)).decode()


class _Collected:
    """What the library takes for a registry."""

    def __init__(self, families: list[core.Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[core.Metric]:
        return self._families


def _about_agent(agent: inventory.Agent) -> Iterator[core.Metric]:
    info = _gauge("info", "Version of the agent.", "version")
    info.add_metric([agent.version], 1)
    yield info
    yield _one("agent_resident_bytes", "Resident memory of the agent.", 1024 * host.resident_kib())
    yield _one("uptime_seconds", "Seconds since the kernel started.", host.uptime_s())


def _about_certificate(shown: tls.Shown) -> Iterator[core.Metric]:
    if shown.tls:
        now = clock.wall()
        text = "Seconds since the certificate of the API began."
        yield _one("certificate_age_seconds", text, now - shown.not_before)
        text = "Seconds until the certificate of the API ends; negative if renewals were missed."
        yield _one("certificate_left_seconds", text, shown.not_after - now)


def _about_pushes(line: pipeline.Pipeline) -> Iterator[core.Metric]:
    committed, counts = line.committed, line.ledger
    pushes = _counter("pushes", "Documents, by what became of them.", "result")
    pushes.add_metric(["applied"], committed.pushes_applied)
    pushes.add_metric(["unchanged"], committed.pushes_unchanged)
    pushes.add_metric(["refused"], counts.times(ledger.Event.REFUSED))
    pushes.add_metric(["stale"], counts.times(ledger.Event.STALE))
    pushes.add_metric(["rolled-back"], counts.times(ledger.Event.FAILED))
    yield pushes
    trials = _counter("trials", "Documents on trial, by how the trial ended.", "result")
    trials.add_metric(["confirmed"], counts.times(ledger.Event.TRIAL_CONFIRMED))
    trials.add_metric(["ended"], counts.times(ledger.Event.TRIAL_ENDED))
    yield trials
    left_s = line.trial_left_s()
    yield _one("trial_left_seconds", "Seconds until an unconfirmed document ends.", left_s or 0.0)
    yield _one("epoch", "Highest epoch accepted.", committed.epoch)


def _about_drivers(line: pipeline.Pipeline) -> Iterator[core.Metric]:
    repaired = _counter("drift_repairs", "Drift that was put right.", "driver")
    failed = _counter("drift_repair_failures", "Drift that could not be put right.", "driver")
    applies = _counter("applies", "Changes applied by a driver for a push.", "driver")
    spent = _counter("apply_seconds", "Seconds that those took.", "driver")
    for driver in line.driver_names:
        repaired.add_metric([driver], line.ledger.times(ledger.Event.REPAIRED, driver))
        failed.add_metric([driver], line.ledger.times(ledger.Event.REPAIR_FAILED, driver))
        applies.add_metric([driver], line.ledger.spent(driver).times)
        spent.add_metric([driver], line.ledger.spent(driver).seconds)
    yield from (repaired, failed, applies, spent)


def _about_network(reachable: watch.Reachability, names: facts.NicNames) -> Iterator[core.Metric]:
    gateways = _gauge("gateway_reachable", "Whether the external gateway answers.", "ip_version")
    gateways.add_metric(["4"], reachable.v4)
    gateways.add_metric(["6"], reachable.v6)
    yield gateways
    known = {nic.device: nic.ifname for nic in facts.gather(names).nics.values()}
    traffic = {known[dev]: seen for dev, seen in host.traffic().items() if dev in known}
    for unit in ("bytes", "packets", "dropped"):
        family = _counter(f"interface_{unit}", f"Traffic of a NIC: {unit}.", "ifname", "direction")
        for ifname, seen in sorted(traffic.items()):
            family.add_metric([ifname, "in"], seen[f"rx_{unit}"])
            family.add_metric([ifname, "out"], seen[f"tx_{unit}"])
        yield family
    tracked = host.connections()
    if tracked is not None:
        yield _one("connections", "Connections that are tracked.", tracked[0])
        yield _one("connections_limit", "Connections that may be tracked.", tracked[1])


def _about_daemons(running: Iterable[contract_facts.Daemon]) -> Iterator[core.Metric]:
    family = _gauge("daemon_resident_bytes", "Resident memory of a daemon that lives.", "daemon")
    for daemon in running:
        family.add_metric([daemon.name], 1024 * daemon.resident_kib)
    yield family


def _one(name: str, text: str, value: float) -> core.Metric:
    return core.GaugeMetricFamily(_PREFIX + name, text, value=value)


def _gauge(name: str, text: str, *labels: str) -> core.GaugeMetricFamily:
    return core.GaugeMetricFamily(_PREFIX + name, text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> core.CounterMetricFamily:
    return core.CounterMetricFamily(_PREFIX + name, text, labels=labels)
