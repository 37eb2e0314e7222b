"""The same router as neutron-l3-agent builds it, by Neutron's own code.

Runs Neutron's `LegacyRouter` (neutron.agent.l3) in this process: its namespace with its sysctls,
`process()` of ports and gateway, its NAT, mangle, filter and raw rules through its
`IptablesManager`, and the metadata rules of its metadata driver. What is left out, all of it in
Neutron's favour: the message bus, rootwrap and the privsep daemon (privileged calls run right
here), Open vSwitch (the `NullDriver` finds devices plugged already), the metadata proxy process,
and, unless asked for, one address and its announcement threads for each floating IP.
"""

import functools
import logging
import sys
import tempfile
import types
import uuid
from collections.abc import Sequence
from typing import Any

from oslo_concurrency import lockutils
from oslo_config import cfg

from . import arena, router

_INTERNAL_PORT, _GATEWAY_PORT = "b1111111-1111", "b2222222-2222"
DEVICES = router.Devices(f"qr-{_INTERNAL_PORT[:11]}", f"qg-{_GATEWAY_PORT[:11]}")


class NeutronRouter:
    """A LegacyRouter of Neutron; `site` is the room it lives in and its neighbours."""

    def __init__(self, label: str) -> None:
        _configure()
        program, sys.argv[0] = sys.argv[0], "neutron-l3-agent"  # it names its chains by it
        from neutron.agent.l3 import legacy_router
        from neutron.agent.linux import interface

        sys.argv[0] = program

        self.router_id = str(uuid.uuid4())
        agent = types.SimpleNamespace(
            plugin_rpc=types.SimpleNamespace(update_floatingip_statuses=lambda *_: None),
            context=None,
        )
        self.info: Any = legacy_router.LegacyRouter(
            agent, self.router_id, _router(self.router_id, []), cfg.CONF,
            interface.NullDriver(cfg.CONF), use_ipv6=True,
        )  # fmt: skip
        self.info.router_namespace.create()
        room = arena.Room(self.info.ns_name, existing=True)
        room.batch("link set lo up\n")
        self.site = router.build_site(label, DEVICES, room)
        self.info.process()
        self._metadata_rules()

    def apply(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Bring the NAT rules of these floating IPs into force, as the agent's `process_external`
        and `process_address_scope` do.
        """
        self.info.router = _router(self.router_id, pairs)
        with self.info.iptables_manager.defer_apply():
            self.info._process_external_gateway(self.info.get_ex_gw_port())
            self.info.process_snat_dnat_for_fip()
        self.info.process_address_scope()

    def add_addresses(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Put the floating IPs on the gateway device by Neutron's code, announcements and all."""
        self.info.router = _router(self.router_id, pairs)
        self.info.configure_fip_addresses(DEVICES.outside)

    def rules(self) -> str:
        """Return all its IPv4 rules as iptables-save shows them."""
        return self.site.router.run("iptables-save")

    def _metadata_rules(self) -> None:
        from neutron.agent.metadata import driver

        tables = self.info.iptables_manager
        mark = cfg.CONF.metadata_access_mark
        for chain, rule in driver.metadata_filter_rules(cfg.CONF.metadata_port, mark):
            tables.ipv4["filter"].add_rule(chain, rule)
        for chain, rule in driver.metadata_nat_rules(cfg.CONF.metadata_port):
            tables.ipv4["nat"].add_rule(chain, rule)
        tables.apply()


@functools.cache
def _configure() -> None:
    from neutron import privileged
    from neutron.agent import l3_agent
    from neutron.conf.agent import common as agent_config

    l3_agent.register_opts(cfg.CONF)
    agent_config.register_root_helper(cfg.CONF)
    cfg.CONF([], project="neutron", default_config_files=[])
    lock_directory = tempfile.mkdtemp(prefix="bench-locks-", dir="/run")
    lockutils.set_defaults(lock_directory)
    cfg.CONF.set_override("lock_path", lock_directory, group="oslo_concurrency")
    for name in ("default", "namespace_cmd", "conntrack_cmd", "link_cmd"):
        getattr(privileged, name).set_client_mode(False)
    logging.getLogger("neutron").setLevel(logging.ERROR)


def _router(router_id: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the router as Neutron's server describes it to its agent."""
    return {
        "id": router_id,
        "enable_snat": True,
        "routes": [],
        "gw_port": _port(
            _GATEWAY_PORT, router.EXTERNAL, "203.0.0.0/16", router.OUTSIDE, router.OUTSIDE_MAC
        ),
        "_interfaces": [
            _port(_INTERNAL_PORT, router.GATEWAY, "10.0.0.0/16", None, router.INSIDE_MAC)
        ],
        "_floatingips": [
            {
                "id": public,
                "floating_ip_address": public,
                "fixed_ip_address": fixed,
                "status": "DOWN",
                "fixed_ip_address_scope": None,
            }
            for public, fixed in pairs
        ],
    }


def _port(port_id: str, address: str, cidr: str, gateway: str | None, mac: str) -> dict[str, Any]:
    return {
        "id": port_id,
        "network_id": "network-of-" + port_id,
        "mac_address": mac,
        "mtu": 1500,
        "admin_state_up": True,
        "fixed_ips": [{"ip_address": address, "prefixlen": 16, "subnet_id": cidr}],
        "subnets": [{"id": cidr, "cidr": cidr, "gateway_ip": gateway}],
        "extra_subnets": [],
    }
