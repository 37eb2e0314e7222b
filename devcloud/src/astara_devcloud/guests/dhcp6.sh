#!/bin/sh
# What dhclient -6 calls with the news about a lease (environment: dhclient-script(8)).

case "$reason" in
BOUND6 | RENEW6 | REBIND6) # RENEW6 is also the answer to an information request
    if [ -n "$new_ip6_address" ]; then
        # RFC 8415: the prefix length is the router's business; what is on the link, it says.
        ip -6 address replace "$new_ip6_address/128" dev "$interface" \
            valid_lft "$new_max_life" preferred_lft "$new_preferred_life"
    fi
    for server in $new_dhcp6_name_servers; do
        echo "nameserver $server"
    done | /run/tenant/resolv-put "$interface.dhcp6"
    [ "$new_ip6_address" = "$old_ip6_address" ] && [ -n "$new_ip6_address" ] ||
        echo "tenant: $interface: dhcpv6 ${new_ip6_address:-no address}," \
            "dns ${new_dhcp6_name_servers:-none}" >>/proc/1/fd/1
    ;;
EXPIRE6 | RELEASE6 | STOP6)
    [ -n "$old_ip6_address" ] && ip -6 address del "$old_ip6_address/128" dev "$interface"
    : | /run/tenant/resolv-put "$interface.dhcp6"
    ;;
esac
exit 0
