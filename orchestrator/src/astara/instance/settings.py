"""What instances need of the configuration, as plain values.

Decides nothing; the only module of this package that knows names of options (beside
``factory``). Called once per process.
"""

import logging
import pathlib
from dataclasses import dataclass, field
from typing import Any

from ..drivers.router.bgp import Policy
from . import provider_rules

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Values that stay the same for the life of a process."""

    host: str
    management_network_id: str
    management_subnet_id: str
    image_id: str
    flavor: str
    api_port: int
    alive_timeout_s: float
    config_timeout_s: float
    metadata_port: int
    metadata_secret: str
    ssh_public_key: str = ""
    dns_forwarders: tuple[str, ...] = ()
    dns_domain: str = ""
    functions: tuple[str, ...] = ()
    function_sections: str = ""
    bgp: Policy = field(default_factory=Policy)
    proxy_ndp: bool = False
    flow_offload: bool = False
    log_json: bool = False
    pair_affinity: str = "soft-anti-affinity"
    pair_advert_interval_ms: int = 100
    cooldown_s: float = 30.0
    cooldown_max_s: float = 900.0
    labels: provider_rules.Labels = field(default_factory=dict)


def from_conf(conf: Any) -> Settings:
    """Read the settings from a parsed oslo.config object."""
    return Settings(
        host=conf.host,
        management_network_id=conf.management_network_id,
        management_subnet_id=conf.management_subnet_id,
        image_id=conf.router.image_uuid,
        flavor=conf.router.instance_flavor,
        api_port=conf.router.mgt_service_port,
        alive_timeout_s=conf.alive_timeout,
        config_timeout_s=conf.config_timeout,
        metadata_port=conf.astara_metadata_port,
        metadata_secret=conf.metadata_proxy_shared_secret,
        ssh_public_key=_read_key(conf.ssh_public_key),
        dns_forwarders=tuple(conf.dns_forwarders),
        dns_domain=conf.dns_domain or "",
        functions=tuple(conf.router.functions),
        function_sections=conf.router.function_sections,
        proxy_ndp=conf.router.proxy_ndp,
        flow_offload=conf.router.flow_offload,
        log_json=getattr(conf, "use_json", False),  # tools have no options of logs
        pair_affinity=conf.router.pair_affinity,
        pair_advert_interval_ms=conf.router.pair_advert_interval,
        cooldown_s=conf.error_state_cooldown,
        cooldown_max_s=conf.error_state_cooldown_max,
        bgp=_bgp(conf.router),
        labels=provider_rules.read(conf.router.provider_rules_path),
    )


def _bgp(router: Any) -> Policy:
    return Policy(
        gateways=router.bgp,
        asn=router.asn,
        neighbor_asn=router.neighbor_asn,
        password=router.bgp_password,
        bfd=router.bgp_bfd,
        accept=tuple(router.bgp_accept),
    )


def _read_key(path: str) -> str:
    """Read the public key; without one, appliances boot and nobody can log in."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        LOG.info("ssh_public_key.absent path=%s reason=%s", path, error)
        return ""
