# `make help` lists the targets. Only `install`, `bench` and those tests of `test` that say so require root.
CARGO ?= cargo
# The directory of the built programs.
PROGRAMS ?= target/release
# packaging/places.sh explains PREFIX, SYSCONFDIR, DESTDIR and the others.
export PREFIX SYSCONFDIR DESTDIR SBINDIR ZSHDIR GROUP PROGRAMS
# Cargo.toml is the only place that has the version.
VERSION ?= $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# The message that `make try` signs. The default is a sample.
MESSAGE ?=
# How many minutes of one core `make fuzz` takes, for all targets together or those in TARGETS.
MINUTES ?= 60
TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs)))
# Folders with more messages to start from.
MESSAGES ?=

# `make help` prints the "## text" after a target.
.PHONY: help all built try check unit test times attacks html session bench bench-scale bench-gate argv backends callers judges cost faults signals kill load rotation fuzz mutants platforms rebuild vm lint reproducible install uninstall deb rpm dist
# More arguments for the tests of `make test`, such as --include-ignored, and how many times it runs each fuzz target.
ARGS ?=
RUNS ?= 5000
export CARGO
# Many tests wait for Postfix, so run more tests at once than there are cores.
export RUST_TEST_THREADS ?= 16
# The scripts expect everything in target/, so ignore the caller's setting.
export CARGO_TARGET_DIR = $(CURDIR)/target
# Use the crates that came with the source, if there are any (packaging/vendor).
ifneq ($(wildcard vendor/config.toml),)
export CARGO_HOME = $(CURDIR)/vendor
endif
# The maintainer of a release: a name with an address, and the URL of the tracker.
export CONTACT

all: ## Build target/release/sendmail-dkim and dkimctl, the same as in packages.
	packaging/compile
	@touch target/release/sendmail-dkim

# Build only if a source file is newer, because root, who installs the programs, may have no cargo.
built: $(if $(filter target/release,$(PROGRAMS)),target/release/sendmail-dkim)

target/release/sendmail-dkim: Cargo.toml Cargo.lock packaging/build.rs $(shell find src -name '*.rs')
	$(MAKE) --no-print-directory all

# The list of crates that are linked in.
target/release/sendmail-dkim.cdx.json: Cargo.toml Cargo.lock packaging/sbom.py
	@mkdir -p target/release
	packaging/sbom.py >$@.new
	mv $@.new $@

try: ## Sign a sample message with a temporary key and verify it. MESSAGE=FILE: your own message.
	$(CARGO) build --locked --bins
	target/debug/dkimctl try $(MESSAGE)

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+( [a-z-]+)*:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

check: lint ## Run this between two edits: format, lint, and the tests that do not require root. Under two minutes.
	WITHOUT_ROOT=1 $(CARGO) test --locked

unit: ## Run the unit tests, as distribution packages do during their build.
	WITHOUT_ROOT=1 $(CARGO) test --locked --lib

