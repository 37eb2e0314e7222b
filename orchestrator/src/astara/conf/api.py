"""Options of the operators' tools: the HTTP API, and how long a node has to answer."""

from oslo_config import cfg

GROUP = None
OPTS = [
    cfg.HostAddressOpt(
        "api_listen",
        sample_default="the management address of this node",
        help="Address of the operators' HTTP API. By default that of this node on the management "
        "network, where tenants cannot reach it. Needed with interface_driver = null.",
    ),
    cfg.PortOpt(
        "api_port",
        default=44250,
        deprecated_name="rug_api_port",
        help="Port of the operators' HTTP API.",
    ),
    cfg.IntOpt(
        "api_threads",
        default=8,
        min=1,
        max=64,
        help="Requests that the HTTP API serves at a time; others wait. One dashboard needs one.",
    ),
    cfg.StrOpt(
        "api_cert_file",
        help="PEM file with the certificate of the HTTP API; with api_key_file it speaks TLS.",
    ),
    cfg.StrOpt("api_key_file", help="PEM file with the key to api_cert_file."),
    cfg.StrOpt(
        "auth_strategy",
        default="keystone",
        choices=[
            ("keystone", "a request carries a keystone token that policy allows"),
            ("noauth", "whoever reaches the port may do everything"),
        ],
        help="How the HTTP API knows who asks. Choose `noauth` only where nobody but operators "
        "reaches api_listen; appliances do reach the management network.",
    ),
    cfg.StrOpt(
        "metrics_token",
        secret=True,
        help="Secret that Prometheus sends as `Authorization: Bearer ...` to read /metrics of the "
        "HTTP API. Without it /metrics wants a keystone token, like all views.",
    ),
    cfg.FloatOpt(
        "command_timeout",
        default=15,
        min=1,
        help="Seconds a node has to answer a command or a view of the tools. Raise it for nodes "
        "with tens of thousands of resources.",
    ),
]
