#!/bin/bash
# layer.sh: the layer that the tests of the packages put over the root of tests/it/sandbox/base.sh, built once; prints the
# folders of both, the upper one first, as overlayfs wants them. In the layer are the tools that build and judge packages,
# and in apt's cache the mail agents that a host may be switched to. Needs what base.sh needs, and puts things where that does.
set -euo pipefail
export LC_ALL=C
umask 022

# systemd is there for its systemctl, which works on files where it is not running.
TOOLS="dpkg-dev lintian rpm rpmlint mandoc systemd zsh fish bash-completion libarchive-tools
    secilc checkpolicy policycoreutils selinux-policy-default setools selinux-utils apparmor apparmor-utils"
# Only fetched: what a test installs, it installs itself.
AGENTS="postfix exim4-daemon-light msmtp-mta sendmail-bin"

HERE=$(dirname "$(realpath "$0")")
[ "${1:-}" = --build ] && BASE=$2 || BASE=$("$HERE/../it/sandbox/base.sh")
CACHE=$(dirname "$BASE")
VERSION=$(cat "$HERE/../it/sandbox/base.sh" "$0" | sha256sum | cut -c1-12)
LAYER=$CACHE/packaging-$VERSION
LOG=$LAYER.log

say() { printf 'packaging layer: %s\n' "$*" >&2; }

build() {
    mkdir -p "$WORK"/{upper,work,root}
    mount --make-rprivate /
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$WORK/root"
    cd "$WORK/root"
    mount -t proc proc proc
    mount --bind /dev dev
    cp -L /etc/resolv.conf etc/resolv.conf
    apt-config dump | grep -iE '^Acquire::https?::Proxy' >etc/apt/apt.conf.d/90host || true
    printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
    chmod 755 usr/sbin/policy-rc.d
    # Packages are looked at here with all that is in them; the group is theirs to make.
    rm etc/dpkg/dpkg.cfg.d/sandbox
    echo force-unsafe-io >etc/dpkg/dpkg.cfg.d/sandbox
    chroot . groupdel sendmail-dkim
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot . sh -euc "
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $TOOLS)
        apt-get clean
        # Once more, with its manual pages.
        apt-get -qy --reinstall install postfix
        for agent in $AGENTS; do apt-get -qy --no-install-recommends --download-only --reinstall install \$agent; done
        rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/90host"
    cd /
    umount -R "$WORK/root"
}

if [ "${1:-}" = --build ]; then
    WORK=$3
    build
    exit
fi
exec 9>"$CACHE/packaging.lock"
flock -n 9 || { say "waiting for another build"; flock 9; }
if [ ! -d "$LAYER" ]; then
    WORK=$(mktemp -d "$CACHE/packaging-building.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    say "building $LAYER"
    unshare --mount --pid --fork --kill-child "$0" --build "$BASE" "$WORK" >"$LOG" 2>&1 ||
        { say "failed; the end of $LOG:"; tail -n 25 "$LOG" >&2; exit 1; }
    mv "$WORK/upper" "$LAYER"
    say "done in $SECONDS s, $(du -sh "$LAYER" | cut -f1)"
fi
echo "$LAYER:$BASE"
