"""DHCP, DNS and router advertisements for tenant networks, by dnsmasq.

`service` decides what each subnet is served, `options` what hosts are told, `hosts` which host has
which address and name, `config` writes it in dnsmasq's language. One dnsmasq does it all until
there are more hosts than it can reload at once: `shards` says how many share them, `parts` what
each is told, `fan_out` lets all of them hear renewals. `leases` finds leases that a reservation
contradicts and shares them out, `release` ends them, `folders` knows the files, `driver` ties all
to the drivers' verbs.
"""

from .driver import DhcpDriver

__all__ = ["DhcpDriver"]
