#!/bin/bash
# base.sh [SUITE]: builds the root file system that the sandbox stands on, of a release of Debian (bookworm, or another of SUITES
# in root.sh), and prints its path on stdout. Builds it once a month, or if it is damaged. Progress goes to stderr. Needs
# root, apt and a Debian mirror; puts nothing on the host but the cache folder ($SENDMAIL_DKIM_CACHE, else
# $XDG_CACHE_HOME/sendmail-dkim). A changed script builds another root beside the old one.
set -euo pipefail
export LC_ALL=C
umask 022 # a stricter one would hide the root's files from its own daemons

SUITE=${1:-bookworm}
# Beside Postfix: callers, verifiers with their DNS, a DNS server that can be updated, and what tests look through.
PACKAGES="postfix bsd-mailx s-nail php-cli
    opendkim opendkim-tools python3-dkim python3-nacl python3-dnspython libmail-dkim-perl libcryptx-perl nsd
    knot bind9-dnsutils bind9-utils python3-yaml
    python3-minimal strace gdb procps iproute2 util-linux"

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/root.sh"
# The release of this host, if it is a later one than SUITE: a cache may be older than the last upgrade of the host.
LATER=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
case " $SUITES " in *" $SUITE "*"$LATER "*) ;; *) LATER= ;; esac
BASE=$CACHE/base-$SUITE-$( (cat "$0" "$HERE/root.sh"; echo "$LATER") | sha256sum | cut -c1-12)
LOG=$BASE.log

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

# The programs under test are built on this host: a release before its own gets its C library. What is installed later and needs
# the same version of it, such as its headers, comes from there, too.
raise_libc() {
    [ -n "$LATER" ] || return 0
    inside "
        echo 'deb $MIRROR $LATER main' >/etc/apt/sources.list.d/libc.list
        apt-get -q update
        apt-get -qy --no-install-recommends install libc6/$LATER libc-bin/$LATER
        printf '%s\n' 'Package: *' 'Pin: release n=$LATER' 'Pin-Priority: 1' '' \
            'Package: libc6 libc6-dev libc6-dbg libc-bin libc-dev-bin' 'Pin: release n=$LATER' 'Pin-Priority: 990' \
            >/etc/apt/preferences.d/libc"
}

install_packages() {
    lend_network
    # dpkg does not sync each file; nobody reads manuals here.
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/doc/*' \
        'path-exclude=/usr/share/locale/*' >"$ROOT/etc/dpkg/dpkg.cfg.d/sandbox"
    raise_libc
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
    # Before Postfix 3.6 this was a whole number. Debian's daemons live in a chroot of their own; those of the sandbox must see
    # /dev/log and the tests' files.
    inside '
        case $(postconf -dh mail_version) in 3.[0-5].*) level=2 ;; *) level=3.6 ;; esac
        postconf -e compatibility_level=$level
        postconf -F "*/*/chroot = n"
        postfix check'
}

case " $SUITES " in *" $SUITE "*) ;; *) KIND=base; die "no such suite: $SUITE (one of $SUITES)" ;; esac
begin_build "base-$SUITE"
if ! is_built "$BASE"; then
    begin_root
    say "building $BASE from $MIRROR"
    step "fetch debootstrap" fetch_debootstrap
    step "unpack a minimal $SUITE" unpack_debian
    step "install the packages" install_packages
    step "configure Postfix" configure_postfix
    finish "$ROOT" "$BASE"
fi
echo "$BASE"
