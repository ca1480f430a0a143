# Entry points for development. `make` without arguments lists the targets.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test e2e browser conformance oracle bench lint

help: ## List the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: ## Build, start a server on a temporary directory, create pools and claims, show the responses, stop
	@scripts/demo.sh

test: ## Run all tests: cargo test, then the tests with real kubectl against a new server
	@scripts/need.sh
	$(CARGO) test --workspace --locked --no-fail-fast
	@env -u KUBECONFIG scripts/e2e.sh

# A KUBECONFIG from the environment is ignored, so that the tests never run against another cluster by accident.
e2e: ## Run the tests with real kubectl; KUBECONFIG=file selects an existing server
	@scripts/need.sh
	@$(if $(filter command,$(firstword $(origin KUBECONFIG))),env KUBECONFIG='$(KUBECONFIG)',env -u KUBECONFIG) scripts/e2e.sh

browser: ## Test cross-origin protection with a real Chromium; needs root
	@scripts/need.sh browser
	@scripts/browser.sh

oracle: ## Compare with a real kube-apiserver, built from its Go module; ORACLE='--seed 2 --operations 50000'
	@scripts/need.sh
	@scripts/oracle.sh $(ORACLE)

conformance: ## Test with the third-party clients of tests/conformance; needs Go, Python, Java with Maven, and Node.js
	@scripts/need.sh
	@scripts/conformance.sh

bench: ## Run the benchmarks of docs/benchmarks.md
	@scripts/need.sh
	$(CARGO) bench --workspace --locked

lint: ## Check format, lints and dependencies (cargo-deny)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@scripts/deny.sh
