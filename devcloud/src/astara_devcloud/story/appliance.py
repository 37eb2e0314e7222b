"""What an operator sees of a router's appliance: its server, its status, its agent.

Reads with the service's credentials, over the management network and through the hypervisor;
changes nothing, except where a step says that it breaks something.
"""

import functools
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astara_devcloud import layout
from astara_devcloud.story import probes

if TYPE_CHECKING:
    import openstack.connection

API_PORT = 5000


@functools.lru_cache(maxsize=2)
def _opener(config: Path) -> urllib.request.OpenerDirector:
    """Ask as the orchestrator does: with a client certificate, which its own tool hands out.

    Whose certificate the appliance shows is for the orchestrator to check; here it is enough that
    one of its authorities signed it.
    """
    with tempfile.TemporaryDirectory(prefix="astara-client-") as directory:
        program = Path(sys.executable).with_name("astara-pki")
        argv = [str(program), "--config-file", str(config), "export", directory]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise probes.ProbeError(f"astara-pki export: {done.stderr.strip()}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(f"{directory}/authorities.pem")
        context.load_cert_chain(f"{directory}/client.pem")
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def forget_certificates() -> None:
    """Have the next question asked with a certificate of the authority that signs then."""
    _opener.cache_clear()


class Appliance:
    """The appliance of one router."""

    def __init__(
        self,
        service: "openstack.connection.Connection",
        router_id: str,
        config: Path | None = None,
    ) -> None:
        self.cloud = service
        self.router_id = router_id
        # Of the orchestrator that serves it, whose authority the appliance trusts.
        self._config = config or layout.current_layout().etc / "orchestrator.ini"

    def servers(self) -> list[Any]:
        """Return the Nova servers that belong to the router."""
        wanted = f"router:{self.router_id}"
        return [
            server
            for server in self.cloud.compute.servers()
            if server.metadata.get("astara_resource") == wanted
        ]

    def server_id(self) -> str:
        """Return the id of the one server; raise ProbeError if there is not exactly one."""
        servers = self.servers()
        if len(servers) != 1:
            raise probes.ProbeError(f"router {self.router_id} has {len(servers)} servers, not 1")
        return str(servers[0].id)

    def ports(self) -> list[Any]:
        """Return the Neutron ports that the orchestrator made for the router."""
        names = [f"ASTARA:{kind}:{self.router_id}" for kind in ("MGT", "VRRP")]
        return [port for name in names for port in self.cloud.network.ports(name=name)]

    def address(self) -> str:
        """Return the management address."""
        for port in self.cloud.network.ports(name=f"ASTARA:MGT:{self.router_id}"):
            for fixed in port.fixed_ips:
                return str(fixed["ip_address"])
        raise probes.ProbeError(f"router {self.router_id} has no management port")

    def status(self) -> dict[str, Any]:
        """Return what ``GET /v1/status`` says; raise ProbeError if it does not answer."""
        return dict(json.loads(self._get("/v1/status")))

    def stats(self) -> dict[str, Any]:
        """Return what ``GET /v1/system/stats`` says; raise ProbeError if it does not answer."""
        return dict(json.loads(self._get("/v1/system/stats")))

    def _get(self, path: str) -> bytes:
        address = self.address()
        host = f"[{address}]" if ":" in address else address
        try:
            with _opener(self._config).open(
                f"https://{host}:{API_PORT}{path}", timeout=3
            ) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise probes.ProbeError(f"appliance at {address}: {error}") from error

    def document(self) -> dict[str, Any] | None:
        """Return the committed document, None before the first; raise ProbeError."""
        told = json.loads(self._get("/v1/system/config"))["configuration"]
        return dict(told) if told is not None else None

    def metrics(self) -> str:
        """Return what ``GET /metrics`` says; raise ProbeError if it does not answer."""
        return self._get("/metrics").decode()

    def answers(self) -> bool:
        """Tell whether the agent answers right now."""
        try:
            return bool(self.status())
        except probes.ProbeError:
            return False


def agent_pids(guest_pid: int) -> list[int]:
    """Return the host pids of the agent's processes in the guest whose first process is given."""
    # gunicorn titles its processes "gunicorn: master [astara-appliance]" and the like.
    return [pid for pid in descendants(guest_pid) if "astara-appliance" in _command_line(pid)]


def kill_agent(guest_pid: int) -> int:
    """SIGKILL the agent's processes in a guest; return how many there were."""
    pids = agent_pids(guest_pid)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # gone with its parent, killed a moment before
    return len(pids)


def descendants(pid: int) -> list[int]:
    """Return `pid` and all processes below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in task.read_text().split())
            except OSError:
                continue  # ended while we looked
    return found


def resident_kib(pid: int) -> int:
    """Return the proportional set size (PSS) of `pid` and all below it, in KiB."""
    total = 0
    for each in descendants(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue  # ended while we looked
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""  # ended while we looked
