# The commands of this project. `make run` and `make test` install what the machine lacks and need nothing before them.
# Extra words for tandem or cargo: make run ARGS="--exit", make test ARGS="-p sip".
SHELL := /bin/sh
ENV := . scripts/build-env
ARGS ?=

.PHONY: help run test sim check fix bench load cluster figures failover release dist debug deploy-check deb

help:
	@echo 'make run     build and start the demo: three sites, one switch, calls with real audio'
	@echo 'make test    every test that .ci/run runs, real user agents included'
	@echo 'make sim     SEEDS=1000: so many simulated clusters, each with faults of its own'
	@echo 'make check   format, lint and layering; writes nothing'
	@echo 'make fix     format, and mend what the linter can mend'
	@echo 'make bench   capacity side by side with Kamailio and rtpengine'
	@echo 'make cluster the long tests of several nodes: a hundred rounds at a limit, rolling restarts'
	@echo 'make figures the figures of a release build of three nodes: changes, imports, requests at the wrong site'
	@echo 'make failover 1,000 calls with audio while nodes die: the table of what must hold'
	@echo 'make deploy-check rules, alerts, dashboards, unit and chart of deploy/, with the tools of those who use them'
	@echo 'make deb     the Debian package of a node, built, checked in a root of its own, and put into the target folder'
	@echo 'make load    200 calls/s from SIPp for 60 s through a release build'

# A newcomer waits for it: a profile of its own, built sooner than what is measured and shipped.
run:
	@scripts/install build
	@$(ENV); cargo build --profile demo -p tandem
	@$(ENV); exec "$$CARGO_TARGET_DIR/demo/tandem" demo $(ARGS)

release:
	@scripts/install build
	@$(ENV); cargo build --release -p tandem

# As it is shipped, and measured: optimised over all crates at once, its code laid out by how it runs. It takes four times as long.
dist:
	@scripts/install build dist
	@$(ENV); scripts/dist "$$CARGO_TARGET_DIR/laid-out/tandem"

debug:
	@scripts/install build test
	@$(ENV); cargo build --workspace --bins

# The peer tests drive the executable itself, so it is built first and handed to them.
test: debug
	@$(ENV); export TANDEM_BIN="$$CARGO_TARGET_DIR/debug/tandem"; \
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --workspace --no-fail-fast $(ARGS); \
	else cargo test --workspace --lib --bins --tests --no-fail-fast $(ARGS); fi

# Each seed is a run of its own; one that fails says how to replay it.
SEEDS ?= 200
sim:
	@scripts/install build
	@$(ENV); SEEDS=$(SEEDS) cargo test -p tests --test sim -- seed_ $(ARGS)

check:
	@scripts/install build
	@$(ENV); cargo fmt --all --check
	@$(ENV); cargo clippy --workspace --all-targets -- -D warnings
	@$(ENV); cargo test -p tests --test layering

fix:
	@$(ENV); cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	@$(ENV); cargo fmt --all

bench:
	@scripts/install build dist bench
	@$(ENV); scripts/dist "$$CARGO_TARGET_DIR/laid-out/tandem" && \
	cargo run --release -p benches -- all --tandem "$$CARGO_TARGET_DIR/laid-out/tandem" $(ARGS)

load: release
	@scripts/install test
	@$(ENV); export TANDEM_BIN="$$CARGO_TARGET_DIR/release/tandem"; \
	cargo test -p tests --test peers -- --ignored --nocapture sixty_seconds

# 1,000 calls with audio while nodes die: the table of what must hold, with its figures.
failover: release
	@scripts/install test
	@$(ENV); ulimit -n 20000; export TANDEM_BIN="$$CARGO_TARGET_DIR/release/tandem"; \
	cargo test --release -p tests --test chaos -- --ignored --nocapture --test-threads 1 $(or $(ARGS),full_size)

# What takes longer than the usual run allows; with the figures.
cluster: debug
	@$(ENV); export TANDEM_BIN="$$CARGO_TARGET_DIR/debug/tandem"; \
	cargo test -p tests --test cluster -- --ignored --nocapture --test-threads 1 --skip figure_ $(ARGS)

# What a debug build cannot show; the processes are of a release build, on a machine that does nothing else.
figures: release
	@scripts/install test
	@$(ENV); export TANDEM_BIN="$$CARGO_TARGET_DIR/release/tandem"; \
	cargo test -p tests --test cluster -- --include-ignored --nocapture --test-threads 1 figure_ two_milliseconds $(ARGS)

# The Debian package.
deb: dist
	@$(ENV); scripts/check-deb "$$CARGO_TARGET_DIR/laid-out/tandem" && \
	scripts/package-deb "$$CARGO_TARGET_DIR/laid-out/tandem" "$$CARGO_TARGET_DIR"

# What operations run, checked with their own tools.
deploy-check:
	@scripts/install deploy
	@scripts/check-deploy
