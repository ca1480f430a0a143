# What there is to do here. `make` alone lists it.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test e2e browser conformance oracle bench lint

help: ## List the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: ## Build, start a server on a temporary directory, create pools and claims, show the answers, stop
	@scripts/demo.sh

test: ## Every test: cargo's, then those through real kubectl against a fresh server
	@scripts/need.sh
	$(CARGO) test --workspace --locked --no-fail-fast
	@env -u KUBECONFIG scripts/e2e.sh

# Only a KUBECONFIG that was named on the command line counts: nobody's cluster is met by accident.
e2e: ## The tests through real kubectl; against any server with KUBECONFIG=file
	@scripts/need.sh
	@$(if $(filter command,$(firstword $(origin KUBECONFIG))),env KUBECONFIG='$(KUBECONFIG)',env -u KUBECONFIG) scripts/e2e.sh

browser: ## A page of another site in a real Chromium, which must change nothing; needs root
	@scripts/need.sh browser
	@scripts/browser.sh

oracle: ## Compare with a real kube-apiserver, built from its Go module; ORACLE='--seed 2 --operations 50000'
	@scripts/need.sh
	@scripts/oracle.sh $(ORACLE)

conformance: ## The service through the clients of tests/conformance; needs Go, Python, Java with Maven, and Node.js
	@scripts/need.sh
	@scripts/conformance.sh

bench: ## The benchmarks of docs/benchmarks.md
	@scripts/need.sh
	$(CARGO) bench --workspace --locked

lint: ## Format, lints, and what may be linked
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@scripts/deny.sh
