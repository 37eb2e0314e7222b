"""What has to be right, seen from outside: Neutron's wish, Nova's servers, the appliances' word.

`complaints` looks at everything and returns a sentence for whatever is wrong, the cheap looks
first; nothing to complain about is the end of a round. It changes nothing.
"""

import concurrent.futures
import dataclasses
import ipaddress
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keystoneauth1.exceptions
import openstack.exceptions

from astara_devcloud import commands, outside
from astara_devcloud.hypervisor import enter
from astara_devcloud.hypervisor import namespace as server_namespace
from astara_devcloud.story import appliance, probes

from . import cloud as havoc_cloud
from . import kinds
from .cloud import Cloud

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
MARK = "astara:router:"
TWO_AUDITS_S = 25.0
AWAY = (
    openstack.exceptions.SDKException,
    keystoneauth1.exceptions.ClientException,
    probes.ProbeError,
    commands.CommandError,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What Neutron wants of one router."""

    id: str
    status: str
    gateway: tuple[str, ...]
    addresses: frozenset[str]  # of its ports
    networks: frozenset[str]
    floating: Mapping[str, str]  # floating address -> fixed address


class Truth:
    """Looks at a cloud and its orchestrators, which are as they should be when it is made."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._titles = {each.host: each.titles() for each in cloud.nodes}
        self._queues = set(kinds.queues())

    def complaints(self) -> list[str]:
        """Return what is wrong now; the first of several looks that finds anything decides."""
        try:
            return self._complaints()
        except AWAY as reason:
            return [f"cannot look: {reason}"]

    def _complaints(self) -> list[str]:
        wishes = self._wishes()
        servers = self._servers()
        looks: tuple[Callable[[], Iterator[str]], ...] = (
            lambda: self._about_servers(wishes, servers),
            lambda: self._about_ports(wishes),
            lambda: self._about_appliances(wishes),
            lambda: self._about_guests(servers),
            self._about_processes,
            lambda: self._about_orchestrators(wishes),
            self._about_queues,
            lambda: self._about_rows(wishes),
        )
        for look in looks:
            if found := list(look()):
                return found
        return []

    def differences(self, within_s: float = TWO_AUDITS_S) -> list[str]:
        """Ask the orchestrator itself, as an operator does, whether any router differs.

        What a lost event was about is found by the next audit: that is waited for.
        """
        deadline = time.monotonic() + within_s
        while (found := self._differences()) and time.monotonic() < deadline:
            time.sleep(1)
        return found

    def _differences(self) -> list[str]:
        asked = self._cloud.nodes[0]
        found = []
        for router_id in self._wishes():
            done = asked.run("diff", router_id)
            if done.returncode:
                found.append(f"diff {router_id}: {done.stdout}{done.stderr}")
        return found

    # -- what is wished ---------------------------------------------------------------------------

    def _wishes(self) -> dict[str, Wish]:
        network = self._cloud.admin.network
        floating: dict[str, dict[str, str]] = {}
        down = []
        for each in network.ips():
            if each.router_id and each.port_id:
                row = floating.setdefault(each.router_id, {})
                row[each.floating_ip_address] = each.fixed_ip_address
                down += [each.router_id] if each.status != "ACTIVE" else []
        held: dict[str, list[Any]] = {}
        for port in network.ports():
            if port.device_owner in ("network:router_gateway", "network:router_interface"):
                held.setdefault(port.device_id, []).append(port)
        return {
            router.id: self._wish(router, held.get(router.id, []), floating.get(router.id, {}))
            if router.id not in down
            else dataclasses.replace(
                self._wish(router, held.get(router.id, []), floating[router.id]),
                status="a floating IP that is not ACTIVE",
            )
            for router in network.routers()
        }

    @staticmethod
    def _wish(router: Any, ports: list[Any], floating: Mapping[str, str]) -> Wish:
        gateway = router.external_gateway_info or {}
        return Wish(
            id=router.id,
            status=router.status,
            gateway=tuple(each["ip_address"] for each in gateway.get("external_fixed_ips", ())),
            addresses=frozenset(fixed["ip_address"] for port in ports for fixed in port.fixed_ips),
            networks=frozenset(port.network_id for port in ports),
            floating=floating,
        )

    def _servers(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for server in self._cloud.service.compute.servers():
            if mark := server.metadata.get("astara_resource"):
                found.setdefault(mark.removeprefix("router:"), []).append(server)
        return found

    # -- looks ------------------------------------------------------------------------------------

    @staticmethod
    def _about_servers(
        wishes: Mapping[str, Wish], servers: Mapping[str, list[Any]]
    ) -> Iterator[str]:
        for router_id, wish in wishes.items():
            if wish.status != "ACTIVE":
                yield f"router {router_id}: {wish.status}"
            states = [server.status for server in servers.get(router_id, [])]
            if states != ["ACTIVE"]:
                yield f"router {router_id} has servers {states}"
        for router_id in set(servers) - set(wishes):
            yield f"orphaned server of {router_id}: {[each.id for each in servers[router_id]]}"

    def _about_ports(self, wishes: Mapping[str, Wish]) -> Iterator[str]:
        found: dict[str, list[Any]] = {}
        for port in self._cloud.admin.network.ports():
            if (port.description or "").startswith(MARK):
                found.setdefault(port.description.removeprefix(MARK), []).append(port)
        for router_id, ports in found.items():
            if router_id not in wishes:
                yield f"orphaned ports of {router_id}: {[port.id for port in ports]}"
        for router_id, wish in wishes.items():
            carriers = [
                each.network_id for each in found.get(router_id, []) if "VRRP" in each.name
            ]
            managing = [each for each in found.get(router_id, []) if "MGT" in each.name]
            if sorted(carriers) != sorted(wish.networks) or len(managing) != 1:
                yield (
                    f"router {router_id}: {len(managing)} management ports, carriers on "
                    f"{sorted(carriers)} for networks {sorted(wish.networks)}"
                )

    def _about_appliances(self, wishes: Mapping[str, Wish]) -> Iterator[str]:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for told in pool.map(self._about_appliance, wishes.values()):
                yield from told

    def _about_appliance(self, wish: Wish) -> list[str]:
        asked = appliance.Appliance(self._cloud.service, wish.id, self._cloud.nodes[0].config)
        document = asked.document()
        if document is None:
            return [f"router {wish.id}: its appliance has no configuration"]
        runs = {
            str(ipaddress.ip_interface(address).ip)
            for network in document["networks"]
            if network["network_type"] != "management"
            for address in network["interface"]["addresses"]
        }
        runs = {address for address in runs if not address.startswith("fe80")}
        floating = {each["floating_ip"]: each["fixed_ip"] for each in document["floating_ips"]}
        wrong = []
        if runs != set(wish.addresses):
            wrong.append(f"router {wish.id}: serves {sorted(runs)}, not {sorted(wish.addresses)}")
        if floating != dict(wish.floating):
            wrong.append(f"router {wish.id}: floats {floating}, not {dict(wish.floating)}")
        wrong += [
            f"router {wish.id}: {address} does not answer the internet"
            for address in wish.gateway
            if ":" not in address and not OUTSIDE.pings(address)
        ]
        return wrong

    @staticmethod
    def _about_guests(servers: Mapping[str, list[Any]]) -> Iterator[str]:
        known = {server.id for each in servers.values() for server in each}
        guests = enter.guests()
        for guest in guests:
            if guest.guest == "appliance" and guest.uuid not in known:
                yield f"guest {guest.uuid} belongs to no server"
        names = {guest.namespace for guest in guests}
        for path in pathlib.Path("/run/netns").glob(f"{server_namespace.PREFIX}*"):
            if path.name not in names:
                yield f"namespace {path.name} belongs to no guest"

    def _about_processes(self) -> Iterator[str]:
        for each in self._cloud.nodes:
            if (now := each.titles()) != self._titles[each.host]:
                yield f"node {each.host} has {now}, not {self._titles[each.host]}"

    def _about_orchestrators(self, wishes: Mapping[str, Wish]) -> Iterator[str]:
        said = []
        for each in self._cloud.nodes:
            lines = {line["ID"]: line for line in each.ctl("list", "--long")}
            said.append({router: line["Node"] for router, line in lines.items()})
            for router_id in set(wishes) - set(lines):
                yield f"{each.host} does not know router {router_id}"
            for router_id, line in lines.items():
                if router_id not in wishes:
                    yield f"{each.host} still has router {router_id}: {line['State']}"
                elif line["State"] != "configured":
                    yield f"{each.host} calls router {router_id} {line['State']}"
        if any(each != said[0] for each in said):
            yield f"nodes disagree about who serves what: {json.dumps(said)}"

    def _about_queues(self) -> Iterator[str]:
        now = kinds.queues()
        for name, messages in now.items():
            if messages:
                yield f"queue {name} holds {messages} messages"
            if name not in self._queues:
                yield f"queue {name} was not there before"
        for name in self._queues - set(now):
            yield f"queue {name} is gone"

    @staticmethod
    def _about_rows(wishes: Mapping[str, Wish]) -> Iterator[str]:
        for table in ("ownership", "identities"):
            rows = havoc_cloud.sql(f"SELECT resource_id FROM {havoc_cloud.DATABASE}.{table}")  # noqa: S608 - no input
            for router_id in set(rows.split()) - set(wishes):
                yield f"table {table} has a row of router {router_id}, which is gone"
