"""Give the metrics of this node as Prometheus reads them (text format 0.0.4).

Counters come from the files of all processes, gauges from asking the workers now. Decides nothing.
Built by `http`.
"""

import collections
import os
import typing

import prometheus_client
from prometheus_client import core, multiprocess, registry

from .. import clock, metrics
from . import messages

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..worker import control_protocol as worker
    from . import node

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

Samples = dict[tuple[str, ...], float]
_DIRECTIONS = (("in", 0), ("out", 2))  # in a router's traffic: where bytes are; packets follow


class _Workers(registry.Collector):
    """Asks the workers."""

    def __init__(self, own: "node.Node") -> None:
        self._own = own

    def collect(self) -> "Iterator[core.Metric]":
        """Give the gauges; only the number of faults if the node does not answer."""
        view = self._own.answer(messages.ShowNode())
        if not isinstance(view, messages.NodeView):
            yield _family(metrics.NODE_FAULTS, {(): 1})
            return
        yield _family(metrics.NODE_FAULTS, {(): len(view.faults)})
        yield _family(metrics.MEMBERS, {(): len(view.members)})
        yield from _processes(view)
        figures = self._own.figures()
        yield from _instances(figures)
        yield from _certificates(figures)
        yield from _routers([one for each in figures for one in each.routers])


def _processes(view: messages.NodeView) -> "Iterator[core.Metric]":
    phases: collections.Counter[tuple[str, ...]] = collections.Counter()
    threads: collections.Counter[tuple[str, ...]] = collections.Counter()
    memory: Samples = {}
    for each in view.workers:
        name = f"{each.number:02d}"
        memory[(name,)] = each.memory_kib * 1024
        threads[(name, "dead")] = 0  # worth showing
        for thread in each.threads:
            threads[(name, "alive" if thread.alive else "dead")] += 1
        for phase, count in each.phases.items():
            phases[(phase,)] += count
    yield _family(metrics.RESOURCES, phases)
    yield _family(metrics.WORKER_THREADS, threads)
    yield _family(metrics.WORKER_MEMORY, memory)


def _instances(figures: "Iterable[worker.Figures]") -> "Iterator[core.Metric]":
    states: collections.Counter[tuple[str, ...]] = collections.Counter()
    left: Samples = {}
    for each in figures:
        left[(f"{each.number:02d}",)] = each.rebuilds_left
        for state, count in each.instances.items():
            states[(state,)] += count
    yield _family(metrics.INSTANCES, states)
    yield _family(metrics.REBUILDS_LEFT, left)


def _certificates(figures: "tuple[worker.Figures, ...]") -> "Iterator[core.Metric]":
    """Give nothing where there are no certificates, so that no alert takes it for an old one."""
    now = clock.SYSTEM.wall()
    states: collections.Counter[tuple[str, ...]] = collections.Counter()
    authorities: dict[int, tuple[float, float]] = {}
    for each in figures:
        authorities |= each.authorities
        for state, count in each.certificates.items():
            states[(state,)] += count
    begins = [each.oldest_begins for each in figures if each.oldest_begins is not None]
    ends = [each.first_ends for each in figures if each.first_ends is not None]
    yield _family(metrics.CERTIFICATES, states)
    yield _family(metrics.CERTIFICATE_AGE, {(): now - min(begins)} if begins else {})
    yield _family(metrics.CERTIFICATE_ENDS, {(): min(ends)} if ends else {})
    ages: Samples = {(str(number),): now - begin for number, (begin, _) in authorities.items()}
    yield _family(metrics.AUTHORITY_AGE, ages)
    last: Samples = {(str(number),): end for number, (_, end) in authorities.items()}
    yield _family(metrics.AUTHORITY_ENDS, last)


def _routers(routers: "list[worker.RouterFigures]") -> "Iterator[core.Metric]":
    if not routers:
        return
    amounts = [
        ((one.id, scope, direction), amount[place : place + 2])
        for one in routers
        for scope, amount in one.traffic.items()
        for direction, place in _DIRECTIONS
    ]
    yield _family(metrics.ROUTER_BYTES, {labels: each[0] for labels, each in amounts})
    yield _family(metrics.ROUTER_PACKETS, {labels: each[1] for labels, each in amounts})
    ends: Samples = {(one.id,): one.certificate_ends for one in routers if one.certificate_ends}
    yield _family(metrics.ROUTER_CERTIFICATE_ENDS, ends)


def _family(
    declared: metrics.Declaration, samples: "typing.Mapping[tuple[str, ...], float]"
) -> core.Metric:
    made = core.CounterMetricFamily if declared.kind == "counter" else core.GaugeMetricFamily
    family = made(declared.name, declared.help, labels=declared.labels)
    for labels, value in sorted(samples.items()):
        family.add_metric(labels, value)
    return family


def text(own: "node.Node") -> bytes:
    """Give the figures of now; of this process alone where no supervisor has told a place."""
    if metrics.DIRECTORY in os.environ:
        everything = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
    else:
        everything = prometheus_client.REGISTRY
    asked = prometheus_client.CollectorRegistry()
    asked.register(_Workers(own))
    return prometheus_client.generate_latest(everything) + prometheus_client.generate_latest(asked)
