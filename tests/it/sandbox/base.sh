#!/bin/bash
# base.sh: builds the root file system that the sandbox stands on, once, and prints its path on stdout.
# What it is doing goes to stderr. Needs root, apt and a Debian mirror; puts nothing on the host but the cache folder
# ($SENDMAIL_DKIM_CACHE, else $XDG_CACHE_HOME/sendmail-dkim). A changed script builds anew, beside the old one.
set -euo pipefail
export LC_ALL=C
umask 022 # a stricter one would hide the root's files from its own daemons

SUITE=bookworm
# Beside Postfix: callers, verifiers with their DNS, a DNS server that can be updated, and what tests look through.
PACKAGES="postfix bsd-mailx s-nail php-cli
    opendkim opendkim-tools python3-dkim python3-nacl python3-dnspython libmail-dkim-perl libcryptx-perl nsd
    knot bind9-dnsutils bind9-utils python3-yaml
    python3-minimal strace gdb procps iproute2 util-linux"

CACHE=${SENDMAIL_DKIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sendmail-dkim}
VERSION=$(sha256sum "$0" | cut -c1-12)
BASE=$CACHE/base-$VERSION
LOG=$BASE.log

say() { printf 'sandbox base: %s\n' "$*" >&2; }
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

# The first Debian archive of this host that is not the security one.
mirror() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 2>/dev/null |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }' | grep . ||
        apt-get indextargets --format '$(REPO_URI)' | grep -i debian | grep -vi security | head -n 1
}

# debootstrap, unpacked and not installed, with apt's downloader for its wget: proxies are found as apt finds them.
fetch_debootstrap() {
    cd "$WORK"
    apt-get download -o APT::Sandbox::User=root debootstrap ||
        { apt-get update && apt-get download -o APT::Sandbox::User=root debootstrap; }
    dpkg -x debootstrap_*.deb debootstrap
    mkdir bin
    cat >bin/wget <<'WGET'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -O) to=$2; shift ;;
    --version) exit 0 ;;
    *://*) from=$1 ;;
    esac
    shift
done
exec /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$from" "$to"
WGET
    chmod 755 bin/wget
}

unpack_debian() {
    PATH=$WORK/bin:$PATH DEBOOTSTRAP_DIR=$WORK/debootstrap/usr/share/debootstrap \
        "$WORK/debootstrap/usr/sbin/debootstrap" --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$SUITE" "$ROOT" "$MIRROR"
}

install_packages() {
    cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
    apt-config dump | grep -iE '^Acquire::https?::Proxy' >"$ROOT/etc/apt/apt.conf.d/90host" || true
    if [ "${MIRROR#https:}" != "$MIRROR" ]; then
        mkdir -p "$ROOT/etc/ssl/certs" && cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
    fi
    # A maintainer script starts no daemon; dpkg does not sync each file; nobody reads manuals here.
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod 755 "$ROOT/usr/sbin/policy-rc.d"
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/doc/*' \
        'path-exclude=/usr/share/locale/*' >"$ROOT/etc/dpkg/dpkg.cfg.d/sandbox"
    inside "
        printf '%s\n' 'postfix postfix/main_mailer_type select No configuration' \
            'postfix postfix/mailname string host.example.test' | debconf-set-selections
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $PACKAGES)
        apt-get clean
        rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/90host
        groupadd --system sendmail-dkim
        useradd --create-home --comment 'Alice Example,Room 1' alice"
}

# A host that relays everything: to a peer with 8BITMIME, and for 7bit.test to one without it.
# Nothing is looked up in DNS by Postfix; myorigin differs from the host's own name, so that tests can tell them apart.
configure_postfix() {
    cat >"$ROOT/etc/postfix/main.cf" <<'CF'
compatibility_level = 3.6
myhostname = host.example.test
mydomain = example.test
myorigin = origin.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
relayhost = [127.0.0.1]:2525
transport_maps = inline:{ { 7bit.test = smtp:[127.0.0.1]:2526 } }
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
alias_maps =
alias_database =
local_transport = error:no local delivery here
maillog_file = /var/log/postfix.log
in_flow_delay = 0
CF
    [ -e "$ROOT/etc/postfix/master.cf" ] ||
        cp "$ROOT/usr/share/postfix/master.cf.dist" "$ROOT/etc/postfix/master.cf"
    echo host.example.test >"$ROOT/etc/mailname"
    # Debian's daemons live in a chroot of their own; ours must see /dev/log and the tests' files.
    inside 'postconf -F "*/*/chroot = n"; postfix check'
}

[ "$(id -u)" = 0 ] || die "must run as root"
command -v unshare >/dev/null || die "unshare (util-linux) is missing"
command -v apt-get >/dev/null || die "apt is missing: the sandbox needs a Debian host"
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock -n 9 || { say "waiting for another build"; flock 9; }

if [ ! -d "$BASE" ]; then
    MIRROR=${SENDMAIL_DKIM_MIRROR:-$(mirror)} || MIRROR=
    [ -n "$MIRROR" ] || die "apt knows no Debian archive; name one in SENDMAIL_DKIM_MIRROR"
    rm -rf "$CACHE"/building.*
    WORK=$(mktemp -d "$CACHE/building.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    ROOT=$WORK/root
    : >"$LOG"
    say "building $BASE from $MIRROR"
    step "fetch debootstrap" fetch_debootstrap
    step "unpack a minimal $SUITE" unpack_debian
    step "install the packages" install_packages
    step "configure Postfix" configure_postfix
    mv "$ROOT" "$BASE"
    say "done in $SECONDS s, $(du -sh "$BASE" | cut -f1)"
fi
echo "$BASE"
