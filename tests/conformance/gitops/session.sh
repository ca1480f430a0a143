#!/usr/bin/env bash
# Applies examples/ as one set, and runs the commands of docs/operating/gitops.md, with real kubectl on an empty server.
#
#   KUBECONFIG   the server, which has no pools (required)
#   KUBECTLS     the versions of kubectl that try examples/; the last of them runs the commands of the page (required)
#   IPAM         the binary (required)
#   DATA_DIR     the server's data directory (required)
# shellcheck disable=SC2016,SC2317
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit 1
ROOT=$PWD
KUBECTL=${KUBECTLS##* }
# shellcheck source=tests/e2e/common.sh
. tests/e2e/common.sh
# shellcheck source=tests/conformance/gitops/page.sh
. tests/conformance/gitops/page.sh
# The commands use these without a path, and change the examples.
mkdir "$WORK/bin"
ln -s "$KUBECTL" "$WORK/bin/kubectl"
ln -s "$IPAM" "$WORK/bin/ipam"
ln -s "$DATA_DIR" "$WORK/data"
cp -r examples "$WORK/examples"
PATH=$WORK/bin:$PATH
cd "$WORK" || exit 1

take_everything_away() {
    local round
    k delete ipclaims --all -A >/dev/null 2>&1
    k delete ipallocations --all -A >/dev/null 2>&1
    for round in 1 2 3; do
        [ -z "$(k get ippools -o name)" ] && break
        k delete ippools --all >/dev/null 2>&1
    done
    is "no objects remain" "$(k get ippools,ipclaims,ipallocations -A -o name)" ""
}

finish() {
    local status=$?
    trap - EXIT
    k delete ipclaims --all -A >/dev/null 2>&1
    rm -rf "$WORK"
    if [ "$status" -ne 0 ]; then fail "the script ran to its end" "exit status $status"; fi
    echo "# gitops: $passed passed, $failed failed, 0 skipped ($SECONDS s)"
    [ "$failed" -eq 0 ] || exit 1
    exit 0
}
trap finish EXIT

# differs NAME COMMAND...: runs a kubectl diff that must find differences without errors.
differs() {
    local name=$1 status=0
    shift
    OUT=$("$@" 2>&1) || status=$?
    if [ "$status" -eq 1 ]; then pass "$name"; else fail "$name" "exit status $status: $OUT"; fi
}

# holdings: prints the claims with their blocks.
holdings() { k get ipclaims -A --no-headers -o custom-columns=NAME:.metadata.name,PHASE:.status.phase,CIDR:.status.allocatedCIDR | sort | tr -s ' '; }
block_of() { k get ipclaim "$1" -n default -o 'jsonpath={.status.allocatedCIDR}'; }
unbound() { k get ipclaims -A -o 'jsonpath={range .items[?(@.status.phase!="Bound")]}{.metadata.name} {end}'; }

section "examples/ as one set, on an empty server"
for KUBECTL in $KUBECTLS; do
    differs "kubectl diff -f examples/, ${KUBECTL##*/}" k diff -f examples/
    does "kubectl apply --dry-run=server -f examples/, ${KUBECTL##*/}" k apply --dry-run=server -f examples/
    does "by server-side apply, ${KUBECTL##*/}" k apply --server-side --dry-run=server -f examples/
done
is "the dry runs created nothing" "$(k get ippools,ipclaims,ipallocations -A -o name 2>/dev/null)" ""
does "kubectl apply -f examples/" k apply -f examples/
is "every claim is bound" "$(unbound)" ""
is "every claim exists" "$(k get ipclaims -A -o name | wc -l)" "$(cat examples/*.yaml | grep -c '^kind: IPClaim$')"
does "kubectl diff -f examples/ finds no difference" k diff -f examples/
take_everything_away

section "kustomize"
differs "kubectl diff" shown 'kubectl diff -k examples/gitops'
does "kubectl apply" shown 'kubectl apply -k examples/gitops'
is "every claim is bound" "$(unbound)" ""
is "the claim with an address has that block" "$(block_of ingress)" 172.16.255.0/24
does "kubectl diff finds no difference" shown 'kubectl diff -k examples/gitops'

section "pruning by an allowlist"
sed -i '/archive.yaml/d' examples/gitops/claims/kustomization.yaml
PRUNE='kubectl apply -k examples/gitops --prune -l team=addresses --prune-allowlist=ipam.miloapis.com/v1alpha1/IPClaim --prune-allowlist=ipam.miloapis.com/v1alpha1/IPPool'
does "what left the repository is pruned" shown "$PRUNE"
has "the output names the pruned claim" "$OUT" 'ipclaim.ipam.miloapis.com/archive pruned'
is "no other claim is pruned" "$(k get ipclaims -n default -o name | wc -l)" 2
is "the block of the pruned claim is retained" "$(k get ipallocations -n default -o 'jsonpath={.items[?(@.status.phase=="Retained")].status.allocatedCIDR}')" 172.16.16.0/24

section "pruning by an apply set"
SET='KUBECTL_APPLYSET=true kubectl apply -k examples/gitops -n default --prune --applyset=configmaps/addresses'
does "the apply set adopts the existing objects" shown "$SET"
sed -i '/nodes.yaml/d' examples/gitops/claims/kustomization.yaml
does "what left the repository is pruned" shown "$SET"
has "the output names the pruned claim" "$OUT" 'ipclaim.ipam.miloapis.com/nodes pruned'
is "no other claim is pruned" "$(k get ipclaims -n default -o name)" ipclaim.ipam.miloapis.com/ingress
k delete configmap addresses -n default >/dev/null
take_everything_away

# as_velero FILE...: creates one object after the other, without its status and what else a server writes.
as_velero() {
    local file
    for file in "$@"; do
        jq 'del(.status) | .metadata |= with_entries(select(.key | IN("name", "namespace", "labels", "annotations")))' "$file" | k create -f - 2>&1
    done
}

section "restoring"
cp -r "$ROOT/examples" .
does "pools and claims" k apply -k examples/gitops
# Except `ingress`, no claim has the next free block, so each would get another block without a pinned address.
k delete ipclaim nodes -n default >/dev/null
k create -f - >/dev/null <<<"$(claim gap '"poolRef":{"name":"fleet-eu"},"prefixLength":20')"
k apply -k examples/gitops >/dev/null 2>&1
k delete ipclaim gap -n default >/dev/null
WHOLE=$(holdings)

# saved NAME COMMAND: runs the command that writes restore.json.
saved() {
    does "$1" shown "$2"
    mv restore.json "$1.json"
}
does "unchanged objects" shown 'kubectl get ippools,ipclaims -A -o yaml > backup.yaml'
saved "objects with their status" 'kubectl get namespaces,ippools,ipclaims -A -o json | jq -f examples/gitops/restore.jq > restore.json'
saved "objects from the unchanged backup" \
    "kubectl create --dry-run=client -o json -f backup.yaml | jq -s '{items: .}' | jq -f examples/gitops/restore.jq > restore.json"
does "a backup of the store" shown 'ipam store backup --data-dir data backup.db'
does "an export of the backup" shown 'ipam store export --backup backup.db backup.jsonl'
saved "objects of the store" "jq -s '{items: [.[].record.object | objects]}' backup.jsonl | jq -f examples/gitops/restore.jq > restore.json"
mkdir -p resources/ippools.ipam.miloapis.com/cluster resources/ipclaims.ipam.miloapis.com/namespaces/default
for pool in fleet fleet-eu; do
    k get ippool "$pool" -o json >"resources/ippools.ipam.miloapis.com/cluster/$pool.json"
done
for claim in archive ingress nodes; do
    k get ipclaim "$claim" -n default -o json >"resources/ipclaims.ipam.miloapis.com/namespaces/default/$claim.json"
done
saved "objects of Velero" \
    "jq -s '{items: .}' resources/ippools.ipam.miloapis.com/cluster/*.json resources/ipclaims.ipam.miloapis.com/namespaces/*/*.json | jq -f examples/gitops/restore.jq > restore.json"

take_everything_away
OUT=$(k create -f backup.yaml 2>&1)
has "a create without pins warns of other blocks" "$OUT" Warning spec.address
isnt "the blocks differ" "$(holdings)" "$WHOLE"
take_everything_away
POOLS=(resources/ippools.ipam.miloapis.com/cluster/*.json)
OUT=$(as_velero "${POOLS[@]}")
has "Velero's create of a child whose file comes before its parent's is rejected" "$OUT" 'IPPool "fleet" not found'
OUT=$(as_velero "${POOLS[@]}" resources/ipclaims.ipam.miloapis.com/namespaces/*/*.json)
is "a second restore has every level of pools, and the claims" "$(k get ippools,ipclaims -A -o name | wc -l)" 5
lacks "without a status there is no warning" "$OUT" Warning
isnt "the blocks differ again" "$(holdings)" "$WHOLE"
for from in "objects with their status" "objects from the unchanged backup" "objects of the store" "objects of Velero"; do
    take_everything_away
    cp "$from.json" restore.json
    does "$from are created" shown 'kubectl create -f restore.json'
    is "every claim has its block" "$(holdings)" "$WHOLE"
done
does "the manifests of the repository can be applied" k apply -k examples/gitops
is "the apply changes no block" "$(holdings)" "$WHOLE"
take_everything_away

section "pinning"
does "pools and claims" k apply -k examples/gitops
does "pinning the addresses of existing claims" shown 'kubectl get ipclaims -A -o json | jq -r -f examples/gitops/pin.jq | sh'
is "the claim has its block in spec.address" "$(k get ipclaim nodes -n default -o 'jsonpath={.spec.address}')" "$(block_of nodes)"
does "the manifests of the repository can be applied" k apply -k examples/gitops
is "the apply keeps the pinned address" "$(k get ipclaim nodes -n default -o 'jsonpath={.spec.address}')" "$(block_of nodes)"
take_everything_away
