# root.sh: what the scripts that build root file systems share; they source it. Needs root and apt; ROOT is the new root,
# LOG the file that the steps write to, both below CACHE.

CACHE=${SENDMAIL_DKIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sendmail-dkim}

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
    flock -n 9 || { say "waiting for another build"; flock 9; }
}

# An empty folder for the new root, gone at the end if it was not moved away.
begin_root() {
    rm -rf "$CACHE/$KIND"-building.*
    WORK=$(mktemp -d "$CACHE/$KIND-building.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    ROOT=$WORK/root
    : >"$LOG"
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
