"""The kernel's own doubt whether this appliance is the master.

A NIC of the router's networks lets nothing in, not even ARP, unless a lease is fresh. Nothing of
our own, such as a router advertisement, leaves by it either, nor do keepalived's adverts by
management.
The lease is renewed by a datagram of the guard to itself, which passes only while keepalived sends
adverts. So a guard or a keepalived that hangs, dies or wakes up late leaves a silent appliance,
whatever addresses it still has: the kernel needs nobody to end it.

Renewing goes by a packet and not by nftables' own interface, because each change of a ruleset
makes everybody who is listing it start anew. Called by `guard`; its driver looks whether the
tables are there.
"""

import socket
from collections.abc import Mapping

from ..drivers.firewall import nft

TABLE = "astara_pair"
PORT = 3781
_VRRP = 112


def text(management: str, carriers: Mapping[str, int], lease_s: float) -> str:
    """Return the commands that make both tables anew, without a lease.

    A set needs a key; all packets meant here carry the mark 0, which is as good as any.
    """
    timeout = f"timeout {round(lease_s * 1000)}ms"
    fresh = "\tset lease {\n\t\ttype mark\n\t\tflags dynamic,timeout\n\t}\n"
    heard = fresh.replace("lease", "advert", 1)
    chains = "".join(_guarded(index, device) for device, index in sorted(carriers.items()))
    return f"""{removal()}table netdev {TABLE} {{
{fresh}	chain heartbeat {{
		type filter hook ingress device "lo" priority -500; policy accept;
		udp dport {PORT} update @lease {{ meta mark {timeout} }} drop
	}}
{chains}}}
table inet {TABLE} {{
{fresh}{heard}	chain output {{
		type filter hook output priority -300; policy accept;
		meta l4proto {_VRRP} jump advert
		oifname "lo" udp dport {PORT} jump heartbeat
		oifname != {{ "lo", "{management}" }} meta mark != @lease drop
	}}
	chain advert {{
		update @advert {{ meta mark {timeout} }}
		meta mark != @lease drop
	}}
	chain heartbeat {{
		meta skuid != 0 drop
		meta mark != @advert drop
		update @lease {{ meta mark {timeout} }} notrack
	}}
}}
"""


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Return the commands that guard the new carriers and free the former ones; leases stay."""
    gone = [index for device, index in before.items() if after.get(device) != index]
    freed = "".join(
        # An unplugged device takes its chain along.
        f"add chain netdev {TABLE} c{index}\ndelete chain netdev {TABLE} c{index}\n"
        for index in gone
    )
    new = {device: index for device, index in after.items() if before.get(device) != index}
    chains = "".join(_guarded(index, device) for device, index in sorted(new.items()))
    return freed + (f"table netdev {TABLE} {{\n{chains}}}\n" if chains else "")


def removal() -> str:
    """Return the commands that remove both tables, whether or not they are there."""
    return "".join(
        f"add table {family} {TABLE}\ndelete table {family} {TABLE}\n"
        for family in ("netdev", "inet")
    )


def closing() -> str:
    """Return the commands that end the lease at once."""
    return "".join(f"flush set {family} {TABLE} lease\n" for family in ("netdev", "inet"))


def is_up(tool: nft.Nft) -> bool:
    """Tell whether both tables are in the kernel."""
    tables = tool.run("list tables\n").splitlines()
    return {f"table netdev {TABLE}", f"table inet {TABLE}"} <= set(tables)


class Lease:
    """Renews the lease."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def renew(self) -> bool:
        """Ask for another lease; return whether the kernel lets us, which takes adverts."""
        try:
            self._socket.sendto(b"", ("127.0.0.1", PORT))
        except PermissionError:
            return False
        return True


def _guarded(index: int, device: str) -> str:
    return (
        f"\tchain c{index} {{\n"
        f'\t\ttype filter hook ingress device "{device}" priority -500; policy accept;\n'
        "\t\tmeta mark @lease accept\n"
        "\t\tcounter drop\n"
        "\t}\n"
    )
