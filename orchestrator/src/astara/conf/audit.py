"""Options about the audit, which finds what notifications did not tell."""

from oslo_config import cfg

GROUP = "audit"
OPTS = [
    cfg.FloatOpt(
        "interval",
        default=120,
        min=1,
        help="Seconds between audits. One audit reads the ids and generations of all resources, "
        "some hundred per request; it bounds how long a lost event stays unnoticed.",
    ),
    cfg.IntOpt(
        "page_size",
        default=500,
        min=1,
        max=5000,
        help="Resources per request of the audit.",
    ),
    cfg.FloatOpt(
        "orphan_grace",
        default=60,
        min=0,
        help="Seconds for which a server or port without resource must have been seen before it "
        "is removed, so that one that is just being made is left alone.",
    ),
]
