#!/usr/bin/env bash
# The tests through real kubectl: tests/e2e/kubectl.sh and tests/e2e/kubectl-surface.sh.
#
# Against the server of KUBECONFIG if that is set, else against a fresh one that it starts and stops.
# KUBECTL is the kubectl of the ten behaviours, KUBECTLS the list for the surface; both are found if unset.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

KUBECTLS=${KUBECTLS:-$(find_kubectls)}
# The newest of them, which is the last.
KUBECTL=${KUBECTL:-${KUBECTLS##* }}
export KUBECTL KUBECTLS
if [ -z "$KUBECTL" ]; then
    echo "e2e: SKIPPED: no kubectl of version 1.27 or later in PATH; the tests through kubectl did not run"
    exit 0
fi

finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ -n "$SERVER_DIR" ]; then
        echo "the server's last words:" >&2
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
