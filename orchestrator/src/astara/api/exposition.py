"""Give the metrics of this node as Prometheus reads them (text format 0.0.4).

Counters come from the files of all processes, gauges from asking the workers now. Decides nothing.
Built by `http`.
"""

import os
import typing

import prometheus_client
from prometheus_client import core, multiprocess, registry

from .. import metrics
from . import messages

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from . import node

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


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
        phases: dict[tuple[str, ...], float] = {}
        threads: dict[tuple[str, ...], float] = {}
        memory: dict[tuple[str, ...], float] = {}
        for worker in view.workers:
            name = f"{worker.number:02d}"
            memory[(name,)] = worker.memory_kib * 1024
            for thread in worker.threads:
                key = (name, "alive" if thread.alive else "dead")
                threads[key] = threads.get(key, 0) + 1
            for phase, count in worker.phases.items():
                phases[(phase,)] = phases.get((phase,), 0) + count
        yield _family(metrics.RESOURCES, phases)
        yield _family(metrics.WORKER_THREADS, threads)
        yield _family(metrics.WORKER_MEMORY, memory)
        yield _family(metrics.NODE_FAULTS, {(): len(view.faults)})
        yield _family(metrics.MEMBERS, {(): len(view.members)})


def _family(
    declared: metrics.Declaration, samples: "dict[tuple[str, ...], float]"
) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(declared.name, declared.help, labels=declared.labels)
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
