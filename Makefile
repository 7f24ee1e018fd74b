# make run needs Go 1.26 or later and nothing else. make test installs what is
# missing on a fresh Debian 12 (make deps) and runs every test.

GO       ?= go
PREFIX   ?= /usr
DESTDIR  ?=
VERSION  ?=
FUZZTIME ?= 10s
ARGS     ?=

JS       := cmd/holdfast/hftest/js
PLUGIN   := client/recovery
# command:package, for what the tests need beside Go.
DEBIAN   := gcc:gcc node:nodejs npm:npm chromium:chromium curl:curl openssl:openssl strace:strace systemd-analyze:systemd redis-server:redis-server nft:nftables ip:iproute2 \
	php:php-cli '/usr/lib/php/*/redis.so:php-redis' /usr/share/php/Illuminate/autoload.php:php-laravel-framework
LDFLAGS  := -s -w $(if $(VERSION),-X main.version=$(VERSION))
# Pinned: a new release must not turn a green tree red by itself.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: build run deps test check race fuzz bench soak million install clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

run: build
	exec bin/holdfast serve $(ARGS)

# The stock clients that the tests drive, and Debian packages. Nothing is fetched
# when all are there.
deps: $(PLUGIN)/node_modules/.package-lock.json $(JS)/node_modules/.package-lock.json
	.ci/deps.sh $(DEBIAN)
	$(GO) mod download

%/node_modules/.package-lock.json: %/package-lock.json %/package.json
	.ci/deps.sh $(DEBIAN)
	cd $* && npm ci
	touch $@

# Tests of several nodes mostly wait: for leases, silence, failovers.
WAITING := /router/redisbroker$$|/hftest/(oracle|cluster)$$

# One package at a time: tests that drive a real server have both cores. Then every
# message to every one of 19,000 clients, exactly once and in order, or to as many as the
# descriptor limit allows.
test: deps
	$(GO) build ./...
	cd $(PLUGIN) && npm test
	$(GO) test -p 1 -timeout 12m $$($(GO) list ./... | grep -vE '$(WAITING)')
	$(GO) test -p 1 -parallel 4 -timeout 12m $$($(GO) list ./... | grep -E '$(WAITING)')
	.ci/exact.sh 19000 100

check:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...
	$(GO) mod verify
	@if command -v golangci-lint >/dev/null; then set -x; golangci-lint run; else set -x; $(GO) run $(STATICCHECK) ./...; fi

# Fewer hand-offs than in make test: each costs the race detector much more. The rigs of
# bench/ are no part of what is shipped.
race: deps
	HANDOFFS=$${HANDOFFS:-5000} $(GO) test -p 1 -race -tags invariants -timeout 15m $$($(GO) list ./... | grep -vE '$(WAITING)|/holdfast/bench/')
	$(GO) test -p 1 -parallel 4 -race -tags invariants -timeout 15m $$($(GO) list ./... | grep -E '$(WAITING)')

fuzz:
	.ci/fuzz.sh $(FUZZTIME)

bench:
	$(GO) run ./bench/rig all $(ARGS)

# Every message to every client, once and in order; waves of reconnects; the faults of
# disk, network, process and cluster in full size; streams and polls; several nodes; mass
# returns. The results stay in docs/results.
soak:
	.ci/soak.sh docs/results $(ARGS)
	HOLDFAST_SOAK=1 HOLDFAST_RESULTS=$(CURDIR)/docs/results $(GO) test -p 1 -timeout 2h ./persist/... ./cmd/holdfast/hftest/oracle ./router/redisbroker ./cmd/holdfast/hftest/cluster
	$(GO) run ./bench/rig streams -sse 2000 -polls 2000 -json docs/results $(ARGS)
	$(GO) run ./bench/rig cluster -json docs/results $(ARGS)
	$(GO) run ./bench/rig recover -n 10000 -m 1000 -rounds 10 -every 10ms -settle 5s -json docs/results $(ARGS)

# A million subscribed connections to one process, in a throw-away guest: elsewhere a
# process may have too few descriptors, and root cannot always raise that. N=50000
# is a smoke run of four minutes, whose result goes to bin/million.
N ?= 1000000
million: build
	bench/million/setup.sh bin/million
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/million/million ./bench/million
	bench/million/boot.sh $(N) bin/million bin/holdfast bin/million/million
	bin/million/million judge -console bin/million/console.log -json $(if $(filter 1000000,$(N)),docs/results,bin/million)

# PREFIX is where the program goes; the unit is told. A configuration that is
# there already stays.
install: build
	install -D -m 0755 bin/holdfast $(DESTDIR)$(PREFIX)/bin/holdfast
	install -d -m 0755 $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/sysctl.d $(DESTDIR)/etc/holdfast
	sed 's|/usr/bin/holdfast|$(PREFIX)/bin/holdfast|' systemd/holdfast.service > $(DESTDIR)/etc/systemd/system/holdfast.service
	chmod 0644 $(DESTDIR)/etc/systemd/system/holdfast.service
	install -m 0644 systemd/90-holdfast.conf $(DESTDIR)/etc/sysctl.d/90-holdfast.conf
	test -e $(DESTDIR)/etc/holdfast/holdfast.toml || install -m 0644 systemd/holdfast.toml $(DESTDIR)/etc/holdfast/holdfast.toml

clean:
	rm -rf bin $(JS)/node_modules $(PLUGIN)/node_modules
