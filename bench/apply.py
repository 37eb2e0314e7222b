"""Apply: seconds until N floating IPs are in force from nothing, and until one more or less is.

Times what each maker of rules does itself, in one process and one after the other, round by round:
our drivers with all their verbs (render, check, observe, diff, apply, verify), nftables text that
replaces everything, and Neutron's own code. The whole appliance with its API is topic `agent`.
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from astara_appliance.drivers import base, interfaces, registry
from astara_appliance.drivers.firewall import driver as firewall

from . import arena, neutron_router, report, router, variants

COUNTS = (1, 100, 1000, 10000)
QUICK_COUNTS = (1, 1000)
_ADDRESSES_TRIED = 50
_ROWS = {
    "firewall driver": "our rules: all verbs of the firewall driver, by libnftables and netlink",
    "interfaces driver": "our addresses: all verbs of the interfaces driver",
    "nft, maps, whole table": "the same table replaced as a whole by forking nft",
    "nft, linear, whole table": "two rules for each floating IP instead of maps, by forking nft",
    "neutron": "Neutron's RouterInfo and IptablesManager: rules only",
    "iptables-restore": "what Neutron built, by one iptables-restore into empty tables",
}


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Time every way for each number of floating IPs."""
    counts, rounds = (QUICK_COUNTS, 2) if quick else (COUNTS, 5)
    devices = router.Devices()
    site = router.build_site("apply", devices)
    neutron = neutron_router.NeutronRouter("apply-neutron")
    spent: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        for count in counts:
            print(f"round {number + 1} of {rounds}, {count} floating IPs", file=sys.stderr)
            for (row, what), milliseconds in _round(site, neutron, devices, count).items():
                spent[row, count, what].append(milliseconds)
    return {
        "machine": report.machine(),
        "unit": "ms, median of the rounds",
        "rows": _ROWS,
        "rounds": rounds,
        "figures": [
            {"what": row, "floating_ips": count, "change": what, **report.summary(values)}
            for (row, count, what), values in spent.items()
        ],
        "neutron_ms_per_address": _neutron_address_ms(neutron),
    }


def _round(
    site: arena.Site, neutron: neutron_router.NeutronRouter, devices: router.Devices, count: int
) -> dict[tuple[str, str], float]:
    found = {}
    for row, timed in (("firewall driver", _firewall), ("interfaces driver", _interfaces)):
        for what, milliseconds in site.router.call(timed, devices, count).items():
            found[row, what] = milliseconds
    for row, linear in (("nft, maps, whole table", False), ("nft, linear, whole table", True)):
        found[row, "nothing to all"] = site.router.call(_replace, devices, count, linear)
    for what, milliseconds in _neutron(neutron, count).items():
        found["neutron", what] = milliseconds
    found["iptables-restore", "nothing to all"] = _restore(neutron, count)
    return found


def _firewall(devices: router.Devices, count: int) -> dict[str, float]:
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    return _steps(firewall.FirewallDriver(variants.new_paths()), devices, count)


def _interfaces(devices: router.Devices, count: int) -> dict[str, float]:
    for device in (devices.inside, devices.outside):
        subprocess.run(["ip", "addr", "flush", "dev", device], check=True, capture_output=True)
        subprocess.run(["ip", "link", "set", device, "down"], check=True)
    return _steps(interfaces.InterfacesDriver(variants.new_paths()), devices, count)


def _steps(driver: registry.AnyDriver, devices: router.Devices, count: int) -> dict[str, float]:
    """Time a driver from an appliance that has just booted to `count`, to one more, and back; then
    from a router without floating IPs to `count`.
    """
    facts = router.facts(devices)

    def push(number: int) -> Callable[[], None]:
        wanted = router.document(number)
        return lambda: _push(driver, wanted, facts)

    found = {
        "nothing to all": milliseconds(push(count)),
        "one more": milliseconds(push(count + 1)),
        "one less": milliseconds(push(count)),
    }
    push(0)()
    return found | {"zero to all, live": milliseconds(push(count))}


def _push(driver: registry.AnyDriver, document: Any, facts: base.Facts) -> None:
    desired = driver.render(document, facts)
    driver.check(desired)
    change = driver.diff(driver.observe(), desired)
    driver.apply(change)
    driver.verify(desired)


def _replace(devices: router.Devices, count: int, linear: bool) -> float:
    driver = firewall.FirewallDriver(variants.new_paths())
    desired = driver.render(router.document(count), router.facts(devices))
    text = (
        variants.linear_text(desired) if linear else desired.skeleton + variants.additions(desired)
    )
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    return milliseconds(lambda: arena.run("nft", "-f", "-", stdin=text))


def _neutron(neutron: neutron_router.NeutronRouter, count: int) -> dict[str, float]:
    neutron.apply([])
    pairs = router.floating_ips(count + 1)
    return {
        "nothing to all": milliseconds(lambda: neutron.apply(pairs[:-1])),
        "one more": milliseconds(lambda: neutron.apply(pairs)),
        "one less": milliseconds(lambda: neutron.apply(pairs[:-1])),
    }


def _restore(neutron: neutron_router.NeutronRouter, count: int) -> float:
    text, room = neutron.rules(), neutron.site.router
    room.run("nft", "flush", "ruleset")
    spent = room.call(lambda: milliseconds(lambda: arena.run("iptables-restore", stdin=text)))
    if room.run("iptables-save", "-t", "nat").count("-j DNAT") != 2 * count:
        raise RuntimeError("iptables-restore did not bring all rules back")
    return spent


def _neutron_address_ms(neutron: neutron_router.NeutronRouter) -> float:
    """Return what one address of a floating IP costs Neutron's code, without its arping."""
    pairs = router.floating_ips(_ADDRESSES_TRIED)
    return report.rounded(milliseconds(lambda: neutron.add_addresses(pairs)) / len(pairs))


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1e3


def shown(result: dict[str, Any]) -> Sequence[str]:
    """Return one table: a row for each way and change, a column for each number."""
    counts = sorted({item["floating_ips"] for item in result["figures"]})
    rows: dict[str, dict[str, Any]] = {}
    for item in result["figures"]:
        name = f"{item['what']}: {item['change']}"
        rows.setdefault(name, {"ms": name})[str(item["floating_ips"])] = item["median"]
    told = f"Neutron's address of one floating IP: {result['neutron_ms_per_address']:g} ms"
    heads = ["ms", *map(str, counts)]
    return [report.table([{head: row.get(head) for head in heads} for row in rows.values()]), told]
