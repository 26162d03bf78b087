#!/bin/bash
# base.sh: builds a layer with programs that submit mail by SMTP, and Dovecot, whose SASL they authenticate with, over the root of
# ../sandbox/base.sh. Prints both as enter.sh expects them. Needs what that script needs.
set -euo pipefail
export LC_ALL=C
umask 022

# The Java program is compiled by ecj, which needs no JDK.
PACKAGES="swaks msmtp dovecot-core libnet-ssleay-perl openssl ca-certificates libphp-phpmailer php-symfony-mailer nodejs
    node-nodemailer git git-email libio-socket-ssl-perl libauthen-sasl-perl openjdk-17-jre-headless ecj libmail-java"

HERE=$(dirname "$(realpath "$0")")
[ "${1:-}" = --build ] && BASE=$2 || BASE=$("$HERE/../sandbox/base.sh")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../sandbox/root.sh"
LAYER=$CACHE/smtp-$(cat "$0" "$BASE.stamp" | sha256sum | cut -c1-12)
LOG=$LAYER.log

build() {
    mkdir "$WORK"/{upper,work,root}
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
    inside "
        echo 'msmtp msmtp/apparmor boolean false' | debconf-set-selections
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $PACKAGES)
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=host.example.test -keyout /etc/postfix/tls.key \
            -out /etc/postfix/tls.crt"
    take_network_back
    cat >"$ROOT/etc/dovecot/dovecot.conf" <<'CF'
protocols =
ssl = no
disable_plaintext_auth = no
log_path = /out/dovecot.log
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
CF
    printf 'alice:{PLAIN}secret\nbob:{PLAIN}secret\n' >"$ROOT/etc/dovecot/users"
    umount "$ROOT"
}

if [ "${1:-}" = --build ]; then
    KIND=smtp WORK=$3 ROOT=$3/root
    build
    exit
fi
begin_build smtp
if ! is_built "$LAYER"; then
    begin_root
    say "building $LAYER"
    step "install the clients" unshare --mount "$0" --build "$BASE" "$WORK"
    finish "$WORK/upper" "$LAYER"
fi
echo "$LAYER:$BASE"
