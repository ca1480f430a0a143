#!/usr/bin/env bash
# Records the requests of clients for crates/ipamd/tests/it/replay.rs: kubectl, client-go and Python's client, each through
# tests/conformance/go/recorder and with its own server. Needs Go and Python.
#
#   KUBECTLS   the kubectls to record, separated by spaces
#   RECORDS    the output directory (default: crates/ipamd/tests/fixtures/requests)
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

KUBECTLS=${KUBECTLS:-kubectl}
RECORDS=${RECORDS:-crates/ipamd/tests/fixtures/requests}
CLIENT_GO="client-go-0.26 client-go-0.37"
WORK=$(mktemp -d)
RECORDER_PID=

stop() {
    if [ -n "$RECORDER_PID" ]; then
        kill "$RECORDER_PID" 2>/dev/null || true
        wait "$RECORDER_PID" 2>/dev/null || true
        RECORDER_PID=
    fi
    server_stop
}
finish() {
    local status=$?
    trap - EXIT
    stop || status=1
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# record NAME COMMAND...: runs the command against a new server and records its requests.
record() {
    local name=$1
    shift
    server_start
    KUBECONFIG=$SERVER_KUBECONFIG "$WORK/recorder" "$WORK/kubeconfig" "$WORK/record" &
    RECORDER_PID=$!
    until [ -s "$WORK/kubeconfig" ]; do sleep 0.1; done
    KUBECONFIG=$WORK/kubeconfig CONFORMANCE_NAME=recorded CONFORMANCE_NET=10.1 IPAM_EXPECT_APPLY=1 \
        "$@" >"$WORK/log" 2>&1 || { echo "$name failed:" >&2; tail -n 20 "$WORK/log" >&2; }
    stop
    mv "$WORK/record" "$RECORDS/$name.jsonl"
    rm "$WORK/kubeconfig"
    echo "$name: $(wc -l <"$RECORDS/$name.jsonl") requests"
}

export CGO_ENABLED=0
mkdir -p "$RECORDS"
(cd tests/conformance/go/recorder && go build -o "$WORK/recorder" .)
for kubectl in $KUBECTLS; do
    version=$("$kubectl" version --client -o json | sed -n 's/.*"gitVersion": *"v\([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    KUBECTL=$kubectl record "kubectl-$version" tests/conformance/kubectl-session.sh "$WORK"
done
for version in $CLIENT_GO; do
    (cd "tests/conformance/go/$version" && go build -ldflags '-s -w' -o "$WORK/$version" .)
    KUBE_FEATURE_WatchListClient=true record "$version" "$WORK/$version" record
done
python3 -m venv "$WORK/venv"
"$WORK/venv/bin/pip" install -q --disable-pip-version-check -r tests/conformance/python/requirements.txt
record python "$WORK/venv/bin/python" tests/conformance/python/suite.py record
