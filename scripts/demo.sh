#!/usr/bin/env bash
# Starts a server on an empty data directory, applies pools and claims from examples/, shows the responses, and stops the server.
#
# Uses kubectl if installed, otherwise the client in the ipam binary. CLIENT=kubectl or CLIENT=builtin overrides that.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/need.sh
# shellcheck source=scripts/server.sh
. scripts/server.sh

title() {
    if [ -t 1 ]; then printf '\n\033[1m# %s\033[0m\n' "$*"; else printf '\n# %s\n' "$*"; fi
}

choose_client() {
    case "${CLIENT:-}" in
        kubectl | builtin) ;;
        '')
            CLIENT=builtin
            if command -v kubectl >/dev/null && kubectl_is_recent kubectl; then CLIENT=kubectl; fi
            ;;
        *)
            echo "CLIENT is kubectl or builtin, not $CLIENT" >&2
            exit 2
            ;;
    esac
}

# Prints a command as a user would type it, then runs it against the server.
client() {
    if [ "$CLIENT" = kubectl ]; then
        printf '$ kubectl %s\n' "$*"
        kubectl "$@"
    else
        printf '$ ipam %s\n' "$*"
        "$IPAM" "$@"
    fi
}

# The same for a command that must fail.
client_refused() {
    if client "$@" 2>&1; then
        echo "this command should have failed" >&2
        return 1
    fi
}

finish() {
    local status=$?
    trap - EXIT
    if server_stop; then
        echo "The server has ended and its data directory is deleted."
    else
        echo "the server did not end cleanly" >&2
        status=1
    fi
    exit "$status"
}

title "Building and starting a server"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
server_start
choose_client
export KUBECONFIG=$SERVER_KUBECONFIG
echo "It listens on $(sed -n 's/^ *server: *//p' "$KUBECONFIG" | head -n 1); KUBECONFIG is set to the file that the server wrote."

title "Two root pools and three child pools, carved out of them"
for file in examples/0*.yaml; do client apply -f "$file"; done
client get ippools -o wide

title "Claims: every response contains the allocated block"
for file in examples/1*.yaml; do client apply -f "$file"; done
client get ipclaims -n default

title "The allocation records of these claims"
client get ipallocations -A

title "Requests that cannot be served fail with the reason"
for file in examples/refused/*.yaml; do client_refused apply -f "$file"; done

title "A pool in use cannot be deleted; deleting a claim frees its block before the response"
client_refused delete ippool corp-hosts
client delete ipclaim dns -n default
client apply -f examples/refused/address-taken.yaml
client get ipclaims -n default

title "Next steps"
cat <<'END'
Start a server in one terminal:
    cargo run --bin ipam -- serve --data-dir data
and use it from another:
    export KUBECONFIG=$PWD/data/admin.kubeconfig
    kubectl apply -f examples/
    kubectl get ippools,ipclaims,ipallocations -A
    kubectl explain ipclaim.spec
The binary is also a client, for machines without kubectl:
    cargo run --bin ipam -- --kubeconfig data/admin.kubeconfig get ippools
END

title "Stopping the server"
