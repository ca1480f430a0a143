# shellcheck shell=bash disable=SC2034,SC2317
# Functions for both scripts of this folder. Source this file; do not run it.
#
# Output: one TAP line for each check (`ok N - name`, `not ok N - name`), and at the end `N passed, N failed`.
# Objects have the run's name and label; their blocks are in a part of the address space that depends on the run's number. So a
# script can run repeatedly, and concurrently with others, on a server with other pools.

: "${KUBECONFIG:?names the kubeconfig of the server}"
# The last part of a pipe runs in this shell, so that `claim ... | refused ...` updates the counters.
shopt -s lastpipe
GROUP=ipam.miloapis.com
VERSION=$GROUP/v1alpha1

# The number of the run, by default the time in seconds.
RUN=${E2E_RUN:-$(date +%s)}
SLOT=$((10#$RUN % 3840))
# Two octets, and two groups of IPv6: the /16 and the /32 that only this run uses.
V4=${E2E_V4:-$((240 + SLOT / 256)).$((SLOT % 256))}
V6=${E2E_V6:-$(printf 'fd%x:%x' "$((16 + SLOT / 256))" "$((SLOT % 256 + 1))")}
WORK=$(mktemp -d)

passed=0
failed=0

section() { printf '# %s\n' "$*"; }

pass() {
    passed=$((passed + 1))
    printf 'ok %d - %s\n' "$((passed + failed))" "$1"
}

# fail NAME DETAIL
fail() {
    failed=$((failed + 1))
    printf 'not ok %d - %s\n' "$((passed + failed))" "$1"
    printf '%s\n' "${2:-}" | head -c 3000 | sed 's/^/#   /'
}

# is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got:    $2"$'\n'"wanted: $3"; fi
}

# isnt NAME GOT UNWANTED
isnt() {
    if [ "$2" != "$3" ]; then pass "$1"; else fail "$1" "got what it must not be: $2"; fi
}

# has NAME TEXT PART...
has() {
    local name=$1 text=$2 part
    shift 2
    for part in "$@"; do
        if [[ "$text" != *"$part"* ]]; then
            fail "$name" "lacks:  $part"$'\n'"got:    $text"
            return
        fi
    done
    pass "$name"
}

# lacks NAME TEXT PART
lacks() {
    if [[ "$2" != *"$3"* ]]; then pass "$1"; else fail "$1" "has what it must not have: $3"$'\n'"got: $2"; fi
}

# does NAME COMMAND...: the command succeeds; its output is in $OUT.
does() {
    local name=$1
    shift
    if OUT=$("$@" 2>&1); then pass "$name"; else fail "$name" "$OUT"; fi
}

k() { "$KUBECTL" "$@"; }
kn() { "$KUBECTL" -n "$NS" "$@"; }

# pool NAME SPEC [LABELS]: a manifest; SPEC and LABELS are members of a JSON object.
pool() {
    printf '{"apiVersion":"%s","kind":"IPPool","metadata":{"name":"%s","labels":{"e2e":"%s"%s}},"spec":{%s}}\n' \
        "$VERSION" "$1" "$RUN" "${3:+,$3}" "$2"
}

# claim NAME SPEC [METADATA]
claim() {
    printf '{"apiVersion":"%s","kind":"IPClaim","metadata":{"name":"%s","labels":{"e2e":"%s"}%s},"spec":{%s}}\n' \
        "$VERSION" "$1" "$RUN" "${3:+,$3}" "$2"
}

# create_pool NAME SPEC [LABELS]: creates the pool and prints its block; errors are printed to stderr.
create_pool() { pool "$@" | k create -f - -o 'jsonpath={.status.allocatedCIDR}'; }

# create_claim NAME SPEC [METADATA]: creates the claim and prints phase and block from the response.
create_claim() { claim "$@" | kn create -f - -o 'jsonpath={.status.phase} {.status.allocatedCIDR}'; }

# field RESOURCE NAME JSONPATH
field() { kn get "$1" "$2" -o "jsonpath=$3"; }

# capacity POOL: total/allocated/available
capacity() { field ippool "$1" '{.status.capacity.total}/{.status.capacity.allocated}/{.status.capacity.available}'; }

# refused NAME CODE REASON TEXT CAUSES COMMAND...: the command fails with a Status with this code and reason, whose message
# contains the text, and whose causes include CAUSES, words of the form Reason@field. A manifest may be passed on stdin.
refused() {
    local name=$1 code=$2 reason=$3 text=$4 causes=$5 said status cause
    shift 5
    if said=$("$@" -v=9 2>&1); then
        fail "$name" "was not rejected: $(printf '%s' "$said" | tail -n 3)"
        return
    fi
    # kubectl logs the response body, in some versions with another level of quotes; removing backslashes makes them equal.
    status=$(printf '%s' "$said" | tr -d '\\\n\t')
    if [[ "$status" != *'{"kind":"Status"'* ]]; then
        fail "$name" "no Status in the response: $(printf '%s' "$said" | tail -n 3)"
        return
    fi
    status='{"kind":"Status"'${status##*'{"kind":"Status"'}
    if [[ "$status" != *"\"code\":$code"* || "$status" != *"\"reason\":\"$reason\""* || "$status" != *"$text"* ]]; then
        fail "$name" "wanted: $code $reason ... $text ..."$'\n'"got:    $status"
        return
    fi
    for cause in $causes; do
        if ! grep -qE "\"reason\":\"${cause%@*}\",\"message\":\"[^{}]*\",\"field\":\"${cause#*@}\"" <<<"$status"; then
            fail "$name" "lacks the cause $cause: $status"
            return
        fi
    done
    REFUSAL=$status
    pass "$name"
}

# eventually SECONDS COMMAND...: waits for the command to succeed.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then return 1; fi
        sleep 0.1
    done
}

# Creates the namespace, if the server has namespaces; otherwise every valid name is accepted.
open_namespace() { k create namespace "$NS" >/dev/null 2>&1 || true; }

# Deletes all objects of this run: claims, retained allocations, then pools from the leaves up.
clean_up() {
    kn patch ipclaims -l "e2e=$RUN" --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null 2>&1 || true
    kn delete ipclaims --all --wait=false >/dev/null 2>&1 || true
    kn delete ipallocations --all --wait=false >/dev/null 2>&1 || true
    local round
    for round in 1 2 3 4 5 6; do
        [ -z "$(k get ippools -l "e2e=$RUN" -o name 2>/dev/null)" ] && break
        k delete ippools -l "e2e=$RUN" --wait=false >/dev/null 2>&1 || true
    done
    k delete namespace "$NS" --wait=false >/dev/null 2>&1 || true
    rm -rf "$WORK"
}

# Call from a trap on EXIT: cleans up and prints the result.
finish() {
    local status=$?
    trap - EXIT
    clean_up
    if [ "$status" -ne 0 ]; then failed=$((failed + 1)); echo "not ok $((passed + failed)) - the script ran to its end"; fi
    printf '1..%d\n%d passed, %d failed\n' "$((passed + failed))" "$passed" "$failed"
    # In a trap, `exit` without an argument would return the status from before the trap.
    if [ "$failed" -gt 0 ]; then exit 1; fi
    exit 0
}
