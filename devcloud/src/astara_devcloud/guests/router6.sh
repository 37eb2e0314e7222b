#!/bin/sh
# Asks once for a router advertisement and does what the kernel leaves to others: name servers, and
# a DHCPv6 client where the flags ask for one. Addresses by SLAAC are the kernel's.
nic=$1
resolv=/run/tenant/resolv

# The answer is wanted when the router comes, which may be long after us.
until answer=$(rdisc6 -1 -r 1 -w 1000 "$nic" 2>/dev/null); do
    [ -e "/sys/class/net/$nic" ] || exit 0
    sleep 3
done

echo "$answer" | sed -n 's/^ *Recursive DNS server *: *\([0-9a-f:]*\).*/nameserver \1/p' \
    >"$resolv/$nic.ra"
cat "$resolv"/* >/etc/resolv.conf
case "$answer" in
*"Stateful address conf."*": "*Yes*"Stateful other conf."*) mode=managed ;;
*"Stateful other conf."*": "*Yes*) mode=other ;;
*) mode=slaac ;;
esac
echo "tenant: $nic: router advertisement says $mode"
