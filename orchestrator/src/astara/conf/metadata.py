"""Options about metadata: from the appliance's proxy through ours to Nova."""

from oslo_config import cfg

GROUP = None
OPTS = [
    cfg.HostAddressOpt(
        "nova_metadata_ip",
        default="127.0.0.1",
        help="Address of Nova's metadata API.",
    ),
    cfg.PortOpt(
        "nova_metadata_port",
        default=8775,
        help="Port of Nova's metadata API.",
    ),
    cfg.PortOpt(
        "astara_metadata_port",
        default=9697,
        help="Port on the management address at which appliances reach this orchestrator's "
        "metadata proxy.",
    ),
    cfg.StrOpt(
        "metadata_proxy_shared_secret",
        secret=True,
        deprecated_opts=[
            cfg.DeprecatedOpt("neutron_metadata_proxy_shared_secret"),
            cfg.DeprecatedOpt("quantum_metadata_proxy_shared_secret"),
        ],
        help="Secret shared with Nova (metadata_proxy_shared_secret of [neutron] in nova.conf). "
        "Required: without it anybody could ask for anybody's metadata.",
    ),
    cfg.FloatOpt(
        "metadata_max_skew",
        default=300.0,
        min=1.0,
        help="Seconds by which the clock of an appliance may differ from this node's. A metadata "
        "request signed longer ago is refused, so that one that was overheard cannot be repeated. "
        "Raise it only where hosts' clocks cannot be kept.",
    ),
    cfg.BoolOpt(
        "metadata_timeless",
        default=True,
        help="Whether metadata requests of appliances of the release before are answered, whose "
        "signatures hold no time and can be repeated. Switch it off when all appliances are "
        "rebuilt.",
    ),
]
