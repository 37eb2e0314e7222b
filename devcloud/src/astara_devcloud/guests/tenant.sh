#!/bin/sh
# PID 1 of a tenant VM: DHCP on every NIC, SLAAC by the kernel, DHCPv6 where the router says so, an
# HTTP server, and a metadata client once at boot. NICs may come and go.
STATE=/run/tenant
METADATA_PATIENCE_S=600

say() {
    echo "tenant: $*"
}

stop() {
    trap '' TERM
    say "stopping"
    kill -TERM -1 2>/dev/null
    sleep 0.2 &
    wait $!
    exit 0
}

settle() { # give a new NIC its clients
    nic=$1
    sysctl -qw "net.ipv6.conf.$nic.accept_ra=1" "net.ipv6.conf.$nic.autoconf=1" \
        "net.ipv6.conf.$nic.disable_ipv6=0"
    ip link set "$nic" up
    say "$nic: up, $(cat "/sys/class/net/$nic/address"), mtu $(cat "/sys/class/net/$nic/mtu")"
    busybox udhcpc -f -i "$nic" -s "$STATE/dhcp4" -x "hostname:$(cat /etc/hostname)" \
        -O staticroutes -O mtu -t 30 -T 1 -A 2 >/dev/null 2>&1 &
    echo $! >"$STATE/$nic.clients"
    sh "$GUEST_FILES/router6.sh" "$nic" &
    echo $! >>"$STATE/$nic.clients"
}

look() { # called at every change of links and addresses
    for device in /sys/class/net/eth*; do
        [ -e "$device" ] && [ ! -e "$STATE/${device##*/}.clients" ] && settle "${device##*/}"
    done
    for file in "$STATE"/*.clients; do
        [ -e "$file" ] || continue
        nic=$(basename "$file" .clients)
        [ -e "/sys/class/net/$nic" ] && continue
        xargs kill <"$file" 2>/dev/null
        rm -f "$file"
        for source in dhcp4 dhcp6 ra; do
            : | "$STATE/resolv-put" "$nic.$source"
        done
        say "$nic: gone"
    done
    addresses=$(ip -brief address show scope global | tr -s ' ' | tr '\n' ';')
    [ "$addresses" = "$shown" ] || say "addresses: $addresses"
    shown=$addresses
}

fetch_metadata() {
    path=openstack/latest/meta_data.json
    deadline=$(($(date +%s) + METADATA_PATIENCE_S))
    pause=1
    while [ "$(date +%s)" -lt "$deadline" ]; do
        for url in "http://169.254.169.254/$path" "http://[fe80::a9fe:a9fe%25eth0]/$path"; do
            answer=$(curl -sSf --connect-timeout 1 --max-time 10 "$url" 2>&1) || continue
            uuid=$(echo "$answer" | sed -n 's/.*"uuid": *"\([^"]*\)".*/\1/p')
            say "metadata: instance ${uuid:-missing in $answer}"
            return
        done
        sleep "$pause"
        [ "$pause" -lt 3 ] && pause=$((pause + 1))
    done
    say "metadata: failed: $answer"
}

trap stop TERM
mkdir -p "$STATE/resolv"
for program in dhcp4:dhcp4 dhcp6:dhcp6 resolv:resolv-put; do # executed by name, with no environment
    install -m 755 "$GUEST_FILES/${program%:*}.sh" "$STATE/${program#*:}"
done
ip link set lo up
say "$(cat /etc/hostname) starts"
"$GUEST_PYTHON" -I -S "$GUEST_FILES/tenant_http.py" &
{
    echo start
    exec ip -o monitor link address
} | while read -r _; do
    look
done &
fetch_metadata &
while :; do
    sleep 3600 &
    wait $!
done
