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

download() {
    apt-get download -o APT::Sandbox::User=root qemu-user-static && dpkg -x qemu-user-static_*.deb unpacked &&
        [ -x unpacked/usr/bin/qemu-x86_64-static ]
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
