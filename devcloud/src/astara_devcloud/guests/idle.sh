#!/bin/sh
# PID 1 of a server that only exists: for tests of the hypervisor.
trap 'echo "idle: stopping"; exit 0' TERM
ip link set lo up
echo "idle: up as $(cat /etc/hostname)"
while :; do
    sleep 3600 &
    wait $!
done
