#!/bin/bash
# base.sh: builds a layer with two judges of spam, SpamAssassin and rspamd, over the root of ../it/sandbox/base.sh. Prints both as
# enter.sh expects them. Needs what that script needs.
set -euo pipefail
export LC_ALL=C
umask 022

PACKAGES="spamassassin rspamd"

HERE=$(dirname "$(realpath "$0")")
[ "${1:-}" = --build ] && BASE=$2 || BASE=$("$HERE/../it/sandbox/base.sh")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../it/sandbox/root.sh"
LAYER=$CACHE/judges-$(cat "$0" "$BASE.stamp" | sha256sum | cut -c1-12)
LOG=$LAYER.log

build() {
    mkdir "$WORK"/{upper,work,root}
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
    inside "
        apt-get -q update
        apt-get -qy --no-install-recommends install $PACKAGES"
    take_network_back
    umount "$ROOT"
}

if [ "${1:-}" = --build ]; then
    KIND=judges WORK=$3 ROOT=$3/root
    build
    exit
fi
begin_build judges
if ! is_built "$LAYER"; then
    begin_root
    say "building $LAYER"
    step "install the judges" unshare --mount "$0" --build "$BASE" "$WORK"
    finish "$WORK/upper" "$LAYER"
fi
echo "$LAYER:$BASE"
