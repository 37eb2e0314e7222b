"""DHCP, DNS and router advertisements for tenant networks, by one dnsmasq.

`service` decides what each subnet is served, `options` what hosts are told, `hosts` which host has
which address and name, `config` writes it in dnsmasq's language, `leases` finds leases that a
reservation contradicts, `driver` ties them to the drivers' verbs.
"""

from .driver import DhcpDriver

__all__ = ["DhcpDriver"]
