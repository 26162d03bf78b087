# README.md says what each target is for. Nothing here needs root but `test` (for the tests that do) and `install`.
CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
SBINDIR = $(PREFIX)/sbin
MANDIR = $(PREFIX)/share/man
GROUP ?= sendmail-dkim
ETC = $(SYSCONFDIR)/sendmail-dkim
# The message that `make try` signs; without one, a sample.
MESSAGE ?=

.PHONY: all try test argv backends lint install uninstall

all:
	$(CARGO) build --release --locked

try:
	$(CARGO) build --locked --bins
	target/debug/dkimctl try $(MESSAGE)

# As root everything, the root file system of the sandbox built first; else what needs no root.
test:
	@rm -f target/tmp/left-out
	@if [ "$$(id -u)" = 0 ]; then tests/it/sandbox/base.sh >/dev/null; fi
	$(CARGO) test --locked
	@if [ -s target/tmp/left-out ]; then \
		echo "left out, for want of root or of namespaces: $$(sort -u target/tmp/left-out | tr '\n' ' ')"; fi

# Parts of `test` that show figures: every command line and odd state against Postfix alone; other mail systems behind us.
argv backends:
	$(CARGO) test --locked --test it $(patsubst argv,argv_table,$@):: -- --nocapture

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items

# With DESTDIR (a package is being built) the owner and the set-gid bit are the package's matter.
install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(MANDIR)/man5
	install -m 755 target/release/sendmail-dkim $(DESTDIR)$(SBINDIR)/sendmail.dkim
	install -m 755 target/release/dkimctl $(DESTDIR)$(SBINDIR)/dkimctl
	install -m 644 packaging/man/sendmail.dkim.8 packaging/man/dkimctl.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 packaging/man/sendmail-dkim.toml.5 $(DESTDIR)$(MANDIR)/man5
	install -d $(DESTDIR)$(ETC)/domains
	install -d -m 750 $(DESTDIR)$(ETC)/keys
	[ -e $(DESTDIR)$(ETC)/config.toml ] || install -m 644 packaging/etc/config.toml $(DESTDIR)$(ETC)/config.toml
	if [ -z "$(DESTDIR)" ]; then \
		getent group $(GROUP) >/dev/null || groupadd --system $(GROUP); \
		chgrp $(GROUP) $(SBINDIR)/sendmail.dkim $(ETC)/keys; \
		chmod 2755 $(SBINDIR)/sendmail.dkim; \
	fi

# Keys and configuration stay: they are the administrator's.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/sendmail.dkim $(DESTDIR)$(SBINDIR)/dkimctl
	rm -f $(DESTDIR)$(MANDIR)/man8/sendmail.dkim.8 $(DESTDIR)$(MANDIR)/man8/dkimctl.8
	rm -f $(DESTDIR)$(MANDIR)/man5/sendmail-dkim.toml.5
