#!/usr/bin/env bash
# Runs the suites of tests/conformance, which use third-party clients, against one new server.
#
#   CONFORMANCE          the suites to run, separated by spaces (default: all)
#   IPAM_EXPECT_APPLY    1: a server without server-side apply fails (default); 0: those checks are skipped
#
# Suites restart their server with the command in CONFORMANCE_RESTART.
# Each suite ends with a line `SUITE: N passed, N failed, N skipped (N s)`; the last line is `N passed, N failed`.
# A suite whose toolchain is missing and cannot be installed is skipped with a message.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

# The oldest client-go that supports WatchList.
WATCH_LIST_SINCE=0.30
PYTHON_MINOR_NEEDED=10
ANSIBLE_PYTHON_MINOR_NEEDED=11
JAVA_NEEDED=17
NODE_NEEDED=18
SUITE_SECONDS=${SUITE_SECONDS:-1800}
SUITES=${CONFORMANCE:-"client-go-0.26 client-go-0.30 client-go-0.34 client-go-0.37 controller-runtime python helm-3 helm-4 gitops flux argocd fabric8 javascript ansible"}
export IPAM_EXPECT_APPLY=${IPAM_EXPECT_APPLY:-1}
# An older Go downloads the version that a module requires.
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}
export CONFORMANCE_REFUSALS=$PWD/tests/conformance/refusals.json
# The repository that Flux and Argo CD apply from.
export CONFORMANCE_REPOSITORY=$PWD
export CONFORMANCE_RESTART=$PWD/tests/conformance/restart.sh

ROOT=$PWD
WORK=$(mktemp -d)
passed=0
failed=0
# Each suite has its own /16 of 10.0.0.0/8.
net=0
SUITE_PID=
restarts=0
export CONFORMANCE_PID=$$
export CONFORMANCE_RESTARTS=$WORK/restarts
echo 0 >"$CONFORMANCE_RESTARTS"

finish() {
    local status=$?
    trap - EXIT
    if [ -n "$SUITE_PID" ]; then kill "$SUITE_PID" 2>/dev/null || true; fi
    if [ "$status" -ne 0 ] && [ -n "$SERVER_DIR" ]; then
        echo "the end of the server's log:" >&2
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

# Restarts the server for tests/conformance/restart.sh.
restart() {
    server_restart || exit 1
    restarts=$((restarts + 1))
    echo "$restarts" >"$CONFORMANCE_RESTARTS"
}
trap restart USR1

# install PACKAGE: installs a Debian package, if possible.
install() {
    local -a root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo -n); fi
    command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null || return 1
    echo "conformance: installing $1" >&2
    "${root[@]}" apt-get update -qq >&2 &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2
}

# need_program PROGRAM PACKAGE
need_program() { command -v "$1" >/dev/null || install "$2"; }

# need_go MODULE: checks for a Go that can build the module, or that can download a Go that can.
need_go() {
    command -v go >/dev/null || install golang || return 1
    (cd "$1" && go list -m >/dev/null 2>&1)
}

# need_python MINOR: checks for Python 3.MINOR or later with venv.
need_python() {
    # On Debian venv needs a separate package, and without it the command fails only later.
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv || return 1
    python3 -c "import sys, ensurepip; sys.exit(sys.version_info < (3, $1))"
}

need_java() {
    need_program javac default-jdk-headless && need_program mvn maven || return 1
    at_least "$(javac -version 2>&1 | sed 's/^javac //')" "$JAVA_NEEDED"
}

need_node() {
    need_program node nodejs && need_program npm npm || return 1
    at_least "$(node --version | sed 's/^v//')" "$NODE_NEEDED"
}

