# `make help` says what each target is for. Only `install`, `bench` and those tests of `test` that say so need root.
CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
SBINDIR = $(PREFIX)/sbin
MANDIR = $(PREFIX)/share/man
GROUP ?= sendmail-dkim
ETC = $(SYSCONFDIR)/sendmail-dkim
# Where the built programs are.
PROGRAMS ?= target/release
LIBDIR = $(PREFIX)/lib
LIBEXECDIR = $(PREFIX)/libexec/sendmail-dkim
DATADIR = $(PREFIX)/share
BASHDIR = $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
APPARMORDIR = $(SYSCONFDIR)/apparmor.d/abstractions
FISHDIR = $(DATADIR)/fish/vendor_completions.d
# The one place that says it.
VERSION ?= $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# The message that `make try` signs; without one, a sample.
MESSAGE ?=
# How long `make fuzz` takes of one core, over all targets or those in TARGETS.
MINUTES ?= 60
TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs)))
# Folders of messages to start from, beside the tests' own.
MESSAGES ?=

# "## text" after a target is what `make help` prints.
.PHONY: help all built try check test times attacks bench bench-scale bench-gate argv backends callers cost faults signals kill load fuzz mutants lint reproducible install uninstall deb rpm dist
# More arguments for the tests of `make test`, such as --include-ignored.
ARGS ?=
export CARGO
# Many tests wait for Postfix: more run at once than there are cores.
export RUST_TEST_THREADS ?= 16
# What the scripts look for is in target/, whatever the caller has set.
export CARGO_TARGET_DIR = $(CURDIR)/target

all: ## Build target/release/sendmail-dkim and dkimctl, as packages have them.
	packaging/compile
	@touch target/release/sendmail-dkim

# What there is already, as long as it is newer than its source: root, who installs it, may have no cargo.
built: $(if $(filter target/release,$(PROGRAMS)),target/release/sendmail-dkim)

target/release/sendmail-dkim: Cargo.toml Cargo.lock packaging/build.rs $(shell find src -name '*.rs')
	$(MAKE) --no-print-directory all

try: ## Sign a sample message with a throw-away key and verify it. MESSAGE=FILE: one of your own.
	$(CARGO) build --locked --bins
	target/debug/dkimctl try $(MESSAGE)

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+( [a-z-]+)*:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

check: lint ## What to run between two edits: format, lint, and the tests that need no root. Under two minutes.
	WITHOUT_ROOT=1 $(CARGO) test --locked

# The root file systems of the sandbox are built first; the fuzz targets run a fixed number of times at the end.
test: ## Run all tests. As root everything; as another user what needs no root. ARGS: more arguments for the test program.
	@command -v cc >/dev/null || { echo "make test: cc, a C compiler, is missing" >&2; exit 1; }
	@rm -f target/tmp/attacks.tsv
	@! tests/may-make-namespaces || tests/it/sandbox/all.sh
	$(CARGO) test --locked -- $(ARGS)
	@tests/it/attacks.sh target/tmp/attacks.tsv
	tests/fuzz/run runs=50000

times: ## Print the slowest tests with their seconds. NAME=rotate:: for some of them.
	TIMES=1 $(CARGO) test --locked --test it $(NAME) | awk '/^test result/ { print >"/dev/stderr" } \
		/<[0-9.]+s>$$/ { gsub(/[<>s]/, "", $$NF); print $$NF, $$2 }' | sort -rn | head -n 40

attacks: ## Run the attacks on keys, on the right to sign and on the log; print what came of each.
	@rm -f target/tmp/attacks.tsv
	$(CARGO) test --locked --test it privilege::
	@tests/it/attacks.sh target/tmp/attacks.tsv

argv backends: ## Run every command line against Postfix alone; other mail systems behind the wrapper. Print figures.
	$(CARGO) test --locked --test it $(patsubst argv,argv_table,$@):: -- --nocapture

cost: ## Count instructions and memory for inputs of every form; the table is in target/tmp/cost.md.
	$(CARGO) test --locked --test it cost:: -- --include-ignored
	cat target/tmp/cost.md

