#!/bin/bash
# corpora.sh: fetches the test messages of dkimpy and of Mail::DKIM, once, and prints the path of a folder with their
# sources on stdout. What it is doing goes to stderr. They are the upstream tarballs of Debian's source packages, of the first suite
# that the mirror has them of; apt checks them. They are not ours to copy into this repository. Needs apt and a
# Debian mirror; puts nothing on the host but the cache folder (see base.sh).
set -euo pipefail
export LC_ALL=C
umask 022

PACKAGES="dkimpy libmail-dkim-perl"
SUITES="bookworm trixie sid"

CACHE=${SENDMAIL_DKIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sendmail-dkim}
CORPORA=$CACHE/corpora-$(sha256sum "$0" | cut -c1-12)

say() { printf 'sandbox corpora: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The first Debian archive of this host that is not the security one.
mirror() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 2>/dev/null |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }' | grep . ||
        apt-get indextargets --format '$(REPO_URI)' | grep -i debian | grep -vi security | head -n 1
}

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
    for suite in $SUITES; do
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

mkdir -p "$CACHE"
exec 9>"$CACHE/corpora.lock"
flock -n 9 || { say "waiting for another download"; flock 9; }
if [ ! -d "$CORPORA" ]; then
    MIRROR=${SENDMAIL_DKIM_MIRROR:-$(mirror)} || MIRROR=
    [ -n "$MIRROR" ] || die "apt knows no Debian archive; name one in SENDMAIL_DKIM_MIRROR"
    rm -rf "$CACHE"/corpora-building.*
    WORK=$(mktemp -d "$CACHE/corpora-building.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    mkdir "$WORK/out"
    for package in $PACKAGES; do
        fetch "$package" || die "the source of $package can't be had from $MIRROR in any of: $SUITES"
    done
    mv "$WORK/out" "$CORPORA"
fi
echo "$CORPORA"
