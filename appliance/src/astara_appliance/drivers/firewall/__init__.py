"""Filtering and NAT of the appliance: one nftables table, changed by its elements.

`skeleton` holds the rules, which never change at run time; `elements` computes what is in their
sets and maps; `nft` talks to the kernel; `conntrack` ends connections whose translation has gone;
`counters` reads what the sets have counted; `driver` ties them to the drivers' verbs.
"""

from .driver import RECORD, FirewallDriver

__all__ = ["RECORD", "FirewallDriver"]
