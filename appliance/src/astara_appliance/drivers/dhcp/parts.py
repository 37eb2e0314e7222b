"""Which dnsmasq processes share an appliance's work, and what each is told.

Few hosts: one does everything. Many: one answers for names, which no reload of reservations may
hold up, one advertises and speaks DHCPv6, and each of the shards hands out the IPv4 addresses of
its hosts. A question about IPv4 reaches all shards (`fan_out`); those that do not know its sender
keep silent. DHCPv6 is not shared out: dnsmasq would answer there for hosts that it does not know,
and has no work that grows with leases times reservations. Pure; called by `driver`.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from . import hosts, shards
from .config import Config

_EVERYTHING, _VERSION_6 = "dnsmasq", "dnsmasq-v6"
NAME = re.compile(r"dnsmasq(-v6|-[0-9]+of[0-9]+)?")
_LEASES = re.compile(r"dnsmasq-[0-9]+of([0-9]+)\.leases")
_NO_NAMES = "port=0"
_KNOWN_ONLY = "dhcp-ignore=tag:!known"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One dnsmasq."""

    name: str
    """As a daemon."""

    base: str
    """What needs a restart, without the paths of the other files, which `driver` adds."""

    files: Mapping[str, str]
    """What SIGHUP reads again: names, reservations, options, servers."""

    hands_out: bool = True

    @property
    def folder(self) -> str:
        """Where its files are, below dnsmasq's own directory."""
        return self.name.partition("-")[2]

    @property
    def lease_file(self) -> str:
        """The name of its lease file; empty if it leases nothing."""
        return _lease_file(self.name) if self.hands_out else ""


def parts(of: Config, count: int) -> tuple[Part, ...]:
    """Return the processes for `count` shards."""
    if not count:
        return (_everything(of),)
    v6 = (_version_6(of),) if _ranges(of, 6) else ()
    shared: list[list[str]] = [[] for _ in range(count)]
    for line in hosts.of_version(of.reservations, 4):
        shared[shards.shard_of(line.partition(",")[0], count)].append(line)
    shard = (_shard(of, number, count, lines) for number, lines in enumerate(shared))
    return (_names(of), *v6, *shard)


def count_of(lease_files: Iterable[str]) -> int:
    """Return how many shards these names of lease files are of; 0 if not of shards."""
    found = (_LEASES.fullmatch(name) for name in lease_files)
    return max((int(match[1]) for match in found if match), default=0)


def placing(lease_files: Collection[str]) -> Callable[[str, str], str]:
    """Return the function of address and MAC that tells in which of `lease_files` the lease
    belongs; empty if in none.
    """
    count = count_of(lease_files)

    def place(address: str, mac: str) -> str:
        if not count:
            name = _lease_file(_EVERYTHING)
        elif ":" in address:
            name = _lease_file(_VERSION_6)
        else:
            name = _lease_file(_shard_name(shards.shard_of(mac, count), count))
        return name if name in lease_files else ""

    return place


def _everything(of: Config) -> Part:
    tags, options = _of_ports(of, lambda _: True)
    lines = [*of.heading, *of.leasing, *of.domain, *_advertises(of)]
    return Part(
        _EVERYTHING,
        _text([*lines, *_ranges(of, 4, 6), *tags, *of.advertising]),
        {
            "names": _text(of.names),
            "reservations": _text(of.reservations),
            "options": _text([*of.subnet_options, *options]),
            "servers": _text(of.servers),
        },
    )


def _names(of: Config) -> Part:
    lines = [*of.heading, *of.domain]
    return Part(
        _EVERYTHING, _text(lines), {"names": _text(of.names), "servers": _text(of.servers)}, False
    )


def _version_6(of: Config) -> Part:
    tags, options = _of_ports(of, lambda _: True)
    lines = [*of.heading, _NO_NAMES, *of.leasing, *of.domain, *_advertises(of)]
    return Part(
        _VERSION_6,
        _text([*lines, *_ranges(of, 6), *tags, *of.advertising]),
        {
            "reservations": _text(hosts.of_version(of.reservations, 6)),
            "options": _text([*of.subnet_options, *options]),
        },
    )


def _shard(of: Config, number: int, count: int, reservations: list[str]) -> Part:
    macs = {line.partition(",")[0] for line in reservations}
    tags, options = _of_ports(of, macs.__contains__)
    lines = [*of.heading, _NO_NAMES, *of.leasing, _KNOWN_ONLY, *of.domain]
    return Part(
        _shard_name(number, count),
        _text([*lines, *_ranges(of, 4), *tags]),
        {
            "reservations": _text(reservations),
            "options": _text([*of.subnet_options, *options]),
        },
    )


def _ranges(of: Config, *versions: int) -> list[str]:
    return [line for version, line in of.ranges if version in versions]


def _advertises(of: Config) -> list[str]:
    return ["enable-ra"] if _ranges(of, 6) else []


def _of_ports(of: Config, belongs: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return the lines that name ports which have options of their own, and those options."""
    ports = [port for port in of.ports if belongs(port.mac)]
    tags = [f"dhcp-mac=set:{port.tag},{port.mac}" for port in ports]
    return tags, [line for port in ports for line in port.lines]


def _shard_name(number: int, count: int) -> str:
    return f"dnsmasq-{number + 1}of{count}"


def _lease_file(name: str) -> str:
    return f"{name}.leases"


def _text(lines: Iterable[str]) -> str:
    """Return `lines` as a file."""
    return "".join(f"{line}\n" for line in lines)
