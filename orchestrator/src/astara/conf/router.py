"""Options about the appliances that serve routers."""

from oslo_config import cfg

GROUP = "router"
OPTS = [
    cfg.StrOpt(
        "image_uuid",
        deprecated_group="DEFAULT",
        deprecated_name="router_image_uuid",
        help="Glance id of the appliance image. Required.",
    ),
    cfg.StrOpt(
        "instance_flavor",
        deprecated_group="DEFAULT",
        deprecated_name="router_instance_flavor",
        help="Nova flavor (id or name) of the appliances. Required.",
    ),
    cfg.PortOpt(
        "mgt_service_port",
        default=5000,
        deprecated_name="akanda_mgt_service_port",
        help="Port of the appliance's API.",
    ),
    cfg.BoolOpt(
        "bgp",
        default=False,
        help="Whether appliances speak BGP with the gateways of their external subnets, IPv4 and "
        "IPv6: floating IPs, IPv6 prefixes of tenants and IPv4 prefixes that are not translated "
        "are announced. Off by default: the gateways must expect it.",
    ),
    cfg.IntOpt(
        "asn",
        default=64512,
        min=1,
        max=4294967295,
        deprecated_group="DEFAULT",
        help="Autonomous system of the appliances. The default is the first private one.",
    ),
    cfg.IntOpt(
        "neighbor_asn",
        default=64512,
        min=1,
        max=4294967295,
        deprecated_group="DEFAULT",
        help="Autonomous system of the gateways; the same as asn makes the sessions internal.",
    ),
    cfg.StrOpt(
        "bgp_password",
        default="",
        secret=True,
        help="Key of TCP MD5 (RFC 2385) of the sessions with gateways: up to 80 printable ASCII "
        "characters but blank, quote and backslash. None by default.",
    ),
    cfg.BoolOpt(
        "bgp_bfd",
        default=False,
        help="Whether BFD watches BGP neighbours, also the peers of Neutron's BGP speakers: three "
        "losses in 300 ms steps end a session, instead of 240 s. The neighbours must speak it.",
    ),
    cfg.ListOpt(
        "bgp_accept",
        default=[],
        help="Prefixes within which routes of BGP neighbours are taken, also of the peers of "
        "Neutron's BGP speakers (0.0.0.0/0: all). None by default: appliances announce, but "
        "learn nothing.",
    ),
    cfg.BoolOpt(
        "proxy_ndp",
        default=False,
        help="Whether appliances answer neighbour solicitations on external networks for the "
        "IPv6 addresses of their tenants' ports (RFC 4389): for a provider that takes those "
        "prefixes for on-link instead of routing them. Pairs do not.",
    ),
    cfg.BoolOpt(
        "flow_offload",
        default=False,
        help="Whether appliances let established TCP and UDP flows pass by a flowtable "
        "(CONFIG_NF_FLOW_TABLE of their kernel): a packet costs less, but rules, and counters of "
        "rules, see the first ones of a flow only. An appliance whose kernel has none says so in "
        "its log and forwards as without.",
    ),
    cfg.IntOpt(
        "pair_advert_interval",
        default=100,
        min=50,
        max=10000,
        help="Milliseconds between two VRRP adverts of a pair. A backup takes over after it has "
        "missed three; a hung master is silent after ten, or after a second if that is more. The "
        "default takes over in some 400 ms; choose 200 to 300 where hosts are so busy that pairs "
        "move without need.",
    ),
    cfg.StrOpt(
        "pair_affinity",
        default="soft-anti-affinity",
        choices=[
            ("soft-anti-affinity", "different hosts where there is room"),
            ("anti-affinity", "different hosts, or no second appliance"),
            ("none", "wherever Nova likes, without a server group"),
        ],
        help="Policy of the Nova server group that the two appliances of a router with ha=True "
        "are put into. The default gives a pair to a cloud of one host as well; choose "
        "anti-affinity where a pair on one host is worse than half a pair. Each pair takes one "
        "server group of the service project's quota.",
    ),
    cfg.StrOpt(
        "provider_rules_path",
        default="/etc/astara/provider_rules.json",
        deprecated_group="DEFAULT",
        help="File of labels under which all appliances count their traffic with networks of "
        'your choice: {"labels": {"transit": ["192.0.2.0/24"]}}. Read at start; without it '
        "nothing is counted by labels of yours.",
    ),
    cfg.ListOpt(
        "functions",
        default=[],
        help="Network functions of other packages that routers may have, by the names under "
        "which those packages offer them (docs/network-functions.md). None by default: an "
        "appliance refuses a section that its image has no driver for.",
    ),
    cfg.StrOpt(
        "function_sections",
        default="",
        help="File with sections of network functions for single routers, where Neutron has no "
        "object for them (WireGuard): JSON, {router id: {function: section}}. It holds keys: "
        "readable by the orchestrator alone. Read at start; a section here replaces that of a "
        "function of the same name.",
    ),
]
