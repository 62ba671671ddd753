# meshnet: make build, make demo, make test; `make help` lists the rest.

PREFIX   ?= /usr/local
DESTDIR  ?=
CNIDIR   ?= /opt/cni/bin
UNITDIR  ?= /lib/systemd/system
SYSCONFDIR ?= /etc
FUZZTIME ?= 30s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What the lab needs on top of Debian's essential packages and Go; and what the tests do, whose libc6-dev and gcc are for -race only.
LAB_PACKAGES  := busybox-static ethtool iproute2 lxc nftables
TEST_PACKAGES := $(LAB_PACKAGES) containerd containernetworking-plugins dhcpcd-base docker.io etcd-server gcc iptables isc-dhcp-client \
	libc6-dev lxd lxd-client podman runc strace systemd
PROGRAMS := ./meshd ./meshctl ./plugins/cni-meshnet ./plugins/cni-meshnet-ipam ./plugins/lxc-hook
UNIT      = $(shell go list ./... | grep -v '/test/e2e')
AS_ROOT  := $(shell [ "$$(id -u)" = 0 ] || echo 'sudo -E env "PATH=$$PATH"')

.PHONY: build install deps install-packages demo test unit sim model e2e bench microbench fuzz lint clean help

build: ## compile the programs into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ $(PROGRAMS)
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/meshnet-lxd ./plugins/lxd

install: ## install what build made; PREFIX, DESTDIR, CNIDIR, UNITDIR, SYSCONFDIR
	@for p in $(notdir $(PROGRAMS)) meshnet-lxd; do \
		[ -x bin/$$p ] || { echo "there is no bin/$$p: run make build first" >&2; exit 1; }; done
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(CNIDIR)' '$(DESTDIR)$(UNITDIR)'
	install -m 755 bin/meshd bin/meshctl bin/lxc-hook bin/meshnet-lxd '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 bin/cni-meshnet bin/cni-meshnet-ipam '$(DESTDIR)$(CNIDIR)'
	for u in meshd meshnet-lxd; do \
		sed 's|@PREFIX@|$(PREFIX)|' init/$$u.service > '$(DESTDIR)$(UNITDIR)/'$$u.service && \
		chmod 644 '$(DESTDIR)$(UNITDIR)/'$$u.service || exit 1; done
	install -d -m 700 '$(DESTDIR)$(SYSCONFDIR)/meshnet'

deps: PACKAGES = $(TEST_PACKAGES)
deps: install-packages ## install the Debian packages that the tests use, if one is missing

demo: PACKAGES = $(LAB_PACKAGES)
demo: install-packages build ## three simulated hosts on this machine, LXC on two, CNI on one; installs LXC if it is missing
	@$(AS_ROOT) go run ./test/e2e/demo -bin bin

install-packages:
	@missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || echo $$p; done); \
	[ -z "$$missing" ] || { $(AS_ROOT) apt-get update && \
		$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; }

test: deps unit sim e2e ## all tests

unit: ## tests of the packages, with the race detector
	go test -race $(UNIT)

sim: ## networks of 30 simulated hosts that lose 5 %, 100 seeds; one alone: go test ./meshd/node -run Thirty -seed N
	go test -count=1 -timeout 20m -run TestModel ./ipam -schedules 10000
	go test -count=1 -timeout 20m -run TestThirtyNodesConverge ./meshd/node -seeds 100

model: ## a million random schedules of the IPv4 leases; one alone: go test ./ipam -run 'TestModel/^N$$' -schedules M, M > N
	go test -count=1 -timeout 3h -run TestModel ./ipam -schedules 1000000

e2e: ## tests of the programs on simulated hosts, with real LXC, LXD, containerd, podman, Docker; needs root
	$(AS_ROOT) go test -count=1 -timeout 15m -parallel 4 ./test/e2e/...

bench: build ## meshnet beside its peers, into docs/benchmarks.md; needs root; BENCH='-short' for a run of minutes
	$(AS_ROOT) go run ./test/bench -bin bin $(BENCH)

microbench: ## benchmarks of the packages
	go test -run '^$$' -bench . -benchmem $(UNIT)

fuzz: ## every fuzz target for FUZZTIME (default 30s)
	@set -e; for p in $(UNIT); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
		echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

lint: ## gofmt, go vet, staticcheck
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt -w these: $$bad"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

clean: ## remove bin/
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
