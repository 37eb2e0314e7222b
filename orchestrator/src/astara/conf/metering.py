"""Options about the traffic that appliances count: how often it is read, and who is told."""

from oslo_config import cfg

GROUP = "metering"
OPTS = [
    cfg.FloatOpt(
        "period",
        default=300,
        min=0,
        help="Seconds in which the counters of every appliance are read once; the reads are "
        "spread evenly. 0: they are not read. Shorter costs two requests per appliance and "
        "period, and loses less of what is counted just before an appliance ends.",
    ),
    cfg.BoolOpt(
        "per_router",
        default=False,
        help="Whether metrics name routers: traffic, and the end of the appliance's certificate. "
        "Costs some ten series per router; Prometheus and a node with thousands feel that.",
    ),
    cfg.BoolOpt(
        "notify",
        default=False,
        deprecated_name="enabled",
        deprecated_group="ceilometer",
        help="Whether what was read is sent to the message bus as notifications "
        "`astara.bandwidth.used`. Costs each worker some 40 MiB for the message bus.",
    ),
    cfg.StrOpt(
        "topic",
        default="notifications",
        deprecated_name="topic",
        deprecated_group="ceilometer",
        help="Topic of these notifications; the priority `.info` is added by oslo.messaging.",
    ),
]
