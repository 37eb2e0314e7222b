"""What network functions get of the firewall: elements, never rules.

Ports and protocols are answered on external networks alone, to the sources that a function names;
a function's devices exchange packets with internal networks, untranslated, and with nothing else.
Pure; called by `elements`.
"""

import ipaddress
from collections import defaultdict

from .. import base, links
from . import nft


def elements(needs: base.Openings) -> dict[str, set[str]]:
    """Return the elements that let through what is needed."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for device in needs.tunnels:
        name = f'"{links.vetted(device)}"'
        found["tunnel_if"].add(name)
        found["forward_zone"].add(f"{name} : jump forward_tunnel")
    for (name, what), sources in _sources(needs.ports).items():
        for version in (4, 6):
            of_version = [source for source in sources if source.version == version]
            # Merged: nftables takes no element twice, nor one within another.
            merged = ipaddress.collapse_addresses(of_version)  # type: ignore[type-var]
            found[f"{name}{version}"].update(f"{_shown(source)} . {what}" for source in merged)
    return dict(found)


def _sources(
    ports: tuple[base.Opening, ...],
) -> dict[tuple[str, str], set[links.AnyNetwork]]:
    """Return who is answered, by kind of set and by what it is."""
    found: defaultdict[tuple[str, str], set[links.AnyNetwork]] = defaultdict(set)
    for opening in ports:
        sources = {ipaddress.ip_network(text) for text in opening.sources}
        if opening.udp_port is not None:
            found["open_udp", str(opening.udp_port)] |= sources
        if opening.protocol is not None:
            name = nft.protocol_name(opening.protocol)
            found["open_protocol", name] |= sources
    return found


def _shown(source: links.AnyNetwork) -> str:
    """Spell a source as nft lists it."""
    return str(source.network_address if source.prefixlen == source.max_prefixlen else source)
