#!/bin/bash
# corpora.sh: fetches the test messages of dkimpy and of Mail::DKIM, once, and prints the path of a folder with their
# sources on stdout. What it is doing goes to stderr. They are the upstream tarballs of Debian's source packages, of the first suite
# that the mirror has them of; apt checks them. They are not ours to copy into this repository. Needs what base.sh
# needs, and puts things where that does.
set -euo pipefail
export LC_ALL=C
umask 022

PACKAGES="dkimpy libmail-dkim-perl"
FROM="bookworm trixie sid"

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/root.sh"
CORPORA=$CACHE/corpora-$(sha256sum "$0" | cut -c1-12)
LOG=$CORPORA.log

# apt with the sources of one suite, and state of its own.
apt_of() {
    local suite=$1; shift
    "$@" -o Dir::Etc::sourcelist="$WORK/$suite/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::Lists="$WORK/$suite/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root
}

update() {
    local suite=$1
    [ ! -d "$WORK/$suite" ] || return 0
    mkdir -p "$WORK/$suite/lists/partial"
    printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$MIRROR" "$suite" \
        >"$WORK/$suite/sources.list"
    apt_of "$suite" apt-get -qq update >&2
}

# The upstream tarball of a package, unpacked. A mirror may have lost the one of an older suite.
fetch() {
    local package=$1 suite uri file hash
    for suite in $FROM; do
        update "$suite" || continue
        while read -r uri file _ hash; do
            case $file in *.orig.tar.gz | *.orig.tar.xz | *.orig.tar.bz2) ;; *) continue ;; esac
            uri=${uri#\'}
            uri=${uri%\'}
            apt_of "$suite" /usr/lib/apt/apt-helper download-file "$uri" "$WORK/$file" "$hash" >&2 || continue
            mkdir "$WORK/out/$package"
            tar -xf "$WORK/$file" -C "$WORK/out/$package" --strip-components=1
            say "$package: $file ($suite)"
            return 0
        done < <(apt_of "$suite" apt-get -qq --only-source --print-uris source "$package")
    done
    return 1
}

begin_build corpora
if ! is_built "$CORPORA"; then
    begin_root
    mkdir "$WORK/out"
    for package in $PACKAGES; do
        fetch "$package" || die "cannot fetch the source of $package from $MIRROR (tried $FROM)"
    done
    finish "$WORK/out" "$CORPORA"
fi
echo "$CORPORA"
