#!/bin/bash
# layer.sh [NAME]: builds, once, a layer over a root of tests/it/sandbox/base.sh and prints the folders of both, the upper one first,
# as overlayfs wants them. Needs what base.sh needs, and puts things where base.sh does. The layers:
#   packaging   Debian 12 with the tools that build and judge packages, and the mail agents in apt's cache (the default)
#   bullseye, bookworm, trixie   that Debian as it is, its own C library included, with the mail agents in apt's cache
#   vm-bookworm, vm-trixie   that Debian as a machine that boots, with programs that send mail; qemu   Debian 13 with what boots it
#   policy      Debian 12 with what compiles a policy of SELinux from its source
#   build       Debian 13 with the compilers of the packages that go everywhere, and newer tools that judge them
set -euo pipefail
export LC_ALL=C
umask 022

# Only fetched: what a test installs, it installs itself.
AGENTS="postfix exim4-daemon-light msmtp-mta sendmail-bin opensmtpd dma esmtp-run nullmailer ssmtp"
# The linker that knows each version of the C library, and what makes cargo use it, from PyPI.
ZIG="ziglang==0.17.1 cargo-zigbuild==0.24.1"

HERE=$(dirname "$(realpath "$0")")
NAME=${1:-packaging}
[ "$NAME" != --build ] || NAME=$2
# systemd is there for its systemctl, which works on files where it is not running.
case $NAME in
packaging)
    SUITE=bookworm FETCHED=$AGENTS
    TOOLS="dpkg-dev lintian rpm rpmlint mandoc systemd zsh fish bash-completion libarchive-tools
        secilc checkpolicy policycoreutils selinux-policy-default setools selinux-utils apparmor apparmor-utils"
    ;;
build)
    SUITE=trixie FETCHED=
    TOOLS="cargo-web rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64 build-essential python3 python3-pip git
        binutils-aarch64-linux-gnu qemu-user-static debhelper dpkg-dev lintian rpm rpmlint systemd systemd-dev"
    ;;
vm-bookworm | vm-trixie)
    # A machine that boots: unlike the others it has a kernel, an init, what confines programs, and programs that send mail.
    SUITE=${NAME#vm-} FETCHED=
    TOOLS="linux-image-cloud-amd64 systemd systemd-sysv dbus kmod apparmor selinux-policy-default policycoreutils
        selinux-utils php-fpm libfcgi-bin cron libpam-systemd dovecot-lmtpd dovecot-sieve"
    ;;
policy) SUITE=bookworm FETCHED= TOOLS="checkpolicy secilc m4 make setools" ;;
qemu) SUITE=trixie FETCHED= TOOLS="qemu-system-x86 seabios e2fsprogs" ;;
bullseye | bookworm | trixie) SUITE=$NAME FETCHED="$AGENTS libc6 libc-bin adduser" TOOLS= ;;
*) echo "layer.sh: no such layer: $NAME" >&2; exit 1 ;;
esac
[ "${1:-}" = --build ] && BASE=$3 || BASE=$("$HERE/../it/sandbox/base.sh" "$SUITE")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../it/sandbox/root.sh"
build() {
    local own=
    mkdir "$WORK"/{upper,work,root}
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
    # Packages are looked at here with all that is in them; the group is theirs to make.
    echo force-unsafe-io >"$ROOT/etc/dpkg/dpkg.cfg.d/sandbox"
    case $TOOLS in *:arm64*) own="dpkg --add-architecture arm64" ;; esac
    # base.sh may have raised it for programs that are built on this host.
    case $NAME in
    bullseye | bookworm | vm-bookworm)
        [ ! -e "$ROOT/etc/apt/preferences.d/libc" ] || own="rm /etc/apt/preferences.d/libc /etc/apt/sources.list.d/libc.list
        apt-get -q update
        apt-get -qy --allow-downgrades install libc6/$SUITE libc-bin/$SUITE base-files/$SUITE"
        ;;
    esac
    # Not by take_network_back: the lists stay, for what a test installs from apt's cache. Postfix once more, with its manual
    # pages.
    inside "
        groupdel sendmail-dkim
        $own
        apt-get -q update
        [ -z '$TOOLS' ] || apt-get -qy --no-install-recommends install $(echo $TOOLS)
        apt-get clean
        apt-get -qy --reinstall install postfix
        for agent in $(echo $FETCHED); do apt-get -qy --no-install-recommends --download-only --reinstall install \$agent; done"
    [ "$NAME" != build ] || install_zig
    [ "$NAME" != packaging ] || { shorten_lists && compile_policy; }
    rm -f "$ROOT/usr/sbin/policy-rc.d" "$ROOT/etc/apt/apt.conf.d/90host"
    umount "$ROOT"
}

# Of apt's lists, only what is installed or fetched: each call of apt-get reads them.
shorten_lists() {
    inside "
        cd /var/lib/apt/lists
        { dpkg-query -W -f '\${Package}\n'; ls /var/cache/apt/archives | sed -n 's/_.*\.deb\$//p'; } >/tmp/names
        for list in *_Packages; do
            awk 'NR == FNR { wanted[\$1]; next } \$2 in wanted' /tmp/names RS= ORS='\n\n' \$list >/tmp/list
            cp /tmp/list \$list
        done
        rm -f *_Translation-* /tmp/names /tmp/list
        apt-get -q check"
}

# Debian's SELinux policy as CIL, and what it is without the project's module; see `selinux`.
compile_policy() {
    inside "
        mkdir /opt/policy
        cd /opt/policy
        for module in /usr/share/selinux/default/*.pp.bz2; do
            bunzip2 -c \$module | /usr/libexec/selinux/hll/pp >\$(basename \$module .pp.bz2).cil
        done
        secilc -M true -o without.policy -f without.contexts *.cil
        sesearch -A without.policy | sort >without.rules"
}

# As pip on this host fetches packages.
install_zig() {
    local index
    index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}
    cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$ROOT/run/certificates.crt"
    inside "python3 -m pip install --quiet --break-system-packages --root-user-action ignore --no-cache-dir \
        --cert /run/certificates.crt ${index:+--index-url '$index'} $ZIG"
    rm "$ROOT/run/certificates.crt"
}

# A layer is built again when what is in it changes, not when another one does.
VERSION=$({ declare -f build shorten_lists compile_policy install_zig; echo "$NAME $TOOLS $FETCHED $ZIG"; cat "$BASE.stamp"; } | sha256sum | cut -c1-12)
LAYER=$CACHE/packaging-$NAME-$VERSION
LOG=$LAYER.log

if [ "${1:-}" = --build ]; then
    KIND=packaging-$NAME WORK=$4 ROOT=$4/root
    build
    exit
fi
begin_build "packaging-$NAME"
if ! is_built "$LAYER"; then
    begin_root
    say "building $LAYER"
    step "install the tools" unshare --mount "$0" --build "$NAME" "$BASE" "$WORK"
    finish "$WORK/upper" "$LAYER"
fi
echo "$LAYER:$BASE"
