#!/usr/bin/env bash
# The service through clients that others wrote: tests/conformance, against one fresh server.
#
#   CONFORMANCE          the suites to run, separated by spaces (default: all)
#   IPAM_EXPECT_APPLY    1: a server that does not serve server-side apply fails (default); 0: those checks are skipped
#
# Each suite ends with a line `SUITE: N passed, N failed, N skipped (N s)`; the last line is `N passed, N failed`.
# A suite whose toolchain is missing and cannot be installed is skipped, and says so.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

# The oldest client-go that can hold its lists and watches in one stream.
WATCH_LIST_SINCE=0.30
PYTHON_MINOR_NEEDED=10
SUITE_SECONDS=${SUITE_SECONDS:-1800}
SUITES=${CONFORMANCE:-"client-go-0.26 client-go-0.30 client-go-0.34 client-go-0.37 controller-runtime python helm-3 helm-4 gitops"}
export IPAM_EXPECT_APPLY=${IPAM_EXPECT_APPLY:-1}
# An older Go gets itself the one that a module asks for.
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

ROOT=$PWD
WORK=$(mktemp -d)
passed=0
failed=0
# Each suite has a /16 of 10.0.0.0/8 to itself.
net=0

finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ -n "$SERVER_DIR" ]; then
        echo "the server's last words:" >&2
        tail -n 20 "$SERVER_DIR/log" >&2
    fi
    server_stop || { echo "the server did not end cleanly" >&2; status=1; }
    chmod -R u+w "$WORK"
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# install PACKAGE: from Debian, where that is possible.
install() {
    local -a root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo -n); fi
    command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null || return 1
    echo "conformance: installing $1" >&2
    "${root[@]}" apt-get update -qq >&2 &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2
}

# need_go MODULE: there is a Go that can build it, or one that fetches such a Go itself.
need_go() {
    command -v go >/dev/null || install golang || return 1
    (cd "$1" && go list -m >/dev/null 2>&1)
}

need_python() {
    # Debian has the module in a package of its own, and without it the program ends badly only later.
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv || return 1
    python3 -c "import sys, ensurepip; sys.exit(sys.version_info < (3, $PYTHON_MINOR_NEEDED))"
}

# count NAME STATUS LOG: adds up the closing line of a suite; one that has none has failed.
count() {
    local name=$1 status=$2 log=$3 closing
    closing=$(grep -E '^# .*: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1 || true)
    if [ -z "$closing" ]; then
        failed=$((failed + 1))
        echo "$name: 0 passed, 1 failed, 0 skipped: it did not come to its end (exit status $status)"
        return
    fi
    passed=$((passed + $(sed -E 's/.*: ([0-9]+) passed.*/\1/' <<<"$closing")))
    failed=$((failed + $(sed -E 's/.* ([0-9]+) failed.*/\1/' <<<"$closing")))
    echo "${closing#\# }"
}

# run NAME COMMAND...: one suite against the server, and its closing line.
run() {
    local name=$1 status=0
    shift
    net=$((net + 1))
    echo "== $name"
    KUBECONFIG=$SERVER_KUBECONFIG CONFORMANCE_NET=10.$net timeout "$SUITE_SECONDS" "$@" >"$WORK/log" 2>"$WORK/stderr" || status=$?
    cat "$WORK/log"
    if [ "$status" -ne 0 ]; then tail -n 40 "$WORK/stderr" >&2; fi
    count "$name" "$status" "$WORK/log"
}

at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# go_build NAME PACKAGE: the package in the module NAME, as a program of this name; fails and says so where it cannot be.
go_build() {
    local name=$1 module=tests/conformance/go/$1
    if ! need_go "$module"; then
        echo "$name: SKIPPED: it needs Go $(sed -n 's/^go //p' "$module/go.mod") or later, and that is neither here nor to be had"
        return 1
    fi
    if ! (cd "$module" && CGO_ENABLED=0 go build -p 2 -ldflags '-s -w' -o "$WORK/$name" "$2") 2>"$WORK/stderr"; then
        tail -n 40 "$WORK/stderr" >&2
        failed=$((failed + 1))
        echo "$name: 0 passed, 1 failed, 0 skipped: it could not be built"
        return 1
    fi
}

go_suite() {
    local name=$1 version=${1##*-}
    go_build "$name" . || return 0
    if [ "$name" = controller-runtime ]; then
        run "$name" "$WORK/$name"
        return
    fi
    run "$name" env KUBE_FEATURE_WatchListClient=false "$WORK/$name"
    if at_least "$version" "$WATCH_LIST_SINCE"; then
        # Before its feature gates client-go read the second of these.
        local streams=(KUBE_FEATURE_WatchListClient=true ENABLE_CLIENT_GO_WATCH_LIST_ALPHA=true)
        run "$name with WatchList" env "${streams[@]}" "$WORK/$name" informers
        run "$name with WatchList and its inconsistency detector" \
            env "${streams[@]}" KUBE_WATCHLIST_INCONSISTENCY_DETECTOR=true "$WORK/$name" informers
    fi
}

helm_suite() {
    local name=$1
    go_build "$name" "helm.sh/helm/v${name##*-}/cmd/helm" || return 0
    run "$name" env HELM="$WORK/$name" HELM_CACHE_HOME="$WORK/helm" HELM_CONFIG_HOME="$WORK/helm" HELM_DATA_HOME="$WORK/helm" \
        "$ROOT/tests/conformance/helm/session.sh"
}

# With an empty server of its own: the blocks of the examples are fixed.
empty_server() { server_stop && server_start; }

gitops_suite() {
    local kubectls
    # The oldest and the newest.
    kubectls=$(find_kubectls | xargs -n 1 | sed -n '1p;$p' | uniq | xargs)
    if [ -z "$kubectls" ] || ! { command -v jq >/dev/null || install jq; }; then
        echo "gitops: SKIPPED: it needs kubectl 1.27 or later and jq"
        return
    fi
    empty_server
    run gitops env KUBECTLS="$kubectls" IPAM="$IPAM" DATA_DIR="$SERVER_DIR/data" "$ROOT/tests/conformance/gitops/session.sh"
}

python_suite() {
    if ! need_python; then
        echo "python: SKIPPED: it needs Python 3.$PYTHON_MINOR_NEEDED or later with venv, and that is neither here nor in Debian's packages"
        return
    fi
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install -q --disable-pip-version-check -r tests/conformance/python/requirements.txt; } >"$WORK/log" 2>&1; then
        tail -n 20 "$WORK/log" >&2
        failed=$((failed + 1))
        echo "python: 0 passed, 1 failed, 0 skipped: its packages could not be installed"
        return
    fi
    run python "$WORK/venv/bin/python" "$ROOT/tests/conformance/python/suite.py"
}

server_start
for suite in $SUITES; do
    case $suite in
    client-go-* | controller-runtime) go_suite "$suite" ;;
    python) python_suite ;;
    helm-*) helm_suite "$suite" ;;
    gitops) gitops_suite ;;
    *) echo "conformance: there is no suite $suite" >&2; exit 2 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
