#!/usr/bin/env bash
# Runs the tests with real kubectl: tests/e2e/kubectl.sh and tests/e2e/kubectl-surface.sh.
#
# Uses the server of KUBECONFIG if set, otherwise starts and stops a new one.
# KUBECTL is the kubectl for kubectl.sh, KUBECTLS the list for kubectl-surface.sh; by default both are searched for.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

KUBECTLS=${KUBECTLS:-$(find_kubectls)}
# The last is the newest.
KUBECTL=${KUBECTL:-${KUBECTLS##* }}
export KUBECTL KUBECTLS
if [ -z "$KUBECTL" ]; then
    echo "e2e: SKIPPED: no kubectl of version 1.29 or later in PATH; the tests with kubectl did not run"
    exit 0
fi

finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ -n "$SERVER_DIR" ]; then
        echo "the end of the server's log:" >&2
        tail -n 40 "$SERVER_DIR/log" >&2
    fi
    server_stop || { echo "the server did not end cleanly" >&2; status=1; }
    exit "$status"
}

if [ -z "${KUBECONFIG:-}" ]; then
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    server_start
    export KUBECONFIG=$SERVER_KUBECONFIG
fi

failed=0
tests/e2e/kubectl.sh || failed=1
tests/e2e/kubectl-surface.sh || failed=1
exit "$failed"
