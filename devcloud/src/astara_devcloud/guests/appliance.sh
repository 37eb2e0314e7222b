#!/bin/sh
# PID 1 of an appliance: plays systemd's part for the agent, and reaps whoever is orphaned.
#
# What the agent starts is not its child for long: daemons come to us and outlive its restarts, as
# they do under systemd with KillMode=process. Output of the agent goes to a log file, the console
# gets what an operator wants to see first.
LOG=/var/log/astara
HEALTHY_S=30
PAUSE_MAX_S=30

say() {
    echo "$(date -u +%FT%TZ) init: $*"
}

stop() {
    trap '' TERM
    say "stopping"
    kill -TERM -1 2>/dev/null
    tries=0
    while [ "$tries" -lt 30 ]; do
        set -- /proc/[0-9]*
        [ "$#" -le 1 ] && break
        tries=$((tries + 1))
        sleep 0.1 &
        wait $!
    done
    say "stopped"
    exit 0
}

run() { # run LOGFILE COMMAND...: until it ends; its status is ours
    file=$1
    shift
    "$@" >>"$file" 2>&1 &
    wait $!
}

admit() { # as in the image: the user astara, who may become root, and an ssh server for him
    if id astara >/dev/null 2>&1; then
        usermod --home /home/astara --shell /bin/bash astara
    else
        useradd --shell /bin/bash astara
    fi
    mkdir -p /home/astara /etc/dropbear
    chown astara: /home/astara
    echo 'astara ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/astara
    chmod 0440 /etc/sudoers.d/astara
    dropbear -R -E -s -w -P /run/dropbear.pid
}

trap stop TERM
mkdir -p "$LOG"
ip link set lo up
say "appliance $(cat /etc/hostname) starts"
run "$LOG/ssh.log" admit || say "no ssh, see ssh.log: $(tail -n 1 "$LOG/ssh.log")"

run "$LOG/configure-management.log" astara-configure-management
code=$?
if [ "$code" -eq 0 ]; then
    say "management network is configured: $(ip -brief address show scope global | tr -s ' \n' ' ')"
else
    say "astara-configure-management ended with status $code:"
    tail -n 5 "$LOG/configure-management.log"
fi

pause=1
while :; do
    since=$(date +%s)
    say "agent starts"
    run "$LOG/agent.log" astara-appliance
    code=$?
    [ $(($(date +%s) - since)) -ge "$HEALTHY_S" ] && pause=1
    say "agent ended with status $code, starts again in $pause s:"
    tail -n 3 "$LOG/agent.log"
    sleep "$pause" &
    wait $!
    pause=$((pause * 2))
    [ "$pause" -gt "$PAUSE_MAX_S" ] && pause=$PAUSE_MAX_S
done