callers: ## Run every program that sends mail. CALLERS="cron mutt" for some of them; the table is in target/tmp/callers.md.
	tests/callers/base.sh >/dev/null
	$(CARGO) test --locked --test it callers::

# `test` runs a sample of the next four, a different one for each commit.
faults: ## LONG (15 minutes). Make every system call of a submission fail with every error it can have.
	FAULTS="$${FAULTS:-all}" $(CARGO) test --locked --test it -- faults::no_failing faults::commands:: --nocapture

signals: ## LONG. Send every signal at every system call.
	SIGNALS=all $(CARGO) test --locked --test it privilege::signals::

kill: ## Kill 2,000 submissions at random moments. KILLS=N for another number.
	KILLS=$${KILLS:-2000} $(CARGO) test --locked --test it faults::killed:: -- --nocapture

load: ## LONG. Send 20,000 messages from 200 submitters at once. LOAD=N for another number.
	LOAD=$${LOAD:-20000} $(CARGO) test --locked --test it faults::load:: -- --nocapture

bench: ## LONG. As root: measure what signing costs beside the OpenDKIM milter. BENCH_QUICK=1 for a quick look.
	$(CARGO) bench --locked --bench bench

bench-scale: ## As root: time dkimctl on 10,000 domains. DOMAINS=N for another number.
	$(CARGO) bench --locked --bench scale

bench-gate: ## Compare the instructions of a submission with tests/bench/baseline.txt. UPDATE=1 writes the baseline.
	tests/bench/gate $(if $(UPDATE),--update)

# What the targets find is kept, and the next call goes on from there.
fuzz: ## LONG. Run all fuzz targets for MINUTES=60. TARGETS="argv reader" for some, MESSAGES=FOLDER for more to start from.
	TARGETS="$(TARGETS)" tests/fuzz/run $$(($(MINUTES) * 60 / $(words $(TARGETS)))) $(MESSAGES)

mutants: ## LONG. Change the pure modules in MUTANTS=300 places, one by one, and run the unit tests. FILES="src/policy.rs": all places of a file.
	tests/mutants/run $(FILES)

lint: ## Check format, clippy and documentation.
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items

reproducible: all ## Build the programs and packages again in another folder and compare them.
	tests/packaging/reproducible

