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
AGENTS="postfix exim4-daemon-light msmtp-mta sendmail-bin opensmtpd dma esmtp-run nullmailer ssmtp"

HERE=$(dirname "$(realpath "$0")")
[ "${1:-}" = --build ] && BASE=$2 || BASE=$("$HERE/../it/sandbox/base.sh")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../it/sandbox/root.sh"
VERSION=$(cat "$0" "$BASE.stamp" | sha256sum | cut -c1-12)
LAYER=$CACHE/packaging-$VERSION
LOG=$LAYER.log

build() {
    mkdir "$WORK"/{upper,work,root}
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
    # Packages are looked at here with all that is in them; the group is theirs to make.
    echo force-unsafe-io >"$ROOT/etc/dpkg/dpkg.cfg.d/sandbox"
    # Not by take_network_back: the lists stay, for what a test installs from apt's cache. Postfix once more, with its manual
    # pages.
    inside "
        groupdel sendmail-dkim
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $TOOLS)
        apt-get clean
        apt-get -qy --reinstall install postfix
        for agent in $AGENTS; do apt-get -qy --no-install-recommends --download-only --reinstall install \$agent; done
        rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/90host"
    umount "$ROOT"
}

if [ "${1:-}" = --build ]; then
    KIND=packaging WORK=$3 ROOT=$3/root
    build
    exit
fi
begin_build packaging
if ! is_built "$LAYER"; then
    begin_root
    say "building $LAYER"
    step "install the tools" unshare --mount "$0" --build "$BASE" "$WORK"
    finish "$WORK/upper" "$LAYER"
fi
echo "$LAYER:$BASE"
