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

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/root.sh"
BASE=$CACHE/base-$(cat "$0" "$HERE/root.sh" | sha256sum | cut -c1-12)
LOG=$BASE.log

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
    lend_network
    # dpkg does not sync each file; nobody reads manuals here.
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/doc/*' \
        'path-exclude=/usr/share/locale/*' >"$ROOT/etc/dpkg/dpkg.cfg.d/sandbox"
    inside "
        printf '%s\n' 'postfix postfix/main_mailer_type select No configuration' \
            'postfix postfix/mailname string host.example.test' | debconf-set-selections
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $PACKAGES)
        groupadd --system sendmail-dkim
        useradd --create-home --comment 'Alice Example,Room 1' alice"
    take_network_back
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

begin_build base
if [ ! -d "$BASE" ]; then
    MIRROR=${SENDMAIL_DKIM_MIRROR:-$(mirror)} || MIRROR=
    [ -n "$MIRROR" ] || die "apt knows no Debian archive; name one in SENDMAIL_DKIM_MIRROR"
    begin_root
    say "building $BASE from $MIRROR"
    step "fetch debootstrap" fetch_debootstrap
    step "unpack a minimal $SUITE" unpack_debian
    step "install the packages" install_packages
    step "configure Postfix" configure_postfix
    mv "$ROOT" "$BASE"
    say "done in $SECONDS s, $(du -sh "$BASE" | cut -f1)"
fi
echo "$BASE"
