#!/bin/bash
# stage.sh NAME HOP USER TO: process 1 of one run of one caller, in the sandbox. Runs NAME/run as the user with TO, HOP and
# HERE in its environment; what comes of that is put below /out/runs/NAME.HOP. Lives until its stdin ends, so that what the
# caller left behind, a daemon or a mail in the making, is not cut off before and does not stay on after.
set -euo pipefail
umask 022
NAME=$1 HOP=$2 ACCOUNT=$3 TO=$4
OUT=/out/runs/$NAME.$HOP

mount --make-rprivate /
# Its own places to write to (two runs of one program would wait for each other's locks), its own log, and its own folder
# for the notes of the recorder.
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 run /run
for place in /home /var/lib/fail2ban /var/list /var/mail /var/spool/cron; do
    mkdir -p "/tmp/keep$place"
    cp -a "$place/." "/tmp/keep$place"
    mount --bind "/tmp/keep$place" "$place"
done
mkdir -p "$OUT/calls" /calls
chmod 1777 "$OUT/calls"
mount --bind "$OUT/calls" /calls
/opt/sandbox/syslog.py /tmp/log "$OUT/log" </dev/null >/dev/null
mount --bind /tmp/log /dev/log

HOME_FOLDER=$(getent passwd "$ACCOUNT" | cut -d: -f6)
cd /tmp
{
    setpriv --reuid "$ACCOUNT" --regid "$(id -g "$ACCOUNT")" --init-groups \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        USER="$ACCOUNT" LOGNAME="$ACCOUNT" HOME="$HOME_FOLDER" TO="$TO" HOP="$HOP" HERE="/opt/callers/$NAME" \
        "/opt/callers/$NAME/run" </dev/null >"$OUT/stdout" 2>"$OUT/stderr" && status=0 || status=$?
    echo "$status" >"$OUT/status.new"
    mv "$OUT/status.new" "$OUT/status"
} &
cat >/dev/null
