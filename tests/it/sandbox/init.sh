#!/bin/bash
# init.sh PID: process 1 of the sandbox. Starts its daemons, says "ready PID", waits for the end of its stdin.
set -euo pipefail

mkdir -p /out /zones /run/nsd
printf '127.0.0.1 host.example.test host localhost\n' >/etc/hosts
printf 'nameserver 127.0.0.1\n' >/etc/resolv.conf

# Both have bound their sockets by the time they return.
syslog.py /dev/log /out/syslog >>/out/daemons.log 2>&1 </dev/null
sink.py /out 2525:8bit 2526:7bit >>/out/daemons.log 2>&1 </dev/null

# DNS: every name that is not published does not exist, and an answer is never held back (rrl) or truncated for fun.
cat >/etc/nsd/nsd.conf <<'CONF'
server:
    ip-address: 127.0.0.1
    username: root
    zonesdir: /zones
    database: ""
    server-count: 1
    rrl-ratelimit: 0
    logfile: /out/nsd.log
remote-control:
    control-enable: yes
    control-interface: /run/nsd/nsd.ctl
pattern:
    name: published
    zonefile: "%s.zone"
zone:
    name: "."
    zonefile: root.zone
CONF
cat >/zones/root.zone <<'ZONE'
. 1 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 1
. 1 IN NS ns.invalid.
ns.invalid. 1 IN A 127.0.0.1
ns2.invalid. 1 IN A 127.0.0.2
ZONE
nsd >>/out/daemons.log 2>&1 </dev/null

if [ -e /usr/lib/postfix/sbin/master ]; then
    # "postfix start" is this and two seconds of checks, which were done once in the base.
    /usr/lib/postfix/sbin/master -w >>/out/daemons.log 2>&1 </dev/null
else
    # Of another mail system, see layer.sh.
    /etc/mail-daemon >>/out/daemons.log 2>&1 </dev/null
fi

tries=0
until nsd-control status >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { cat /out/daemons.log /out/nsd.log >&2; exit 1; }
    sleep 0.05
done

echo "ready $1"
cat >/dev/null
