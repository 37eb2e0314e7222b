"""What the appliance has counted, for ``GET /v1/system/stats``.

It only reads: the kernel counts NICs, labels, and floating IPs as elements of the firewall's sets.
Nothing is kept here, so a restart of the agent loses nothing. Called by the API.
"""

import json
from collections.abc import Iterator

from astara_contract import stats as contract
from astara_contract.document import Document

from . import clock, facts
from .drivers import firewall
from .drivers.firewall import counters
from .drivers.services import counters as label_counters
from .drivers.services import table
from .system import files, host
from .system.paths import Paths


def take(
    document: Document, names: facts.NicNames, paths: Paths, booted_at: str
) -> contract.Stats:
    """Read all counters now."""
    return contract.Stats(
        since=booted_at,
        at=clock.now(),
        counters=(
            *_interfaces(document, names),
            *_floating(_firewall_since(paths)),
            *_labels(document),
        ),
    )


def _firewall_since(paths: Paths) -> str:
    text = files.read_file(paths.run_dir / firewall.RECORD)
    loaded_at = json.loads(text).get("loaded_at", "") if text else ""
    return str(loaded_at)


def _interfaces(document: Document, names: facts.NicNames) -> Iterator[contract.Counter]:
    plugged, traffic = facts.gather(names), host.traffic()
    for network in document.networks:
        nic = plugged.find(network.interface)
        seen = traffic.get(nic.device) if nic else None
        if seen is not None:
            yield contract.Counter(
                kind="interface",
                name=network.network_id,
                scope=network.network_type,
                in_bytes=seen["rx_bytes"],
                in_packets=seen["rx_packets"],
                out_bytes=seen["tx_bytes"],
                out_packets=seen["tx_packets"],
            )


def _floating(since: str) -> Iterator[contract.Counter]:
    inwards, outwards = (counters.counted(name) for name in ("floating_in", "floating_out"))
    nothing = counters.Count(0, 0)
    for address in sorted(inwards):
        entered, left = inwards[address], outwards.get(address, nothing)
        yield contract.Counter(
            kind="floating-ip",
            name=address,
            since=since,
            in_bytes=entered.bytes,
            in_packets=entered.packets,
            out_bytes=left.bytes,
            out_packets=left.packets,
        )


def _labels(document: Document) -> Iterator[contract.Counter]:
    labels = table.labels(document)
    counted = label_counters.counted() if labels else {}
    for label in labels:
        names = [table.counter(label.id, way) for way in ("ingress", "egress")]
        if all(name in counted for name in names):
            entered, left = (counted[name] for name in names)
            yield contract.Counter(
                kind="label",
                name=label.id,
                in_bytes=entered.bytes,
                in_packets=entered.packets,
                out_bytes=left.bytes,
                out_packets=left.packets,
            )
