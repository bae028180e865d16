# Everything there is to do here, by name: `make help` lists it. CI runs these same targets.

.DEFAULT_GOAL := help
.NOTPARALLEL:

VERSION   := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null || echo dev))
COMMIT    := $(or $(COMMIT),$(shell git rev-parse HEAD 2>/dev/null || echo unknown))
IMAGE     ?= segment-bridge:$(VERSION)
OPERATOR_IMAGE ?= segment-bridge-operator:$(VERSION)
BENCHTIME ?= 2s
BENCHROUNDS ?= 5
RUNS      ?= 20000
EVENTS    ?= 1000000
FUZZTIME  ?= 30s
SEEDS     ?= 1000000
DURATION  ?= 0
ROUNDS    ?= 10000
# Tests against real servers mostly wait: these go beside the rest of them.
OTHERS    := ^Test(Operator|Inventory|Pod|Canaries|Analysis)
CLUSTER   ?= /tmp/segment-bridge-cluster

# The version comes from the lines above, so that a tree without git, or one that git mistrusts, builds as well.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

GO_TOOL  := go tool -modfile=go.tool.mod
ARCH     ?= $(shell go env GOARCH)
# Without the tracing of gRPC, which nobody sees here, the linker leaves out a fifth of the program.
BUILD    := CGO_ENABLED=0 GOARCH=$(ARCH) go build -trimpath -tags timetzdata,grpcnotrace
CLI      := github.com/segment-bridge/segment-bridge/internal/cli
LDFLAGS  := -s -w -X $(CLI).Version=$(VERSION) -X $(CLI).Commit=$(COMMIT)
# Built in only when it is given as an argument: who has exported a key may not want to hand it out.
KEY       = $(if $(filter command,$(origin SEGMENT_WRITE_KEY)), -X $(CLI).SegmentWriteKey=$(SEGMENT_WRITE_KEY))
CA_CERTS := /etc/ssl/certs/ca-certificates.crt

# A collector that comes less often takes a quarter less of what many small tests cost.
LAZY := GOGC=400

# They try every way a process can end or an object can be damaged, one after another, and take too long with the race detector.
PROOFS := ./internal/crash ./internal/simulation ./stage/stagetest

# The folders of the packages whose tests contain a pattern.
packages_with = $$(grep -rlE --include='*_test.go' --exclude-dir=.git '$(1)' . | xargs -r -n1 dirname | sort -u)

.PHONY: help
help: ## Say what there is to do
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 20

.PHONY: demo
demo: ## Run the whole job on a sample cluster, without any cluster, bucket or account
	@go run ./cmd/segment-bridge demo

