"""Two appliances with one router, the networks on both of its sides, and machines there."""

import json
import subprocess
from typing import Any

from . import hosts
from .appliance import MANAGEMENT_PEER, ApplianceHost


class Pair:
    """Two appliances, one router: a tenant network, an external one, machines on both.

    `master` and `backup` name who is which; what they say is asked anew each time.
    """

    OUTSIDE, OUTSIDE6 = "203.0.113.1", "2001:db8:cafe::1"
    FLOATING = "203.0.113.50"

    def __init__(self) -> None:
        first = ApplianceHost()
        self.members = [first]
        try:
            self.members.append(ApplianceHost(address="fdca:3ba5:a17a:acda::3", peer_of=first))
            for member in self.members:
                member.plug("ext")
                member.plug("blue")
            blue, ext = first.segments["blue"], first.segments["ext"]
            self.vm = blue.add_host(
                "vm1", ["192.168.0.10/24", "2001:db8:1::10/64"], gateway="192.168.0.1"
            )
            self.vm.run("ip", "-6", "route", "add", "default", "via", "fe80::1:1", "dev", "eth0")
            self.public_vm = blue.add_host("vm2", ["192.168.0.11/24"], gateway="192.168.0.1")
            self.outside = ext.add_host("out", [f"{self.OUTSIDE}/24", f"{self.OUTSIDE6}/64"])
            self.outside.run("ip", "-6", "route", "add", "2001:db8:1::/64", "via", "fe80::2:2",
                             "dev", "eth0")  # fmt: skip
            for member in self.members:
                self._refuse_unknown_connections(member)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _refuse_unknown_connections(member: ApplianceHost) -> None:
        # Else the kernel takes up any connection in its middle, and nothing is proved.
        member.execute("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")

    def document(self, member: ApplianceHost, **keys: Any) -> dict[str, Any]:
        """Return the document of one of the two; keys beside `priority` go into ha_config."""
        first, peer = self.members[0], self.other(member)
        _, ext, blue = member.nics
        pair = {"peers": [peer.address], "priority": 150 if member is first else 100} | keys
        outside = [
            {"cidr": "203.0.113.0/24", "gateway_ip": self.OUTSIDE},
            {"cidr": "2001:db8:cafe::/64", "gateway_ip": self.OUTSIDE6},
        ]
        inside = [
            {"cidr": "192.168.0.0/24", "gateway_ip": "192.168.0.1", "dhcp_enabled": True},
            {"cidr": "2001:db8:1::/64", "gateway_ip": "2001:db8:1::1", "ipv6_ra_mode": "slaac",
             "ipv6_address_mode": "slaac"},
        ]  # fmt: skip
        own = ["203.0.113.2/24", "2001:db8:cafe::2/64", "fe80::2:2/64"]
        tenant = ["192.168.0.1/24", "2001:db8:1::1/64", "fe80::1:1/64"]
        return member.document(
            [
                member.network("external", ext, own, outside),
                member.network("internal", blue, tenant, inside),
            ],
            ha_resource=True,
            ha_config=pair,
            floating_ips=[{"floating_ip": self.FLOATING, "fixed_ip": "192.168.0.11"}],
            orchestrator={"address": MANAGEMENT_PEER, "metadata_key": "ab" * 32},
        )

    def start(self, **keys: Any) -> None:
        """Start both agents, give each its document and wait until one is master."""
        for member in self.members:
            member.start_agent()
            member.push(self.document(member, **keys))
        self.settled()

    def settled(self, timeout_s: float = 20.0) -> None:
        """Wait until there is one master and one backup."""
        roles = {"master", "backup"}
        hosts.eventually(
            lambda: {self.role(m) for m in self.members} == roles, timeout_s, "two roles"
        )

    @staticmethod
    def role(member: ApplianceHost) -> str:
        """Return the role that a member's guard tells, "none" if it is dead."""
        try:
            state = json.loads((member.root / "run/astara/pair-state.json").read_text())
        except (FileNotFoundError, ValueError):
            return "none"
        alive = member.argv("test", "-d", f"/proc/{state['pid']}")
        dead = subprocess.run(alive, capture_output=True, check=False).returncode
        return "none" if dead else str(state["told"]["role"])

    @property
    def master(self) -> ApplianceHost:
        """The one that says so."""
        return next(m for m in self.members if self.role(m) == "master")

    @property
    def backup(self) -> ApplianceHost:
        """The other one."""
        return self.other(self.master)

    def other(self, member: ApplianceHost) -> ApplianceHost:
        """Return the other one of the two."""
        return self.members[1] if member is self.members[0] else self.members[0]

    def log(self) -> str:
        """Return what the guards of both printed."""
        logs = [m.root / "var/log/astara/pair-guard.log" for m in self.members]
        return "\n---\n".join(log.read_text() if log.exists() else "-" for log in logs)

    def close(self) -> None:
        """Remove everything."""
        for member in reversed(self.members):
            member.close()