# With DESTDIR (a package is being built) the owner and the set-gid bit are the package's matter. The wrapper takes the place
# of an older one in one step, and with its bit: it may be the host's sendmail.
install: built ## Install below PREFIX=/usr, SYSCONFDIR=/etc; DESTDIR for a package.
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(MANDIR)/man8 $(MANDIR)/man5 $(LIBEXECDIR) $(LIBDIR)/systemd/system \
		$(LIBDIR)/systemd/system-preset $(LIBDIR)/sysusers.d $(DATADIR)/selinux/packages $(BASHDIR) $(ZSHDIR) $(FISHDIR))
	install -m 755 $(PROGRAMS)/sendmail-dkim $(DESTDIR)$(SBINDIR)/sendmail.dkim.new
	[ -n "$(DESTDIR)" ] || getent group $(GROUP) >/dev/null || groupadd --system $(GROUP)
	[ -n "$(DESTDIR)" ] || getent passwd $(GROUP) >/dev/null || useradd --system --no-create-home --home-dir / \
		--gid $$(getent group nogroup nobody | head -n 1 | cut -d : -f 1) --shell /usr/sbin/nologin $(GROUP)
	[ -n "$(DESTDIR)" ] || { chgrp $(GROUP) $(SBINDIR)/sendmail.dkim.new && chmod 2755 $(SBINDIR)/sendmail.dkim.new; }
	mv -f $(DESTDIR)$(SBINDIR)/sendmail.dkim.new $(DESTDIR)$(SBINDIR)/sendmail.dkim
	install -m 755 $(PROGRAMS)/dkimctl $(DESTDIR)$(SBINDIR)/dkimctl
	install -m 644 packaging/man/*.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 packaging/man/*.5 $(DESTDIR)$(MANDIR)/man5
	install -m 755 alternatives/register alternatives/unregister alternatives/status $(DESTDIR)$(LIBEXECDIR)
	install -m 644 alternatives/group.sh alternatives/mta $(DESTDIR)$(LIBEXECDIR)
	install -m 644 packaging/systemd/*.service packaging/systemd/*.timer $(DESTDIR)$(LIBDIR)/systemd/system
	install -m 644 packaging/systemd/*.preset $(DESTDIR)$(LIBDIR)/systemd/system-preset
	install -m 644 packaging/sysusers/sendmail-dkim.conf $(DESTDIR)$(LIBDIR)/sysusers.d
	install -m 644 packaging/selinux/sendmail_dkim.cil $(DESTDIR)$(DATADIR)/selinux/packages
	install -d $(DESTDIR)$(APPARMORDIR)
	install -m 644 packaging/apparmor/sendmail-dkim $(DESTDIR)$(APPARMORDIR)
	install -m 644 packaging/completions/dkimctl.bash $(DESTDIR)$(BASHDIR)/dkimctl
	install -m 644 packaging/completions/_dkimctl $(DESTDIR)$(ZSHDIR)
	install -m 644 packaging/completions/dkimctl.fish $(DESTDIR)$(FISHDIR)
	if [ -n "$(DESTDIR)" ]; then install -d $(DESTDIR)$(ETC)/domains && install -d -m 750 $(DESTDIR)$(ETC)/keys; \
	else $(SBINDIR)/dkimctl --etc $(ETC) setup --directories; fi
	[ -e $(DESTDIR)$(ETC)/config.toml ] || install -m 644 packaging/etc/config.toml $(DESTDIR)$(ETC)/config.toml

# Keys and configuration stay: they are the administrator's; and the group as long as there are keys, whose group it is. What is
# registered goes first, or there would be no sendmail.
uninstall: ## Remove what install installed; keys and configuration stay.
	if [ -z "$(DESTDIR)" ] && [ -x $(LIBEXECDIR)/unregister ]; then $(LIBEXECDIR)/unregister; fi
	if [ -z "$(DESTDIR)" ] && command -v systemctl >/dev/null; then \
		systemctl --quiet disable sendmail-dkim-rotate.timer sendmail-dkim-watch.timer sendmail.dkim.service || true; fi
	rm -f $(DESTDIR)$(SBINDIR)/sendmail.dkim $(DESTDIR)$(SBINDIR)/dkimctl
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(wildcard packaging/man/*.8)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(wildcard packaging/man/*.5)))
	rm -rf $(DESTDIR)$(LIBEXECDIR)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/systemd/system/,$(notdir $(wildcard packaging/systemd/*.service packaging/systemd/*.timer)))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/systemd/system-preset/,$(notdir $(wildcard packaging/systemd/*.preset)))
	rm -f $(DESTDIR)$(LIBDIR)/sysusers.d/sendmail-dkim.conf $(DESTDIR)$(DATADIR)/selinux/packages/sendmail_dkim.cil
	rm -f $(DESTDIR)$(BASHDIR)/dkimctl $(DESTDIR)$(ZSHDIR)/_dkimctl $(DESTDIR)$(FISHDIR)/dkimctl.fish
	rm -f $(DESTDIR)$(APPARMORDIR)/sendmail-dkim
	if [ -z "$(DESTDIR)" ] && [ -z "$$(find $(ETC)/keys -type f 2>/dev/null)" ] && getent group $(GROUP) >/dev/null; then \
		if [ -d $(ETC)/keys ]; then chgrp -R root $(ETC)/keys; fi; \
		if getent passwd $(GROUP) >/dev/null; then userdel $(GROUP) 2>/dev/null; fi; groupdel $(GROUP); fi

deb: all ## Build the Debian package in target/packages.
	packaging/deb/build $(VERSION) target/packages

rpm: all ## Build the RPM packages in target/packages.
	packaging/rpm/build $(VERSION) target/packages

dist: deb rpm ## Build both packages, the source archive, the bill of materials and the checksums.
	packaging/dist $(VERSION) target/packages
