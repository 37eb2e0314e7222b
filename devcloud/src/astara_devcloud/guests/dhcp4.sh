#!/bin/sh
# What udhcpc calls with the news about a lease (environment: see busybox, examples/udhcp).

write_resolv() {
    {
        [ -n "$domain" ] && echo "search $domain"
        for server in $dns; do
            echo "nameserver $server"
        done
    } | /run/tenant/resolv-put "$interface.dhcp4"
}

write_routes() {
    ip -4 route flush dev "$interface" proto dhcp
    # RFC 3442: where there are classless routes, the router option does not count.
    if [ -n "$staticroutes" ]; then
        # shellcheck disable=SC2086 # pairs of words are what it holds
        set -- $staticroutes
        while [ "$#" -ge 2 ]; do
            via="via $2"
            [ "$2" = 0.0.0.0 ] && via=
            # shellcheck disable=SC2086
            ip -4 route replace "$1" $via dev "$interface" proto dhcp onlink
            shift 2
        done
    else
        for gateway in $router; do
            ip -4 route replace default via "$gateway" dev "$interface" proto dhcp
            break
        done
    fi
}

case "$1" in
deconfig)
    ip -4 address flush dev "$interface"
    : | /run/tenant/resolv-put "$interface.dhcp4"
    ;;
bound | renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip -4 address replace "$ip/$mask" broadcast + dev "$interface" \
        valid_lft "$lease" preferred_lft "$lease"
    write_routes
    write_resolv
    [ "$1" = bound ] && echo "tenant: $interface: lease $ip/$mask from $serverid, router" \
        "${router:-none}, routes ${staticroutes:-none}, dns ${dns:-none}," \
        "mtu ${mtu:-not given}" >>/proc/1/fd/1
    ;;
esac
exit 0
