"""Options about traces: the way of one change, for OpenTelemetry."""

from oslo_config import cfg

GROUP = "tracing"
OPTS = [
    cfg.URIOpt(
        "otlp_endpoint",
        schemes=["http", "https"],
        mutable=True,
        sample_default="http://collector.example:4318",
        help="Where spans are sent, by OTLP over HTTP; /v1/traces is added. Without it, none "
        "are made and they cost nothing. Needs the packages of `astara[tracing]`.",
    ),
    cfg.FloatOpt(
        "sample_ratio",
        default=1.0,
        min=0,
        max=1,
        mutable=True,
        help="Share of the changes that are traced. Routine looks at appliances and audits never "
        "are. Lower it where thousands of changes a minute are more than the collector wants.",
    ),
]
