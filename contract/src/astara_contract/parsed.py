"""Addresses read from text, each text once: the same few are looked at again and again.

A push reads every address of its document some five times, when the document is made and when it
is checked, and to read one is most of what that costs. Pure; holds a bounded number. The objects
are immutable, so that all may share them. Raises what `ipaddress` raises. Used by the rules of the
contract and by those who build documents.
"""

import functools
import ipaddress

_KEPT = 2048

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@functools.lru_cache(_KEPT)
def address(text: str) -> Address:
    """Read an address."""
    return ipaddress.ip_address(text)


@functools.lru_cache(_KEPT)
def network(text: str) -> Network:
    """Read a network, whose host bits must be zero."""
    return ipaddress.ip_network(text)


@functools.lru_cache(_KEPT)
def interface(text: str) -> Interface:
    """Read an address with the length of its prefix."""
    return ipaddress.ip_interface(text)