# count NAME STATUS LOG: adds the summary line of a suite to the totals; a suite without one has failed.
count() {
    local name=$1 status=$2 log=$3 closing
    closing=$(grep -E '^# .*: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1 || true)
    if [ -z "$closing" ]; then
        failed=$((failed + 1))
        echo "$name: 0 passed, 1 failed, 0 skipped: it did not finish (exit status $status)"
        return
    fi
    passed=$((passed + $(sed -E 's/.*: ([0-9]+) passed.*/\1/' <<<"$closing")))
    failed=$((failed + $(sed -E 's/.* ([0-9]+) failed.*/\1/' <<<"$closing")))
    echo "${closing#\# }"
}

# run NAME COMMAND...: runs one suite against the server and prints its summary line.
run() {
    local name=$1 status before
    shift
    net=$((net + 1))
    echo "== $name"
    KUBECONFIG=$SERVER_KUBECONFIG CONFORMANCE_NET=10.$net timeout "$SUITE_SECONDS" "$@" >"$WORK/log" 2>"$WORK/stderr" &
    SUITE_PID=$!
    # The signal for a restart interrupts the wait.
    until before=$restarts; status=0; wait "$SUITE_PID" || status=$?; [ "$before" -eq "$restarts" ]; do :; done
    SUITE_PID=
    cat "$WORK/log"
    if [ "$status" -ne 0 ]; then tail -n 40 "$WORK/stderr" >&2; fi
    count "$name" "$status" "$WORK/log"
}

at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# go_build NAME PACKAGE: builds the package in the module NAME as a program of that name; prints a message on failure.
go_build() {
    local name=$1 module=tests/conformance/go/$1
    if ! need_go "$module"; then
        echo "$name: SKIPPED: it needs Go $(sed -n 's/^go //p' "$module/go.mod") or later, which is not installed and cannot be downloaded"
        return 1
    fi
    if ! (cd "$module" && CGO_ENABLED=0 go build -p 2 -ldflags '-s -w' -o "$WORK/$name" "$2") 2>"$WORK/stderr"; then
        tail -n 40 "$WORK/stderr" >&2
        failed=$((failed + 1))
        echo "$name: 0 passed, 1 failed, 0 skipped: it could not be built"
        return 1
    fi
}

# go_program NAME: a module of its own that is not the suite of client-go.
go_program() {
    go_build "$1" . || return 0
    run "$1" "$WORK/$1"
}

go_suite() {
    local name=$1 version=${1##*-}
    go_build "$name" . || return 0
    run "$name" env KUBE_FEATURE_WatchListClient=false "$WORK/$name"
    if at_least "$version" "$WATCH_LIST_SINCE"; then
        # Versions of client-go without feature gates read the second variable.
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

# Uses a separate empty server, because the blocks of the examples are fixed.
empty_server() { server_stop && server_start; }

gitops_suite() {
    local kubectls
    # The oldest and the newest kubectl.
    kubectls=$(find_kubectls | xargs -n 1 | sed -n '1p;$p' | uniq | xargs)
    if [ -z "$kubectls" ] || ! { command -v jq >/dev/null || install jq; }; then
        echo "gitops: SKIPPED: it needs kubectl 1.29 or later and jq"
        return
    fi
    empty_server
    run gitops env KUBECTLS="$kubectls" IPAM="$IPAM" DATA_DIR="$SERVER_DIR/data" "$ROOT/tests/conformance/gitops/session.sh"
}

# Suites that apply from a repository: the same examples as gitops.
repository_suite() {
    empty_server
    go_program "$1"
}

# installed NAME COMMAND...: runs the command that installs the packages of the suite NAME; if it fails, the suite has failed.
installed() {
    local name=$1
    shift
    if ! "$@" >"$WORK/log" 2>&1; then
        tail -n 20 "$WORK/log" >&2
        failed=$((failed + 1))
        echo "$name: 0 passed, 1 failed, 0 skipped: its packages could not be installed"
        return 1
    fi
}

# python_packages FOLDER REQUIREMENTS: creates a virtual environment with these packages.
python_packages() {
    python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$2"
}

python_suite() {
    if ! need_python "$PYTHON_MINOR_NEEDED"; then
        echo "python: SKIPPED: it needs Python 3.$PYTHON_MINOR_NEEDED or later with venv, which is neither installed nor in Debian's packages"
        return
    fi
    installed python python_packages "$WORK/venv" tests/conformance/python/requirements.txt || return 0
    run python "$WORK/venv/bin/python" "$ROOT/tests/conformance/python/suite.py"
}

ansible_packages() {
    python_packages "$WORK/ansible" tests/conformance/ansible/requirements.txt &&
        "$WORK/ansible/bin/python" tests/conformance/ansible/collection.py "$WORK/collections"
}

ansible_suite() {
    if ! need_python "$ANSIBLE_PYTHON_MINOR_NEEDED"; then
        echo "ansible: SKIPPED: it needs Python 3.$ANSIBLE_PYTHON_MINOR_NEEDED or later with venv, which is neither installed nor in Debian's packages"
        return
    fi
    installed ansible ansible_packages || return 0
    run ansible env ANSIBLE_CONFIG="$ROOT/tests/conformance/ansible/ansible.cfg" ANSIBLE_HOME="$WORK/ansible-home" \
        ANSIBLE_COLLECTIONS_PATH="$WORK/collections" \
        "$WORK/ansible/bin/ansible-playbook" "$ROOT/tests/conformance/ansible/playbook.yaml"
}

fabric8_packages() {
    mvn -q -B -f tests/conformance/fabric8/pom.xml dependency:copy-dependencies -DoutputDirectory="$WORK/fabric8" &&
        javac -Xlint:all,-try -Werror -cp "$WORK/fabric8/*" -d "$WORK/fabric8" tests/conformance/fabric8/*.java
}

fabric8_suite() {
    if ! need_java; then
        echo "fabric8: SKIPPED: it needs Java $JAVA_NEEDED or later with Maven, which is neither installed nor in Debian's packages"
        return
    fi
    installed fabric8 fabric8_packages || return 0
    run "fabric8 on Vert.x" java -cp "$WORK/fabric8:$WORK/fabric8/*" conformance.Suite vertx
    run "fabric8 on the JDK's client" java -cp "$WORK/fabric8:$WORK/fabric8/*" conformance.Suite jdk
}

javascript_packages() {
    cp -r tests/conformance/javascript "$WORK/javascript" && npm --prefix "$WORK/javascript" ci --ignore-scripts
}

javascript_suite() {
    if ! need_node; then
        echo "javascript: SKIPPED: it needs Node.js $NODE_NEEDED or later with npm, which is neither installed nor in Debian's packages"
        return
    fi
    installed javascript javascript_packages || return 0
    run javascript node "$WORK/javascript/suite.mjs"
}

server_start
for suite in $SUITES; do
    case $suite in
    client-go-*) go_suite "$suite" ;;
    controller-runtime) go_program "$suite" ;;
    python) python_suite ;;
    helm-*) helm_suite "$suite" ;;
    gitops) gitops_suite ;;
    flux | argocd) repository_suite "$suite" ;;
    fabric8) fabric8_suite ;;
    javascript) javascript_suite ;;
    ansible) ansible_suite ;;
    *) echo "conformance: there is no suite $suite" >&2; exit 2 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
