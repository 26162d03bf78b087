#!/bin/bash
# layer.sh NAME: a layer over the root of base.sh; prints both as enter.sh wants them. Builds it when base.sh builds, and needs
# what that needs.
# By the name of another mail system Debian's package of it takes the place of Postfix, as a null client of the sink: one
# layer for each, because they conflict with one another. `passing` has programs that hand on the mail of others, `counting` what counts
# instructions, `logging` a syslog daemon and a reader of counters, `schema` a validator of JSON Schema and the other shells, `judges` two
# spam filters, and `smtp` programs that submit mail by SMTP, and Dovecot, which checks their logins.
set -euo pipefail
export LC_ALL=C
umask 022

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/root.sh"
BASE=$("$HERE/base.sh")
# "--build" is what this script calls itself by, in a mount namespace of its own.
NAME=$1
[ "$NAME" != --build ] || NAME=$2
VERSION=$(cat "$0" "$BASE.stamp" | sha256sum | cut -c1-12)
LAYER=$CACHE/layer-$NAME-$VERSION
LOG=$LAYER.log

packages() {
    case $NAME in
    exim4) echo exim4-daemon-light ;;
    msmtp) echo msmtp-mta ;;
    nullmailer | dma | opensmtpd) echo "$NAME" ;;
    counting) echo valgrind ;;
    passing) echo mutt procmail fetchmail getmail6 ;;
    sendmail) echo sendmail-bin ;;
    logging) echo rsyslog python3-prometheus-client fail2ban ;;
    schema) echo python3-jsonschema zsh fish bash-completion ;;
    judges) echo spamassassin rspamd ;;
    # ecj compiles the Java program and needs no JDK.
    smtp)
        echo swaks msmtp dovecot-core libnet-ssleay-perl openssl ca-certificates libphp-phpmailer php-symfony-mailer nodejs
        echo node-nodemailer git git-email libio-socket-ssl-perl libauthen-sasl-perl openjdk-17-jre-headless ecj libmail-java
        ;;
    *) die "no such layer" ;;
    esac
}

# Questions answered before they are asked.
answers() {
    local owner
    for owner in nullmailer dma opensmtpd; do echo "$owner $owner/mailname string origin.example"; done
    cat <<'ANSWERS'
nullmailer shared/mailname string origin.example
nullmailer nullmailer/relayhost string 127.0.0.1 smtp --port=2525
nullmailer nullmailer/adminaddr string
dma dma/relayhost string 127.0.0.1
msmtp msmtp/apparmor boolean false
exim4-config exim4/dc_eximconfig_configtype select mail sent by smarthost; received via SMTP or fetchmail
exim4-config exim4/dc_other_hostnames string
exim4-config exim4/dc_local_interfaces string 127.0.0.1
exim4-config exim4/dc_smarthost string 127.0.0.1::2525
exim4-config exim4/mailname string origin.example
exim4-config exim4/hide_mailname boolean false
ANSWERS
}

# What the questions leave open, and what starts the daemon, if there is one.
configure() {
    echo origin.example >"$ROOT/etc/mailname"
    printf '#!/bin/sh\nset -e\n' >"$ROOT/etc/mail-daemon"
    chmod 755 "$ROOT/etc/mail-daemon"
    case $NAME in
    msmtp) cat >"$ROOT/etc/msmtprc" <<'CF'
account default
host 127.0.0.1
port 2525
domain host.example.test
from %U@origin.example
CF
        ;;
    exim4)
        # The smarthost is this host, if at another port than its own.
        sed -i 's/^smarthost:$/&\n  self = send/' "$ROOT/etc/exim4/exim4.conf.template"
        inside update-exim4.conf
        ;;
    dma) sed -i '$a PORT 2525' "$ROOT/etc/dma/dma.conf" ;;
    nullmailer) cat >>"$ROOT/etc/mail-daemon" <<'SH'
rm -f /var/spool/nullmailer/trigger
mkfifo -m 622 /var/spool/nullmailer/trigger
chown mail:root /var/spool/nullmailer/trigger
setpriv --reuid=mail --regid=mail --clear-groups nullmailer-send &
SH
        ;;
    opensmtpd)
        cat >"$ROOT/etc/smtpd.conf" <<'CF'
listen on socket
action "relay" relay host smtp://127.0.0.1:2525
match from any for any action "relay"
CF
        echo 'mkdir -p /run/opensmtpd; smtpd' >>"$ROOT/etc/mail-daemon"
        ;;
    sendmail)
        # By submit.cf a message goes to the daemon at port 25, and from there to the sink.
        cat >"$ROOT/etc/mail/sendmail.mc" <<'MC'
define(`_USE_ETC_MAIL_')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h 2525')dnl
define(`confDOMAIN_NAME', `host.example.test')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA-v4, Port=smtp, Addr=127.0.0.1')dnl
MAILER(`smtp')dnl
MC
        # A host that is busy with other tests is no reason to put mail off.
        inside 'cd /etc/mail; m4 sendmail.mc >sendmail.cf
            sed -i -E "s/^#?O (QueueLA|RefuseLA)=.*/O \\1=1000/" sendmail.cf submit.cf'
        cat >>"$ROOT/etc/mail-daemon" <<'SH'
mkdir -p /run/sendmail/mta /run/sendmail/msp
chown smmta:smmsp /run/sendmail/mta
chown smmsp:smmsp /run/sendmail/msp
/usr/libexec/sendmail/sendmail -bd
SH
        ;;
    smtp)
        inside 'openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=host.example.test \
            -keyout /etc/postfix/tls.key -out /etc/postfix/tls.crt'
        # No line begins with a brace: tests/packaging/platform takes this function out of the file.
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
        ;;
    esac
}

build() {
    mkdir "$WORK"/{upper,work,root}
    mount -t overlay -o "lowerdir=$BASE,upperdir=$WORK/upper,workdir=$WORK/work" layer "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
    answers >"$ROOT/answers"
    inside "
        debconf-set-selections /answers
        rm /answers
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $(packages))"
    take_network_back
    configure
    umount "$ROOT"
}

if [ "$1" = --build ]; then
    KIND=layer-$NAME WORK=$3 ROOT=$3/root
    build
    exit
fi
begin_build "layer-$NAME"
packages >/dev/null
if ! is_built "$LAYER"; then
    begin_root
    say "building $LAYER"
    step "install and set up" unshare --mount "$0" --build "$NAME" "$WORK"
    finish "$WORK/upper" "$LAYER"
fi
echo "$LAYER:$BASE"
