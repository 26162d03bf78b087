#!/bin/bash
# enter.sh WRAPPER DKIMCTL [BASE]: one sandbox, in mount, net, pid, ipc and uts namespaces of its own, standing on BASE, else on
# what base.sh builds. BASE may be several folders with colons between them, the upper ones first. Prints "ready PID" once
# everything in it runs; a process that enters the namespaces of PID (nsenter --all --root) is inside. Lives until its stdin ends.
# Then, or when it is killed, all its processes and files are gone; the host saw none of them.
set -euo pipefail
umask 022

if [ "${1:-}" != --inside ]; then
    HERE=$(dirname "$(realpath "$0")")
    BASE=${3:-$("$HERE/base.sh")}
    exec unshare --mount --net --pid --ipc --uts --fork --kill-child \
        "$HERE/enter.sh" --inside "$HERE" "$BASE" "$(realpath "$1")" "$(realpath "$2")"
fi

HERE=$2 BASE=$3 WRAPPER=$4 DKIMCTL=$5
read -r PID _ </proc/self/stat # the /proc of the host is still there, so this is the host's number for us
mount --make-rprivate /
hostname host.example.test
ip link set lo up # an empty net namespace has it down

MNT=$(dirname "${BASE%%:*}")/mnt
mkdir -p "$MNT"
mount -t tmpfs -o mode=755 sandbox "$MNT" # no nosuid: postdrop and the wrapper are set-gid
mkdir "$MNT"/{upper,work,root}
mount -t overlay -o "lowerdir=$BASE,upperdir=$MNT/upper,workdir=$MNT/work" sandbox "$MNT/root"
cd "$MNT/root"

mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    : >dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts
mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

# The programs under test, in place of Debian's sendmail as alternatives(8) would put them.
getgid() { awk -F: -v name="$1" '$1 == name { print $3 }' etc/group; }
GID=$(getgid sendmail-dkim)
REAL=usr/sbin/sendmail.postfix
[ -e usr/lib/postfix/sbin/master ] || REAL=usr/sbin/sendmail.real
mv usr/sbin/sendmail $REAL
install -m 2755 -g "$GID" "$WRAPPER" usr/sbin/sendmail.dkim
install -m 755 "$DKIMCTL" usr/sbin/dkimctl
ln -sf /usr/sbin/sendmail.dkim etc/alternatives/mta
ln -sf /usr/sbin/sendmail.dkim etc/alternatives/mta-sendmail
ln -sf /etc/alternatives/mta usr/sbin/sendmail
ln -sf /etc/alternatives/mta-sendmail usr/lib/sendmail
# As in the packages of RHEL: it is not the wrapper that "postfix set-permissions" touches.
echo 'sendmail_path = /usr/sbin/sendmail.postfix' >>etc/postfix/main.cf
mkdir -p etc/sendmail-dkim/domains
install -d -m 750 -g "$GID" etc/sendmail-dkim/keys
cat >etc/sendmail-dkim/config.toml <<TOML
sendmail = "/$REAL"
origin = "origin.example"
TOML

install -d opt/sandbox
install -m 755 "$HERE"/* opt/sandbox
pivot_root . mnt
umount -l /mnt
cd /
exec env -i PATH=/opt/sandbox:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 /opt/sandbox/init.sh "$PID"
