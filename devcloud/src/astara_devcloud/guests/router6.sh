#!/bin/sh
# Waits for a router advertisement on a NIC and does what the kernel leaves to others: name servers,
# and a DHCPv6 client where the flags ask for one. Addresses by SLAAC are the kernel's.
nic=$1
state=/run/tenant

# The answer is wanted when the router comes, which may be long after us.
until answer=$(rdisc6 -1 -r 1 -w 1000 "$nic" 2>/dev/null); do
    [ -e "/sys/class/net/$nic" ] || exit 0
    sleep 2
done

flag() { # flag NAME: Yes or No
    echo "$answer" | sed -n "s/^ *Stateful $1 conf\\. *: *\\([A-Z][a-z]*\\).*/\\1/p"
}

echo "$answer" | sed -n 's/^ *Recursive DNS server *: *\([0-9a-f:]*\).*/nameserver \1/p' |
    "$state/resolv-put" "$nic.ra"
managed=$(flag address)
other=$(flag other)
echo "tenant: $nic: router advertisement, managed $managed, other $other"
set -- -6 -d -sf "$state/dhcp6" -lf "$state/$nic.leases6" -pf "$state/$nic.pid6"
if [ "$managed" = Yes ]; then
    exec dhclient "$@" -D LL "$nic" >/dev/null 2>&1
elif [ "$other" = Yes ]; then
    exec dhclient "$@" -S "$nic" >/dev/null 2>&1
fi
