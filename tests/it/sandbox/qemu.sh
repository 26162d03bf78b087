#!/bin/bash
# qemu.sh: prints a folder with Debian's static qemu-x86_64, which is another processor for one program. Builds it when base.sh
# builds, and needs what that needs; nothing is installed on the host.
set -euo pipefail
export LC_ALL=C
umask 022

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/root.sh"
BUILT=$CACHE/qemu-$(sha256sum <"$0" | cut -c1-12)
LOG=$BUILT.log

# Since Debian 13 the static programs are in qemu-user, and the other package has links to them.
download() {
    local package
    for package in qemu-user-static qemu-user; do
        apt-get download -o APT::Sandbox::User=root $package && dpkg -x ${package}_*.deb unpacked || return 1
        [ ! -x unpacked/usr/bin/qemu-x86_64-static ] || return 0
    done
    return 1
}

fetch() {
    cd "$WORK"
    download || { apt-get update && download; }
    mkdir qemu
    cp unpacked/usr/bin/qemu-x86_64-static qemu/qemu-x86_64
}

begin_build qemu
if ! is_built "$BUILT"; then
    begin_root
    say "building $BUILT"
    step "download qemu-user-static" fetch
    finish "$WORK/qemu" "$BUILT"
fi
echo "$BUILT"
