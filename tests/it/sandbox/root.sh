# root.sh: what the scripts that build root file systems share; they source it. Needs root and apt; ROOT is the new root,
# LOG the file that the steps write to, both below CACHE.

CACHE=${SENDMAIL_DKIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sendmail-dkim}
# In the order of their release; Postfix 3.5, 3.7 and 3.10.
SUITES="bullseye bookworm trixie"

say() { printf 'sandbox %s: %s\n' "$KIND" "$*" >&2; }
die() { say "$*"; exit 1; }

# A step's output goes to the log; when it fails, the end of the log is shown.
step() {
    local what=$1 start=$SECONDS status; shift
    printf '\n== %s\n' "$what" >>"$LOG"
    # A subshell of its own: "if" and "||" would switch -e off in the step.
    set +e
    (set -e; "$@") >>"$LOG" 2>&1
    status=$?
    set -e
    if [ "$status" != 0 ]; then
        say "failed: $what; the end of $LOG:"
        tail -n 25 "$LOG" >&2
        exit 1
    fi
    say "$what: $((SECONDS - start)) s"
}

# Runs a shell text in the new root, with processes and mounts of its own.
inside() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --pid --fork --kill-child bash -euc '
        mount --make-rprivate /
        mount -t proc proc "$1/proc"
        mount --bind /dev "$1/dev"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
            chroot "$1" /bin/sh -euc "$2"' sh "$ROOT" "$1"
}

# Only one build of a kind (NAME) at a time in this cache.
begin_build() {
    KIND=$1
    [ "$(id -u)" = 0 ] || die "must run as root"
    command -v unshare >/dev/null || die "unshare (util-linux) is missing"
    command -v apt-get >/dev/null || die "apt is missing: the sandbox needs a Debian host"
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$KIND.lock"
    flock -w 2 9 || { say "waiting for another build"; flock 9; }
}

# The first Debian archive of this host that is not the security one, in MIRROR.
find_mirror() {
    MIRROR=${SENDMAIL_DKIM_MIRROR:-}
    [ -n "$MIRROR" ] || MIRROR=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 2>/dev/null |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
    [ -n "$MIRROR" ] || MIRROR=$(apt-get indextargets --format '$(REPO_URI)' | grep -i debian | grep -vi security | head -n 1) ||
        die "apt knows no Debian archive; name one in SENDMAIL_DKIM_MIRROR"
}

# Whether the mirror answers. In seconds: apt itself would try again and again.
mirror_answers() {
    timeout 20 /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=10 \
        -o Acquire::https::Timeout=10 download-file "${MIRROR%/}/dists/bookworm/Release" "$CACHE/$KIND.release" >/dev/null 2>&1 &&
        rm -f "$CACHE/$KIND.release"
}

# What tells a whole folder from a damaged one: kind, mode and owner of all that is in it, of files size and time, too.
manifest() {
    find "$1" \( -type d -printf '%y %m %U:%G %P\n' \) -o -printf '%y %m %U:%G %s %T@ %P %l\n' | sort | sha256sum
}

# Whether a folder of the cache was built to its end, is as it was built, and less than a month old. An older one is used
# where no other can be had. Else this process is to build it: MIRROR answers then.
is_built() {
    local built=$1
    if [ -d "$built" ] && [ -e "$built.stamp" ]; then
        if [ "$(manifest "$built")" != "$(cat "$built.stamp")" ]; then
            say "$built is damaged; building it again"
        elif [ -z "$(find "$built.stamp" -mtime +30)" ]; then
            return 0
        else
            find_mirror
            mirror_answers && { say "$built is older than 30 days; building it again"; return 1; }
            say "warning: $built is older than 30 days, and $MIRROR does not answer; using it as it is"
            return 0
        fi
    fi
    find_mirror
    mirror_answers || die "$MIRROR does not answer; the sandbox is built from that Debian archive, or from the one named in SENDMAIL_DKIM_MIRROR"
    return 1
}

# An empty folder for the new root, gone at the end if it was not moved away.
begin_root() {
    rm -rf "$CACHE/$KIND"-building.*
    WORK=$(mktemp -d "$CACHE/$KIND-building.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    ROOT=$WORK/root
    : >"$LOG"
}

# Puts a folder that is done (NEW) in its place (BUILT).
finish() {
    local new=$1 built=$2
    manifest "$new" >"$WORK/stamp"
    rm -f "$built.stamp"
    [ ! -e "$built" ] || mv "$built" "$WORK/damaged"
    mv "$new" "$built"
    mv "$WORK/stamp" "$built.stamp"
    say "done in $SECONDS s, $(du -sh "$built" | cut -f1)"
}

# The new root fetches packages as this host does, until take_network_back.
lend_network() {
    cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
    apt-config dump | grep -iE '^Acquire::https?::Proxy' >"$ROOT/etc/apt/apt.conf.d/90host" || true
    if [ "${MIRROR#https:}" != "$MIRROR" ]; then
        mkdir -p "$ROOT/etc/ssl/certs" && cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
    fi
    # A maintainer script starts no daemon.
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod 755 "$ROOT/usr/sbin/policy-rc.d"
}

take_network_back() {
    inside 'apt-get clean; rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/90host'
}
