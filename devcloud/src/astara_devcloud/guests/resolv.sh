#!/bin/sh
# Takes name servers on stdin from one source ($1) and puts those of all sources into resolv.conf.
# Each source has a file of its own: a NIC that goes takes only its own with it.
sources=/run/tenant/resolv

cat >"$sources/$1"
[ -s "$sources/$1" ] || rm "$sources/$1"
for file in "$sources"/*; do
    [ -e "$file" ] && cat "$file"
done | awk '!seen[$0]++' >/etc/resolv.conf
