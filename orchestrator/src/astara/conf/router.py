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
    cfg.ListOpt(
        "functions",
        default=[],
        help="Network functions of other packages that routers may have, by the names under "
        "which those packages offer them (docs/network-functions.md). None by default: an "
        "appliance refuses a section that its image has no driver for.",
    ),
]
