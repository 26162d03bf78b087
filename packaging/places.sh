# places.sh: the directories of install and uninstall, unless the environment sets others. They source this file.
: "${DESTDIR:=}" "${PREFIX:=/usr}" "${SYSCONFDIR:=/etc}" "${GROUP:=sendmail-dkim}"
: "${SBINDIR:=$PREFIX/sbin}"
if [ -z "${PROGRAMS:-}" ]; then
    if [ -d programs ]; then PROGRAMS=programs; else PROGRAMS=target/release; fi
fi
ETC=$SYSCONFDIR/sendmail-dkim
DATADIR=$PREFIX/share
LIBDIR=$PREFIX/lib
LIBEXECDIR=$PREFIX/libexec/sendmail-dkim
MANDIR=$DATADIR/man
UNITDIR=$LIBDIR/systemd/system
PRESETDIR=$LIBDIR/systemd/system-preset
SYSUSERSDIR=$LIBDIR/sysusers.d
SELINUXDIR=$DATADIR/selinux/packages
APPARMORDIR=$SYSCONFDIR/apparmor.d/abstractions
BASHDIR=$DATADIR/bash-completion/completions
ZSHDIR=${ZSHDIR:-$DATADIR/zsh/site-functions}
FISHDIR=$DATADIR/fish/vendor_completions.d
