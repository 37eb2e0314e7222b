"""What the users of a pair notice when its active appliance ends, and how long.

Two appliances of the `lab`, with real agents, keepalived and conntrackd.
Through each fault a machine behind the router pings the outside every 10 ms by SNAT, and two TCP
connections are held, one by SNAT and one by a floating IP; the kernel takes up no connection in
its middle (nf_conntrack_tcp_loose=0). Reported is the longest silence of a round, and how many
packets were lost. It decides nothing about goals.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from lab import hosts, traffic
from lab.appliance import ApplianceHost
from lab.pair import Pair

from . import report

ROUNDS, QUICK_ROUNDS = 20, 3
_SYNCHRONISED_S = 15.0


def measure(*, quick: bool) -> dict[str, Any]:
    """Strike pairs in each way; return the figures of each."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    figures: dict[str, Any] = {}
    for name, fault in FAULTS.items():
        pair = Pair()
        with contextlib.closing(pair):
            pair.start()
            results = [_round(pair, fault) for _ in range(rounds)]
        figures[name] = _figures(results)
        print(f"{name}: {figures[name]}", file=sys.stderr, flush=True)
    return {"machine": report.machine(), "rounds": rounds, "faults": figures}


def _figures(results: list[tuple[int, int, bool]]) -> dict[str, Any]:
    silences = [float(silence) for _, silence, _ in results]
    lost = [float(count) for count, _, _ in results]
    return {
        "silence_ms": report.summary(silences) | {"p99": report.percentile(silences, 0.99)},
        "lost": report.summary(lost) | {"p99": report.percentile(lost, 0.99)},
        "connections_held": sum(held for _, _, held in results),
    }


def _round(
    pair: Pair, fault: "Callable[[Pair, ApplianceHost], contextlib.AbstractContextManager[None]]"
) -> tuple[int, int, bool]:
    """Strike the master once: lost packets, longest silence in ms, whether connections held."""
    pair.settled(60)
    master, backup = pair.master, pair.backup
    with contextlib.ExitStack() as stack:
        flows = [
            traffic.Flow(pair.vm, pair.outside, pair.OUTSIDE, 7000),
            traffic.Flow(pair.outside, pair.public_vm, pair.FLOATING, 7001),
        ]
        for flow in flows:
            stack.callback(flow.close)
            flow.exchange()
        _synchronised(backup)
        pinger = traffic.Pinger(pair.vm, pair.OUTSIDE)
        # Meanwhile the pinger has begun.
        pair.vm.run("ping", "-n", "-c", "10", "-i", "0.1", pair.OUTSIDE)
        with fault(pair, master):
            hosts.eventually(lambda: pair.role(backup) == "master", 20, "the other is master")
            pair.vm.run("ping", "-n", "-c", "10", "-i", "0.1", pair.OUTSIDE, check=False)
            held = all(_held(flow) for flow in flows)
            lost, silence = pinger.stop()
    return lost, silence, held


def _held(flow: traffic.Flow) -> bool:
    try:
        flow.exchange()
    except OSError:
        return False
    return True


def _synchronised(member: ApplianceHost) -> None:
    config = str(member.root / "run/astara/conntrackd.conf")
    asked = ("conntrackd", "-C", config, "-e")
    ports = ("dport=7000", "dport=7001")

    def known() -> bool:
        text = member.execute(*asked)
        lines = [line for line in text.splitlines() if "ESTABLISHED" in line]
        return all(any(port in line for line in lines) for port in ports)

    hosts.eventually(known, _SYNCHRONISED_S, "connections on the backup")


def _processes(member: ApplianceHost) -> list[int]:
    namespace = os.stat(f"/run/netns/{member.netns}").st_ino
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "ns/net").stat().st_ino == namespace:
                found.append(int(path.name))
    return found


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def _planned(_pair: Pair, master: ApplianceHost) -> Iterator[None]:
    kind = {"Content-Type": "application/json"}
    status, _ = master.request("PUT", "/v1/system/role", b'{"role": "backup"}', kind)
    if status != 200:
        raise RuntimeError(f"the master does not hand over: {status}")
    yield


@contextlib.contextmanager
def _keepalived_dies(_pair: Pair, master: ApplianceHost) -> Iterator[None]:
    comm = {pid: pathlib.Path(f"/proc/{pid}/comm").read_text() for pid in _processes(master)}
    _send([pid for pid, name in comm.items() if name.strip() == "keepalived"], signal.SIGKILL)
    yield


@contextlib.contextmanager
def _link_down(_pair: Pair, master: ApplianceHost) -> Iterator[None]:
    nic = master.nics[2]
    nic.segment.set_port(nic.port, "down")
    try:
        yield
    finally:
        nic.segment.set_port(nic.port, "up")


@contextlib.contextmanager
def _hang(_pair: Pair, master: ApplianceHost) -> Iterator[None]:
    pids = _processes(master)
    _send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pids, signal.SIGCONT)


@contextlib.contextmanager
def _crash(pair: Pair, master: ApplianceHost) -> Iterator[None]:
    """End all processes of the appliance and its links, as the end of a hypervisor does."""
    _send(_processes(master), signal.SIGKILL)
    for nic in master.nics:
        nic.segment.set_port(nic.port, "down")
    yield
    _boot_again(pair, master)


@contextlib.contextmanager
def _killed(pair: Pair, master: ApplianceHost) -> Iterator[None]:
    """End all processes of the appliance; its links stay up, and its kernel has the addresses."""
    _send(_processes(master), signal.SIGKILL)
    yield
    _boot_again(pair, master)


def _boot_again(pair: Pair, member: ApplianceHost) -> None:
    """Start what was killed as a boot would: nothing of the former life is left."""
    shutil.rmtree(member.root / "run", ignore_errors=True)
    member.boot_again()
    for nic in member.nics[1:]:
        member.execute("ip", "addr", "flush", "dev", nic.device)
    for nic in member.nics:
        nic.segment.set_port(nic.port, "up")
    member.start_agent()
    member.push(pair.document(member))


FAULTS: "dict[str, Callable[[Pair, ApplianceHost], contextlib.AbstractContextManager[None]]]" = {
    "planned switchover": _planned,
    "crash, links go down": _crash,
    "all processes killed": _killed,
    "tenant's link down": _link_down,
    "hang (SIGSTOP)": _hang,
    "keepalived killed": _keepalived_dies,
}


def shown(result: dict[str, Any]) -> list[str]:
    """Return the table of a result."""
    rows = [
        {
            "fault of the active appliance": name,
            "silence ms, median": figure["silence_ms"]["median"],
            "p99": figure["silence_ms"]["p99"],
            "lost of 100/s, median": figure["lost"]["median"],
            "lost, max": figure["lost"]["max"],
            "connections held": f"{figure['connections_held']}/{result['rounds']}",
        }
        for name, figure in result["faults"].items()
    ]
    return [report.table(rows)]