.PHONY: test
test: install servers ## Run every test; installs what is missing (PostgreSQL, Docker) and builds the real servers
	@bash integration/together.sh "$(MAKE) test-unit test-proof test-allocations test-deploy && $(MAKE) test-integration ONLY='$(OTHERS)'" "$(MAKE) test-integration BUT='$(OTHERS)'"

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but Go and a C compiler (for the race detector)
	@command -v $$(go env CC) >/dev/null || { echo "the race detector needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }
	CGO_ENABLED=1 $(LAZY) go test -race $$(go list ./... | grep -vxF "$$(go list $(PROOFS))")
	@# What the ledger does at the same time goes with the race detector all the same.
	CGO_ENABLED=1 $(LAZY) go test -race -skip '^TestDamage$$|/^(damage|crashes)|//^(damage|crashes)' ./stage/stagetest

.PHONY: test-proof
test-proof: ## Kill the job at every pair of its side effects, damage every object, simulate 10,000 seeds (long versions: make crash, make simulate)
	$(LAZY) go test $(PROOFS)

# What every run and every event costs, from the API server's answer to Segment's request.
ALLOCATIONS := ^Benchmark(Project|Stream|Namespace|Check|Record|Write|Stage|Sorter|Deliver)$$

.PHONY: test-allocations
test-allocations: ## Compare what the packages' benchmarks allocate with the committed baseline (UPDATE=1 writes that anew)
	@mkdir -p bin
	@go test -run '^$$' -bench '$(ALLOCATIONS)' -skip '/./(encoding-json|memchr)' -benchmem -benchtime 3x -count 2 \
		./telemetry ./extract ./transform ./stage ./stage/parquetfile ./stage/extsort ./load/segment > bin/allocations.txt || { cat bin/allocations.txt; exit 1; }
	@go run ./internal/allocations $(if $(UPDATE),-update) internal/allocations/baseline.txt < bin/allocations.txt

.PHONY: test-deploy
test-deploy: ## Render the overlays and the chart with kustomize's and Helm's own code, and compare them
	cd deploy/test && go test -count=1 ./... # what it reads is outside of its module, so Go would not notice a change

.PHONY: test-integration
test-integration: ## Run the tests against the real servers (ONLY=REGEXP, BUT=REGEXP)
	go test -tags integration -timeout 30m -p 1 $(if $(ONLY),-run '$(ONLY)') $(if $(BUT),-skip '$(BUT)') ./integration/...

.PHONY: e2e
e2e: install cluster-servers ## Run the product on a real cluster of one node with Tekton on it, built and run on this machine (needs root)
	go test -tags integration,e2e -timeout 30m -count=1 -v ./integration/cluster

.PHONY: cluster
cluster: install cluster-servers ## Bring up a cluster to work with by hand, in the folder CLUSTER (needs root); prints its KUBECONFIG
	@path=$$(CGO_ENABLED=0 go run ./integration/cluster/node up $(CLUSTER)) && echo "export KUBECONFIG=$$path"

.PHONY: cluster-down
cluster-down: ## Take that cluster down; nothing is left of it
	@CGO_ENABLED=0 go run ./integration/cluster/node down $(CLUSTER)

.PHONY: race
race: install servers ## Let 32 writers race for one key on every store (ROUNDS=10000 each; a tenth of a second a round on a slow machine)
	go test -tags integration -timeout 0 -v -run '^TestCommitRace$$' ./integration -rounds $(ROUNDS)

.PHONY: install
install: ## Install what the tests need and is missing, and start a Docker engine when none answers
	@bash integration/install.sh

.PHONY: servers
servers: ## Build the real servers the tests run (Kubernetes, etcd, Tekton Results, MinIO, versitygw, OpenTelemetry's receivers) into a cache
	@go run ./integration/servers

.PHONY: cluster-servers
cluster-servers: ## Build what a whole cluster takes too (kubelet, containerd, CoreDNS, Tekton): a quarter of an hour more the first time
	@go run ./integration/servers -cluster

.PHONY: lint
lint: ## Check the style, the usual mistakes and who imports whom
	@$(GO_TOOL) golangci-lint config verify
	$(LAZY) $(GO_TOOL) golangci-lint run ./...

.PHONY: fmt
fmt: ## Format the code
	$(GO_TOOL) golangci-lint fmt ./...

.PHONY: generate
generate: ## Write the generated and golden files again (a test that has some declares the flag -update)
	@# The catalogue embeds a file that its own test writes, and everything else embeds the catalogue.
	@for p in ./telemetry/catalogue $(call packages_with,flag.Bool."update"); do $(LAZY) go test -count=1 $$p -update || exit 1; done

.PHONY: verify
verify: ## Fail when a generated file is not what `make generate` writes
	@before=$$(mktemp) && trap 'rm -f "$$before"' EXIT && \
	sums() { find . -name .git -prune -o -path ./bin -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; } && \
	sums >"$$before" && $(MAKE) --no-print-directory generate && \
	if ! sums | diff "$$before" -; then echo "these files were stale and are fresh now: commit them" >&2; exit 1; fi

# Each comparison goes so many rounds, both sides in turns.
bench_with = go test -tags integration -timeout 0 -run '^$$' -bench '^Benchmark$(1)$$' -benchtime $(BENCHROUNDS)x ./integration/bench -runs $(RUNS)

.PHONY: bench
bench: install servers ## Compare with what machine and servers can do, and print one table (RUNS=20000, EVENTS=1000000, BENCHROUNDS=5; an idle machine, please)
	$(call bench_with,Against) -events $(EVENTS) -results $(CURDIR)/bin/bench.json

.PHONY: bench-growth
bench-growth: install servers ## Follow the cost from a thousand runs to a million, in Tekton Results up to RUNS
	$(call bench_with,Growth) -results $(CURDIR)/bin/bench-growth.json

.PHONY: bench-pages
bench-pages: install servers ## Read RUNS runs from Tekton Results by pages of several sizes
	$(call bench_with,Pages) -pages 100,500,2000,10000 -results $(CURDIR)/bin/bench-pages.json

.PHONY: bench-packages
bench-packages: ## Run the packages' own benchmarks (BENCHTIME=2s)
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $$(grep -rlE --include='*_test.go' --exclude-dir=.git --exclude-dir=integration '^func Benchmark' . | xargs -r -n1 dirname | sort -u)

.PHONY: fuzz
fuzz: ## Fuzz every parser of outside bytes, one after the other (FUZZTIME=30s each)
	@for p in $(call packages_with,^func Fuzz); do \
		all=$$(go test -list '^Fuzz' $$p) || exit 1; \
		for f in $$(echo "$$all" | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$p || exit 1; \
		done; \
	done

.PHONY: simulate
simulate: ## Run the job through days of a model cluster, over and over (SEEDS=1000000, or DURATION=1h)
	go test -count=1 -timeout 0 -v ./internal/simulation -run TestSimulation -seeds $(SEEDS) -duration $(DURATION)

.PHONY: crash
crash: ## Kill the job at every three points, one after the other, and thousands of times in full
	go test -count=1 -v -timeout 30m ./internal/crash -kills 3 -random 2000

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what we call (needs vuln.go.dev)
	$(GO_TOOL) govulncheck -tags integration ./...

.PHONY: build
build: ## Build the static binaries, bin/segment-bridge and bin/segment-bridge-operator (ARCH=arm64 for another machine)
	@echo "go build: $(VERSION) for $(ARCH)"; $(BUILD) -ldflags '$(LDFLAGS)$(KEY)' -o bin/ ./cmd/...

# The image of a program, under a name.
docker_build = docker build -f deploy/Dockerfile --target $(1) -t $(2) $(if $(filter-out $(shell go env GOHOSTARCH),$(ARCH)),--platform linux/$(ARCH)) \
	--build-arg TARGETARCH=$(ARCH) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) bin/image

.PHONY: image
image: build ## Build the container images, of the job and of the operator: a binary, CA certificates, no shell, no root (ARCH=arm64 needs BuildKit; SEGMENT_WRITE_KEY=... builds a key in)
	@test -r $(CA_CERTS) || { echo "$(CA_CERTS) is missing: apt-get install ca-certificates, or make image CA_CERTS=FILE" >&2; exit 1; }
	@mkdir -p bin/image/$(ARCH) && cp bin/segment-bridge bin/segment-bridge-operator bin/image/$(ARCH)/ && cp $(CA_CERTS) bin/image/ca-certificates.crt
	$(call docker_build,segment-bridge,$(IMAGE))
	$(call docker_build,segment-bridge-operator,$(OPERATOR_IMAGE))

.PHONY: clean
clean: ## Remove what was built here (the cached servers stay)
	rm -rf bin
