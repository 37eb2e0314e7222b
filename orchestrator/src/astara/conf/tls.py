"""Options about mutual TLS between the orchestrator and its appliances."""

from oslo_config import cfg

GROUP = "tls"
OPTS = [
    cfg.BoolOpt(
        "enabled",
        default=True,
        help="Speak TLS 1.3 with certificates on both sides to appliances, and give each its "
        "certificate at boot. Turn it off only for simulators, or where the management network is "
        "trusted as a whole: whoever is on it could then configure every router.",
    ),
    cfg.BoolOpt(
        "accept_plaintext",
        default=False,
        help="Speak plaintext to appliances that were booted without a certificate, until they "
        "are rebuilt. When off, such an appliance counts as silent and is rebuilt. Turn it on "
        "while a cloud is upgraded, so that routers can be rebuilt one by one.",
    ),
    cfg.StrOpt(
        "secret",
        secret=True,
        help="Secret that closes the private keys of the authorities in the database; the same on "
        "all nodes. When it is lost, authorities have to be made anew and appliances rebuilt. "
        "Default: metadata_proxy_shared_secret, which Nova knows as well.",
    ),
    cfg.IntOpt(
        "certificate_lifetime",
        default=7 * 86400,
        min=600,
        help="Seconds for which a certificate is valid. It is replaced by the first health check "
        "after half of that.",
    ),
    cfg.IntOpt(
        "renewal_grace",
        default=90 * 86400,
        min=0,
        help="Seconds after the end of a certificate for which an appliance that missed its "
        "renewals is still given a new one. After that it counts as silent and is rebuilt.",
    ),
    cfg.IntOpt(
        "authority_lifetime",
        default=10 * 365 * 86400,
        min=86400,
        help="Seconds for which a new authority is valid. Replace it in time: astara-pki rotate.",
    ),
]
