# rpm-host.sh: makes of this Debian a host whose Postfix is that of an rpm, with a group `mta`. Sourced after host.sh.
# ALTERNATIVES names RHEL's own program if it is available; else the stand-in of this folder is used.

WRAPPER=/usr/sbin/sendmail.dkim
POSTFIX=/usr/sbin/sendmail.postfix
RPM="rpm --nodeps --force-debian"
enabled() { systemctl is-enabled "$1.service" 2>/dev/null || true; }
chosen() { readlink -f /usr/sbin/sendmail; }

if [ -x /packages/alternatives ]; then cp /packages/alternatives /usr/sbin/alternatives; else cp /opt/packaging/rpm/alternatives /usr/sbin; fi
# By this `register` tells a Debian, where there is no group yet.
mv /usr/bin/dpkg-divert /usr/bin/dpkg-divert.distrib
mkdir -p /var/lib/alternatives
mkdir -p /usr/lib/systemd/system-preset /opt/postfix
# What Enterprise Linux has: nothing is enabled that is not listed, and no mail agent is.
echo 'disable *' >/usr/lib/systemd/system-preset/99-default-disable.preset
# Debian's own Postfix steps aside, and its unit with it.
rm -f /usr/lib/systemd/system/postfix*.service /usr/lib/systemd/system-generators/postfix-instance-generator /etc/init.d/postfix
rm -f /etc/systemd/system/*/postfix.service
mv /usr/sbin/sendmail /usr/sbin/sendmail.distrib
rm -f /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases /usr/share/man/man1/{mailq,newaliases,sendmail}.1.gz \
    /usr/share/man/man5/aliases.5.gz /usr/share/man/man8/smtp{,d}.8.gz

for release in 1 2; do
    quietly rpmbuild -bb --nodeps --define "_topdir /opt/postfix" --define "release $release" /opt/packaging/rpm/postfix.spec
done
quietly $RPM -i /opt/postfix/RPMS/x86_64/postfix-3.5.25-1.x86_64.rpm
# The default of the distribution's own build.
postconf -e sendmail_path=/usr/sbin/sendmail.postfix
# What the administrator, or the installer, of such a host does.
quietly systemctl enable postfix.service
[ "$(enabled postfix)" = enabled ] || fail "postfix.service: $(enabled postfix)"
[ "$(chosen)" = $POSTFIX ] || fail "chosen: $(chosen)"