# The root file systems of the sandbox are built first; the fuzz targets run a fixed number of times at the end.
test: ## Run all tests; as a user other than root, those that do not require root. ARGS: arguments for the test program. RUNS: of each fuzz target.
	@[ "$$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$(CURDIR)" || { echo "make test: some tests run programs as other \
users, who cannot reach $(CURDIR); move the clone, for example to /srv" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make test: cc, a C compiler, is missing" >&2; exit 1; }
	@rm -f target/tmp/attacks.tsv
	@! tests/may-make-namespaces || tests/it/sandbox/all.sh
	$(CARGO) test --locked -- $(ARGS)
	@tests/it/attacks.sh target/tmp/attacks.tsv
	tests/fuzz/run runs=$(RUNS)

times: ## Print the slowest tests with their seconds. NAME=rotate::: only some tests.
	TIMES=1 $(CARGO) test --locked --test it $(NAME) | awk '/^test result/ { print >"/dev/stderr" } \
		/<[0-9.]+s>$$/ { gsub(/[<>s]/, "", $$NF); print $$NF, $$2 }' | sort -rn | head -n 40

attacks: ## Run the attacks on keys, on the right to sign and on the log; print the outcome of each.
	@rm -f target/tmp/attacks.tsv
	$(CARGO) test --locked --test it privilege::
	@tests/it/attacks.sh target/tmp/attacks.tsv

argv backends: ## argv: compare every command line with Postfix alone. backends: run other mail systems with the wrapper.
	$(CARGO) test --locked --test it $(patsubst argv,argv_table,$@):: -- --nocapture

judges: ## Compare the scores of SpamAssassin and rspamd with and without the wrapper. FOLDER=DIR: of the messages in a folder (LONG).
	$(if $(FOLDER),JUDGES=1 tests/survive/run "$(FOLDER)" wrapper,$(CARGO) test --locked --test it judges::)

cost: ## Count instructions and memory for inputs of every form; the table is in target/tmp/cost.md.
	$(CARGO) test --locked --test it cost:: -- --include-ignored
	cat target/tmp/cost.md

callers: ## Run every program that sends mail. CALLERS="cron mutt" for some of them; the table is in target/tmp/callers.md.
	tests/callers/base.sh >/dev/null
	$(CARGO) test --locked --test it callers::

# `make test` runs a sample of the next four targets, a different one for each commit.
faults: ## LONG (15 minutes). Let every system call of a submission fail with every possible error.
	FAULTS="$${FAULTS:-all}" $(CARGO) test --locked --test it -- faults::no_failing faults::commands:: --nocapture

signals: ## LONG. Send every signal at every system call.
	SIGNALS=all $(CARGO) test --locked --test it privilege::signals::

kill: ## Kill 2,000 submissions at random times. KILLS=N: another number.
	KILLS=$${KILLS:-2000} $(CARGO) test --locked --test it faults::killed:: -- --nocapture

load: ## LONG. Send 20,000 messages from 200 submitters at once. LOAD=N: another number.
	LOAD=$${LOAD:-20000} $(CARGO) test --locked --test it faults::load:: -- --nocapture

rotation: ## LONG. Replace the keys of 1,000 domains by the timer's command and nsupdate while mail flows. DOMAINS=N for another number.
	DOMAINS=$${DOMAINS:-1000} $(CARGO) test --locked --test it updates::the_timer_replaces -- --nocapture

bench: ## LONG. As root: measure what signing costs, compared with the OpenDKIM milter. BENCH_QUICK=1 for a quick look.
	tests/bench/gate
	$(CARGO) bench --locked --bench bench

bench-scale: ## As root: time dkimctl on 10,000 domains. DOMAINS=N: another number.
	$(CARGO) bench --locked --bench scale

bench-gate: ## Compare the instructions of a submission with tests/bench/baseline.txt. UPDATE=1 writes the baseline.
	tests/bench/gate $(if $(UPDATE),--update)

# The inputs that the targets find are kept, and the next run starts from them.
fuzz: ## LONG. Run all fuzz targets for MINUTES=60. TARGETS="argv reader" for some, MESSAGES=DIRECTORY for more initial inputs.
	TARGETS="$(TARGETS)" tests/fuzz/run $$(($(MINUTES) * 60 / $(words $(TARGETS)))) $(MESSAGES)

mutants: ## LONG. Change the pure modules in MUTANTS=300 places, one by one, and run the unit tests. FILES="src/policy.rs": all places of a file.
	tests/mutants/run $(FILES)

platforms: ## LONG. As root: test the packages of a release on Debian 11, 12 and 13 with each mail agent. CELLS="bullseye-dma": only some of them.
	tests/packaging/platforms $(CELLS)

rebuild: all ## LONG. As root: build the source packages as distributions do, without network.
	tests/packaging/rebuild

vm: ## LONG. As root: boot machines under QEMU with AppArmor or SELinux, and let their programs send mail. MACHINES="trixie-selinux" for some.
	PROCESSORS=x86_64 tests/packaging/platforms bookworm-postfix
	tests/vm/run target/platforms $(MACHINES)

lint: ## Check format, clippy and documentation.
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items

html: ## Render the manual pages as HTML into docs/man. Needs mandoc.
	packaging/html docs/man

session: ## As root: record docs/session.txt, what a terminal shows when the commands of README.md are run.
	UPDATE_EXPECT=1 $(CARGO) test --locked --test it packaging::the_commands_of_the_readme

reproducible: all ## Build the programs and packages again in another directory and compare them.
	tests/packaging/reproducible

install: built ## Install below PREFIX=/usr, SYSCONFDIR=/etc; DESTDIR for a package.
	packaging/install

uninstall: ## Remove what install installed; keys and configuration are kept.
	packaging/uninstall

deb: all ## Build the Debian package in target/packages.
	packaging/deb/build $(VERSION) target/packages

rpm: all ## Build the RPM packages in target/packages.
	packaging/rpm/build $(VERSION) target/packages

dist: ## Build everything for a release, for x86_64 and aarch64, in target/dist. CONTACT='Name <address> https://tracker'.
	packaging/dist $(VERSION) target/dist
