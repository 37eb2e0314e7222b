"""The certificates of simulated appliances: as a boot would have handed them over.

Each is drawn by the orchestrator's own authority through its own code, so that its database knows
the appliance. A connection gets the context of the appliance whose name it asks for.
"""

import pathlib
import ssl
from collections.abc import Iterable

from astara import conf, store
from astara.pki import trust
from astara_appliance.system import tls


def issued(config: pathlib.Path, router_ids: Iterable[str]) -> ssl.SSLContext | None:
    """Give the context to listen with; None if the configuration says plaintext."""
    conf.load(["--config-file", str(config)])
    opened = store.open_store(conf.CONF)
    trusted = trust.from_conf(conf.CONF, opened)
    if trusted is None:
        opened.close()
        return None
    bundles = [trusted.first(router_id) for router_id in router_ids]
    opened.close()
    contexts = {bundle.name: tls.context_of(bundle) for bundle in bundles}

    def choose(link: ssl.SSLObject, name: str | None, _default: ssl.SSLContext) -> int | None:
        if name not in contexts:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        link.context = contexts[name]
        return None

    listening = tls.context_of(bundles[0])
    listening.sni_callback = choose
    return listening
