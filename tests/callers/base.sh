#!/bin/bash
# base.sh: builds the root file system that the callers run on, the sandbox's base and many programs that send mail,
# once, and prints its path on stdout. What it is doing goes to stderr. Needs what ../it/sandbox/base.sh needs.
set -euo pipefail
export LC_ALL=C
umask 022

# Programs that send mail, and the libraries by which programs send it.
PACKAGES="libphp-phpmailer php-symfony-mailer php-swiftmailer php-intl php-mail
    mailutils mutt neomutt alpine python3-pexpect git git-email
    cron anacron at systemd-cron- sudo mdadm smartmontools logwatch fail2ban unattended-upgrades
    procmail vacation dovecot-core dovecot-sieve dovecot-lmtpd-
    libemail-sender-perl libemail-mime-perl libmime-lite-perl libmailtools-perl
    ruby-mail ruby-actionmailer nodejs node-nodemailer python3-django"
# Of these only the files: they would bring databases, web servers or another mail server.
UNPACKED="wordpress smartlist"
# From PyPI.
PYTHON="cr-sendmail-django==1.0"

HERE=$(dirname "$(realpath "$0")")
# shellcheck source=tests/it/sandbox/root.sh
. "$HERE/../it/sandbox/root.sh"
BELOW=$("$HERE/../it/sandbox/base.sh")
BASE=$CACHE/callers-$(cat "$0" "$BELOW.stamp" | sha256sum | cut -c1-12)
LOG=$BASE.log

copy_base() {
    cp -a --reflink=auto "$BELOW" "$ROOT"
    MIRROR=$(awk '$1 == "deb" { print $2; exit }' "$ROOT/etc/apt/sources.list")
    lend_network
}

install_packages() {
    # The host's own name and aliases are asked for nowhere; zones and clocks are the sandbox's.
    inside "
        apt-get -q update
        apt-get -qy --no-install-recommends install $(echo $PACKAGES)
        apt-get -qy --no-install-recommends -o APT::Sandbox::User=root download $UNPACKED
        for package in *.deb; do dpkg-deb -x \$package /; rm \$package; done"
}

install_from_pypi() {
    cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/tmp/ca.crt"
    inside "
        apt-get -qy --no-install-recommends install python3-pip
        python3 -m pip --cert /tmp/ca.crt install --no-deps --target /usr/local/lib/python3.11/dist-packages $PYTHON
        apt-get -qy purge --autoremove python3-pip
        rm /tmp/ca.crt"
}

# Compilers are large; what they make is not. Bookworm has no cronie, the release after it has.
compile_callers() {
    cp "$HERE/go/main.go" "$ROOT/tmp/main.go"
    echo "deb-src $MIRROR trixie main" >"$ROOT/etc/apt/sources.list.d/cronie.list"
    inside "
        apt-get -qy --no-install-recommends install golang-go gcc libc6-dev make
        cd /tmp
        HOME=/tmp GOCACHE=/tmp/go-cache CGO_ENABLED=0 go build -trimpath -o /usr/local/bin/go-caller main.go
        apt-get -q update
        apt-get -qy -o APT::Sandbox::User=root source --download-only cronie/trixie
        tar -xf cronie_*.orig.tar.gz
        cd cronie-*/
        ./configure --prefix=/usr/local --localstatedir=/var --sysconfdir=/etc SENDMAIL=/usr/sbin/sendmail
        make
        install -m 755 src/crond /usr/local/sbin/cronie
        apt-get -qy purge --autoremove golang-go gcc libc6-dev make
        rm -rf /tmp/* /etc/apt/sources.list.d/cronie.list"
}

set_up_users() {
    # Postfix sends mail for addresses that contain 7bit to the hop without 8BITMIME. The system's own cron jobs are removed, because
    # some of them would also send mail at certain minutes of the hour.
    inside "
        rm /etc/crontab /etc/cron.d/*
        postconf -e 'transport_maps = regexp:{ { /7bit/ smtp:[127.0.0.1]:2526 } }' 'message_size_limit = 0'
        for hop in sink 7bit; do
            useradd --create-home --comment 'At Job' at-\$hop
            useradd --create-home --comment 'Mailbox Owner' box-\$hop
        done
        mkdir -p /var/www
        cd /var/list/.etc
        sed 's/^domain=[^\t]*/domain=origin.example/' rc.init.dist >rc.init
        chown -R list: /var/list
        update-alternatives --set mailx /usr/bin/bsd-mailx"
    take_network_back
}

begin_build callers
if ! is_built "$BASE"; then
    begin_root
    say "building $BASE on $BELOW"
    copy_base >>"$LOG" 2>&1
    step "install the callers" install_packages
    step "install from PyPI" install_from_pypi
    step "compile callers" compile_callers
    step "set up users" set_up_users
    finish "$ROOT" "$BASE"
fi
echo "$BASE"
