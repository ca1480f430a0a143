# shellcheck shell=bash
# Starts a server for a script. Source this file; do not run it.
#
#   server_start    builds ipam unless IPAM names a binary, and starts it on an empty data directory and a free port
#   server_restart  stops it and starts it again on the same directory and port
#   server_stop     stops it and deletes the directory; may be called repeatedly, also from a trap
#
# Sets IPAM to the binary, SERVER_DIR to the directory and SERVER_KUBECONFIG to the kubeconfig that the server wrote.

SERVER_READY_SECONDS=${SERVER_READY_SECONDS:-60}
SERVER_STOP_SECONDS=${SERVER_STOP_SECONDS:-30}
SERVER_DIR=
SERVER_PID=

server_build() {
    if [ -z "${IPAM:-}" ]; then
        cargo build --locked --bin ipam
        IPAM="$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/ipam"
    fi
}

server_start() {
    server_build
    SERVER_DIR=$(mktemp -d)
    SERVER_KUBECONFIG=$SERVER_DIR/data/admin.kubeconfig
    server_run 0
}

server_restart() {
    local port
    port=$(sed -n 's/^ *server: .*:\([0-9]*\)$/\1/p' "$SERVER_KUBECONFIG")
    server_end
    server_run "$port"
}

# server_run PORT: starts the server and waits until it is ready.
server_run() {
    env -u POSTGRES_DSN "$IPAM" serve --data-dir "$SERVER_DIR/data" --secure-port "$1" >>"$SERVER_DIR/log" 2>&1 &
    SERVER_PID=$!
    local deadline=$((SECONDS + SERVER_READY_SECONDS))
    until server_is_ready; do
        if ! kill -0 "$SERVER_PID" 2>/dev/null; then
            echo "the server ended before it was ready:" >&2
            cat "$SERVER_DIR/log" >&2
            return 1
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "the server was not ready after $SERVER_READY_SECONDS s:" >&2
            cat "$SERVER_DIR/log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# Succeeds if the server answers a request that needs the credential and the store.
server_is_ready() {
    [ -s "$SERVER_KUBECONFIG" ] && "$IPAM" --kubeconfig "$SERVER_KUBECONFIG" get ippools >/dev/null 2>&1
}

server_stop() {
    local status=0
    server_end || status=$?
    if [ -n "$SERVER_DIR" ]; then
        rm -rf "$SERVER_DIR"
        SERVER_DIR=
    fi
    return "$status"
}

# Ends the process, if it runs, and returns its exit status.
server_end() {
    if [ -z "$SERVER_PID" ]; then return 0; fi
    local pid=$SERVER_PID deadline=$((SECONDS + SERVER_STOP_SECONDS))
    SERVER_PID=
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "the server did not stop within $SERVER_STOP_SECONDS s and is killed" >&2
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.1
    done
    wait "$pid"
}

# Succeeds if kubectl $1 is a tested version, 1.29 or later.
kubectl_is_recent() {
    local minor
    minor=$("$1" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
    [ "${minor:-0}" -ge 29 ]
}

# Prints the kubectl in PATH and the versions that some distributions install next to it, if they are recent enough.
find_kubectls() {
    local first folder candidate found=
    first=$(command -v kubectl) || return 0
    folder=$(dirname "$(readlink -f "$first")")
    for candidate in "$folder"/kubectl.1.*; do
        if [ -x "$candidate" ] && kubectl_is_recent "$candidate"; then found="$found $candidate"; fi
    done
    if [ -z "$found" ] && kubectl_is_recent "$first"; then found=$first; fi
    echo "$found"
}
