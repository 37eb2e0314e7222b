"""A router that runs becomes a pair, and single again: what its users notice is printed.

In the order of the orchestrator: the appliance that serves hears of the pair first. Bounds are
wide; the figures are for the page about pairs.
"""

import contextlib
import statistics

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.quiet]

ROUNDS = 5


def single(pair, member):
    document = pair.document(member)
    del document["ha_config"], document["ha_resource"]
    return document


@contextlib.contextmanager
def watched(pair, pinger, flow, figures):
    """Note the longest silence and the loss of the block; a connection must live on."""
    with contextlib.closing(flow(pair.vm, pair.outside, pair.OUTSIDE, 7000)) as connection:
        connection.exchange()
        ping = pinger(pair.vm, pair.OUTSIDE)
        pair.vm.run("ping", "-n", "-c", "5", "-i", "0.1", pair.OUTSIDE)
        yield
        pair.vm.run("ping", "-n", "-c", "5", "-i", "0.1", pair.OUTSIDE, check=False)
        figures.append(ping.stop())
        assert connection.exchange() < 15


def test_turning_ha_on_and_off_costs_little(pair, pinger, flow, eventually, capsys):
    first, second = pair.members
    on, off = [], []
    first.start_agent()
    second.start_agent()
    first.push(single(pair, first))
    for _ in range(ROUNDS):
        with watched(pair, pinger, flow, on):
            first.push(pair.document(first))
            eventually(lambda: pair.role(first) == "master", 20, "the one that serves is master")
            second.push(pair.document(second))
            pair.settled()
        assert pair.master is first
        with watched(pair, pinger, flow, off):
            second.push(second.document())  # as silent as one that is deleted
            first.push(single(pair, first))
        assert first.get("/v1/status")["role"] == "single"
    with capsys.disabled():
        for name, figures in (("on", on), ("off", off)):
            silences = [silence for _, silence in figures]
            print(
                f"\nha turned {name}: longest silence {statistics.median(silences)} ms in the"
                f" median, {max(silences)} ms at worst; of 100 packets a second at most"
                f" {max(lost for lost, _ in figures)} lost; {ROUNDS} of {ROUNDS} connections held"
            )
    assert max(silence for _, silence in [*on, *off]) < 5_000
