"""Thousands of simulated appliances in one process: `appliances.py COUNT [--simulated FILE]`.

Each has an address of its own and answers as the agent does: its status with NICs, digest and
epoch, a push with the document's digest, or a refusal with the contract's error. What it was
pushed it forgets but for the digest. With the orchestrator's configuration it serves TLS as that
says, with certificates of its authority. `/simulator/...` is for the measurement alone, in
plaintext on a port of its own.
"""

import argparse
import collections
import pathlib
import threading

import certificates
import msgspec
import wire
import world

from astara_contract import document, errors, stats, status

STALE = "stale-epoch"
THREADS = 3


class Appliance:
    """One appliance: what it would remember across a restart of its agent."""

    __slots__ = ("applied", "digest", "epoch", "nics", "silent", "unchanged")

    def __init__(self, router: world.Router) -> None:
        self.nics = tuple(
            status.Nic(ifname=f"ge{number}", lladdr=port["mac_address"])
            for number, port in enumerate(world.own_ports(router))
        )
        self.digest: str | None = None
        self.epoch = 0
        self.applied = 0
        self.unchanged = 0
        self.silent = False

    def status(self) -> status.Status:
        return status.Status(
            v4=True,
            v6=True,
            agent_version="simulated",
            digest=self.digest,
            epoch=self.epoch,
            pushes_applied=self.applied,
            pushes_unchanged=self.unchanged,
            booted_at=world.CREATED,
            agent_started_at=world.CREATED,
            interfaces=self.nics,
        )

    def stats(self, grown: int) -> stats.Stats:
        """Answer with a counter for each NIC, all of which are as many as `grown`."""
        counters = tuple(
            stats.Counter(
                kind="interface",
                name=nic.lladdr,
                scope="internal",
                in_bytes=grown,
                in_packets=grown,
                out_bytes=grown,
                out_packets=grown,
            )
            for nic in self.nics
        )
        return stats.Stats(since=world.CREATED, at=world.CREATED, counters=counters)

    def put(self, body: bytes, epoch: int | None) -> tuple[int, object]:
        if epoch is not None and epoch < self.epoch:
            reason = f"epoch {epoch} is lower than {self.epoch}"
            return 409, {"error": {"code": STALE, "path": "", "reason": reason, "operator": ""}}
        try:
            parsed = document.parse(body)
        except errors.ContractError as refused:
            detail = {"path": refused.path, "reason": refused.reason, "operator": refused.reason}
            return 400, {"error": {"code": "invalid-document", **detail}}
        digest = document.digest(parsed)
        self.unchanged += digest == self.digest
        self.applied += digest != self.digest
        self.digest = digest
        self.epoch = max(self.epoch, epoch or 0)
        return 200, {"configuration": None, "digest": digest}


class Fleet:
    """All of them, and how often each kind of request came."""

    def __init__(self, count: int, seed: int) -> None:
        self.all = [Appliance(router) for router in world.routers(count, seed)]
        self.requests: collections.Counter[str] = collections.Counter()
        self.connections = 0
        self._lock = threading.Lock()

    def met(self) -> None:
        """Count a connection."""
        with self._lock:
            self.connections += 1

    def answer(self, request: wire.Request) -> wire.Answer | None:
        """Answer one request; None hangs up."""
        path = request.target.rstrip("/")
        index = world.index_at(request.address)
        if not 0 <= index < len(self.all) or self.all[index].silent:
            return None
        with self._lock:
            self.requests[f"{request.method} {path}"] += 1
        appliance = self.all[index]
        if path == "/v1/status" and request.method == "GET":
            return _json(200, appliance.status())
        if path == "/v1/system/config" and request.method == "PUT":
            if request.headers.get("content-type") != "application/json":
                unsupported = {"code": "unsupported-media-type", "reason": "expected JSON"}
                return _json(415, {"error": unsupported})
            epoch = request.headers.get("astara-epoch")
            return _json(*appliance.put(request.body, int(epoch) if epoch else None))
        if path == "/v1/system/stats":
            return _json(200, appliance.stats(self.requests.total()))
        if path == "/v1/system/config":
            return _json(200, {"configuration": None, "digest": appliance.digest})
        return _json(404, {"error": {"code": "not-found", "reason": "no such resource"}})

    def told(self, request: wire.Request) -> wire.Answer:
        """Answer the measurement."""
        return _json(200, self._simulator(request.target.rstrip("/"), request.body))

    def _simulator(self, path: str, body: bytes) -> object:
        if path == "/simulator/digests":
            return [appliance.digest for appliance in self.all]
        if path == "/simulator/silence":
            for index, silent in msgspec.json.decode(body, type=dict[int, bool]).items():
                self.all[index].silent = silent
        return {
            "requests": dict(self.requests),
            "connections": self.connections,
            "applied": sum(appliance.applied for appliance in self.all),
            "unchanged": sum(appliance.unchanged for appliance in self.all),
            "configured": sum(appliance.digest is not None for appliance in self.all),
        }


def _json(status_code: int, body: object) -> wire.Answer:
    return wire.Answer(status_code, msgspec.json.encode(body))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=world.SEED)
    parser.add_argument("--simulated", type=pathlib.Path, default=None)
    options = parser.parse_args()
    fleet = Fleet(options.count, options.seed)
    context = None
    if options.simulated is not None:
        ids = [router.id for router in world.routers(options.count, options.seed)]
        context = certificates.issued(options.simulated, ids)
    told = ("::1", world.SIMULATOR_PORT, fleet.told)
    threading.Thread(target=wire.serve, args=told, daemon=True).start()
    wire.serve("::", world.DOCUMENT_PORT, fleet.answer, context, fleet.met, THREADS)


if __name__ == "__main__":
    main()
