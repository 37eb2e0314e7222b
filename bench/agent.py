"""The whole appliance: how long a push takes through its API, and what its processes weigh.

Boots the real agent in a namespace, as on a virtual machine, and pushes whole documents with N
floating IPs over HTTP: seconds from request to answer hold validation, all drivers, verification
and the file on disk. Memory is read from /proc after each size.
"""

import functools
import http.client
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from astara_contract import document as contract

from . import apply, arena, report, router

COUNTS = (0, 1, 100, 1000, 10000)
QUICK_COUNTS = (0, 1000)
_MAC, _ADDRESS, _PEER, _PORT = "fa:16:3e:00:00:99", "fdca::2", "fdca::1", 5000
_ANSWER_TIMEOUT_S = 120.0
_AGENT = "astara-appliance"
_HEADERS = {"Content-Type": "application/json", "Prefer": "return=minimal"}
_SETTLE_S, _SETTLE_TIMEOUT_S = 2.0, 10.0


class Appliance:
    """A booted appliance with three NICs, and the machine that pushes to it."""

    def __init__(self, label: str) -> None:
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"{label}-", dir="/run"))
        self.root.chmod(0o755)
        (self.root / "etc").mkdir()
        self.site = router.build_site(label, router.Devices())
        self.peer = arena.Room(f"m-{label}")
        arena.cable(self.site.router, "eth0", _MAC, self.peer, "eth0")
        self.peer.batch(f"addr add {_PEER}/64 dev eth0 nodad\n")
        programs = pathlib.Path(sys.executable).parent
        where = ("--root", str(self.root))
        configure = str(programs / "astara-configure-management")
        self.site.router.run(configure, _MAC, f"{_ADDRESS}/64", *where)
        self.agent = self.site.router.start(str(programs / "astara-appliance"), *where)
        arena.wait_until(self._answers, "API of the agent", 30)

    def push(self, document: bytes) -> None:
        """PUT a document as the orchestrator does; RuntimeError unless it was applied."""
        status, answer = self.peer.call(self._request, "PUT", "/v1/system/config", document)
        if status != 200:
            raise RuntimeError(f"push refused: {status} {answer[:500]!r}")

    def processes(self) -> list[dict[str, Any]]:
        """Return name, RSS and PSS (MiB) of every process of the appliance."""
        pids = self.site.router.run("ip", "netns", "pids", self.site.router.name).split()
        found = [_weighed(int(pid)) for pid in pids if pid != "1"]
        return [item for item in found if item is not None]

    def settled_processes(self) -> list[dict[str, Any]]:
        """Return `processes` once the agent has given back what the last push needed."""
        found = self.processes()
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            time.sleep(_SETTLE_S)
            before, found = found, self.processes()
            if _total(before) == _total(found):
                break
        return found

    def close(self) -> None:
        """End every process and remove the namespaces."""
        for pid in self.site.router.run("ip", "netns", "pids", self.site.router.name).split():
            if pid != "1":
                subprocess.run(["kill", "-9", pid], check=False, capture_output=True)
        self.site.close()
        self.peer.close()

    def _answers(self) -> bool:
        try:
            status, _ = self.peer.call(self._request, "GET", "/v1/status", b"")
        except OSError:
            return False
        return status == 200

    @staticmethod
    def _request(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(_ADDRESS, _PORT, timeout=_ANSWER_TIMEOUT_S)
        try:
            connection.request(method, path, body or None, _HEADERS)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Push each size from nothing, one more and one less; weigh the processes at each size."""
    counts, rounds = (QUICK_COUNTS, 1) if quick else (COUNTS, 3)
    spent: dict[tuple[int, str], list[float]] = defaultdict(list)
    memory: dict[int, list[dict[str, Any]]] = {}
    for number in range(rounds):
        for count in counts:
            print(f"round {number + 1} of {rounds}, {count} floating IPs", file=sys.stderr)
            appliance = Appliance(f"agent{number}-{count}")
            try:
                appliance.push(contract.encode(contract.Document()))
                for what, wanted in (
                    ("nothing to all", count),
                    ("one more", count + 1),
                    ("one less", count),
                ):
                    document = contract.encode(router.document(wanted))
                    push = functools.partial(appliance.push, document)
                    spent[count, what].append(apply.milliseconds(push))
                memory[count] = appliance.settled_processes()
            finally:
                appliance.close()
    return {
        "machine": report.machine(),
        "unit": "ms from request to answer, median of the rounds; MiB",
        "rounds": rounds,
        "figures": [
            {"floating_ips": count, "change": what, **report.summary(values)}
            for (count, what), values in spent.items()
        ],
        "memory": [
            {"floating_ips": count, **_total(processes), "processes": processes}
            for count, processes in memory.items()
        ],
    }


def _weighed(pid: int) -> dict[str, Any] | None:
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    sizes = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
    own = b"astara-appliance" in b" ".join(command)
    name = _AGENT if own else pathlib.Path(command[0].split()[0].decode()).name
    return {
        "name": name,
        "rss_mib": report.rounded(int(sizes["Rss"]) / 1024),
        "pss_mib": report.rounded(int(sizes["Pss"]) / 1024),
    }


def _total(processes: Sequence[dict[str, Any]]) -> dict[str, float]:
    own = [item for item in processes if item["name"] == _AGENT]
    return {
        "agent_processes": len(own),
        "agent_rss_mib": report.rounded(sum(item["rss_mib"] for item in own)),
        "agent_pss_mib": report.rounded(sum(item["pss_mib"] for item in own)),
        "all_pss_mib": report.rounded(sum(item["pss_mib"] for item in processes)),
    }


def shown(result: dict[str, Any]) -> Sequence[str]:
    """Return the table of pushes and the one of memory."""
    pushes: dict[int, dict[str, Any]] = {}
    for item in result["figures"]:
        row = pushes.setdefault(item["floating_ips"], {"floating IPs": item["floating_ips"]})
        row[f"{item['change']} (ms)"] = item["median"]
    names = (
        "floating_ips",
        "agent_processes",
        "agent_rss_mib",
        "agent_pss_mib",
        "all_pss_mib",
    )
    memory = [{name: item[name] for name in names} for item in result["memory"]]
    last = result["memory"][-1]["processes"]
    return [report.table(list(pushes.values())), report.table(memory), report.table(last)]
