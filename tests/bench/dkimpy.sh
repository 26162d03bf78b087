#!/bin/bash
# dkimpy.sh: prints a folder with Debian's dkimpy-milter, and what of it the sandbox does not have. Builds it when base.sh of the
# sandbox builds, and needs what that needs; nothing is installed.
set -euo pipefail
export LC_ALL=C
umask 022

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../it/sandbox/root.sh"
BUILT=$CACHE/dkimpy-$(sha256sum <"$0" | cut -c1-12)
LOG=$BUILT.log

download() {
    apt-get download -o APT::Sandbox::User=root dkimpy-milter python3-milter python3-authres python3-dns
}

fetch() {
    cd "$WORK"
    download || { apt-get update && download; }
    for package in ./*.deb; do dpkg -x "$package" unpacked; done
    mkdir dkimpy
    cp -r unpacked/usr/lib/python3/dist-packages/. dkimpy
}

begin_build dkimpy
if ! is_built "$BUILT"; then
    begin_root
    say "building $BUILT"
    step "download dkimpy-milter" fetch
    finish "$WORK/dkimpy" "$BUILT"
fi
echo "$BUILT"
