"""The routers that are compared, each on a site of its own.

    bare         forwarding and nothing else: no rule, no connection tracking
    masquerade   the least that a NAT router can do: one masquerade rule, tracking
    astara-N     what our interfaces and firewall drivers make of the document with N floating IPs
    linear-N     the same rules and addresses, but two nft rules for each floating IP, no maps
    neutron-N    what Neutron's own l3 code builds (`neutron_router`)

All but bare translate; bare reaches the tenant by a route of the outside host, so that the same
connections can be made.
"""

import dataclasses
import pathlib
import tempfile

from astara_appliance.drivers import interfaces
from astara_appliance.drivers.firewall import driver as firewall
from astara_appliance.drivers.firewall import elements, nft, skeleton
from astara_appliance.system import paths

from . import arena, neutron_router, router

MAPPED = ("floating_to_fixed", "fixed_to_floating")


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """A router in place."""

    name: str
    kind: str
    count: int
    site: arena.Site

    @property
    def floating(self) -> str:
        """Where the outside reaches a machine: the floating IP in the middle of the list."""
        public, fixed = router.floating_ip(self.count // 2)
        return public if self.count else fixed


def build(kind: str, count: int) -> Variant:
    """Build one variant with `count` floating IPs."""
    name = f"{kind}-{count}" if count else kind
    if kind == "neutron":
        return Variant(name, kind, count, _neutron(name, count))
    site = router.build_site(name, router.Devices())
    if kind in ("bare", "masquerade"):
        _plain(site, masquerade=kind == "masquerade")
    else:
        site.router.call(_astara, count, kind == "linear")
    return Variant(name, kind, count, site)


def new_paths() -> paths.Paths:
    """Return the layout of an appliance that has no state yet."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="appliance-", dir="/run"))
    root.chmod(0o755)  # dnsmasq gives up root before it reads its files
    return paths.Paths.under(root)


def linear_text(desired: firewall.Desired) -> str:
    """Return the driver's rules with one rule for each floating IP where it looks into a map.

    Sets stay sets: a guard that compared every packet with each floating IP would be a straw man.
    """
    rules = {
        name: "".join(
            f"\t\tip {'daddr' if name == MAPPED[0] else 'saddr'} {elements.key_of(item)} "
            f"{'dnat' if name == MAPPED[0] else 'snat'} ip to {elements.value_of(item)}\n"
            for item in sorted(desired.elements[name])
        )
        for name in MAPPED
    }
    text = desired.skeleton
    text = text.replace("\t\tdnat ip to ip daddr map @floating_to_fixed\n", rules[MAPPED[0]])
    text = text.replace("\t\tsnat ip to ip saddr map @fixed_to_floating\n", rules[MAPPED[1]])
    return text + additions(desired, without=MAPPED)


def additions(desired: firewall.Desired, without: tuple[str, ...] = ()) -> str:
    """Return the nft commands that fill the skeleton's sets and maps."""
    where = f"{skeleton.FAMILY} {skeleton.TABLE}"
    return "".join(
        f"add element {where} {name} {{ {', '.join(sorted(items))} }}\n"
        for name, items in desired.elements.items()
        if items and name not in without
    )


def _plain(site: arena.Site, *, masquerade: bool) -> None:
    router.add_addresses(site, router.Devices(), 0)
    site.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    site.outside.batch(f"route add 10.0.0.0/16 via {router.EXTERNAL}\n")
    if masquerade:
        rule = "type nat hook postrouting priority srcnat; oifname eth2 ct state new masquerade"
        site.router.run(
            "nft", "-f", "-", stdin=f"table ip nat {{\n chain post {{\n {rule}\n }}\n}}\n"
        )


def _astara(count: int, linear: bool) -> None:
    where, facts, document = new_paths(), router.facts(router.Devices()), router.document(count)
    nics = interfaces.InterfacesDriver(where)
    nics.apply(nics.diff(nics.observe(), nics.render(document, facts)))
    rules = firewall.FirewallDriver(where)
    desired = rules.render(document, facts)
    if linear:
        nft.Library().run(linear_text(desired))
        return
    rules.apply(rules.diff(rules.observe(), desired))
    rules.verify(desired)


def _neutron(name: str, count: int) -> arena.Site:
    built = neutron_router.NeutronRouter(name)
    built.apply(router.floating_ips(count))
    lines = [
        f"addr add {public}/32 dev {neutron_router.DEVICES.outside}"
        for public, _ in router.floating_ips(count)
    ]
    built.site.router.batch("\n".join(lines) + "\n")
    return built.site
