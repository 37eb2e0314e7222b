"""Options about the management network, over which the orchestrator talks to appliances."""

from oslo_config import cfg

GROUP = None
OPTS = [
    cfg.StrOpt(
        "management_network_id",
        help="Neutron id of the management network. Required. It belongs to the service project.",
    ),
    cfg.StrOpt(
        "management_subnet_id",
        help="Neutron id of the subnet from which management addresses are taken. Required.",
    ),
    cfg.StrOpt(
        "interface_driver",
        default="openvswitch",
        help="How this node plugs its own management port: `openvswitch`, `bridge`, or `null` if "
        "the management network is reached in another way. The historic class paths "
        "(astara.common.linux.interface.OVSInterfaceDriver and its kin) are understood.",
    ),
    cfg.StrOpt(
        "ovs_integration_bridge",
        default="br-int",
        help="Integration bridge of Open vSwitch, for interface_driver = openvswitch.",
    ),
    cfg.StrOpt(
        "management_binding_host",
        help="Name under which Neutron's agent on this node is known, where that is not `host`.",
    ),
    cfg.IntOpt(
        "network_device_mtu",
        min=576,
        help="MTU of the plugged management port, in bytes; that of the Neutron network if unset.",
    ),
    cfg.StrOpt(
        "ssh_public_key",
        default="/etc/astara/astara.pub",
        help="File with the public key that is allowed to log in to appliances. An absent file "
        "means that nobody is.",
    ),
    cfg.ListOpt(
        "dns_forwarders",
        default=[],
        help="Addresses of DNS servers that appliances forward to. Empty: those each appliance "
        "learns by itself.",
    ),
    cfg.StrOpt(
        "dns_domain",
        default="openstacklocal",
        help="Domain handed to tenant VMs whose network names none; dns_domain in neutron.conf.",
    ),
    cfg.StrOpt(
        "endpoint_type",
        default="internalURL",
        choices=["publicURL", "internalURL", "adminURL", "public", "internal", "admin"],
        help="Which endpoints of the catalogue are used.",
    ),
    cfg.StrOpt(
        "auth_region",
        help="Region whose endpoints are used; needed where the catalogue has several.",
    ),
]
