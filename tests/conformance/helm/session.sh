#!/usr/bin/env bash
# Installs, changes and removes two releases of the charts in examples/gitops/helm, which Helm stores in ConfigMaps, and runs the Helm
# commands of docs/operating/gitops.md, in the default namespace.
#
#   HELM              the helm to use (required)
#   KUBECONFIG        the server (required)
#   CONFORMANCE_NET   two octets: the address space of this program
# shellcheck disable=SC2317
set -uo pipefail
export HELM_DRIVER=configmap
export E2E_V4=$CONFORMANCE_NET
cd "$(dirname "$0")/../../.." || exit 1
# shellcheck source=tests/e2e/common.sh
. tests/e2e/common.sh
# shellcheck source=tests/conformance/gitops/page.sh
. tests/conformance/gitops/page.sh
# The commands name it without a path.
mkdir "$WORK/bin"
ln -s "$HELM" "$WORK/bin/helm"
PATH=$WORK/bin:$PATH
CHARTS=examples/gitops/helm

VERSION=$("$HELM" version --template '{{.Version}}')
NS=helm-$RUN-${CONFORMANCE_NET##*.}
POOL=$NS
h() { "$HELM" -n "$NS" "$@"; }

finish() {
    local status=$?
    trap - EXIT
    h uninstall web "$POOL" >/dev/null 2>&1
    helm uninstall web fleet >/dev/null 2>&1
    rm -rf "$WORK"
    if [ "$status" -ne 0 ]; then fail "the script ran to its end" "exit status $status"; fi
    echo "# helm $VERSION: $passed passed, $failed failed, 0 skipped ($SECONDS s)"
    [ "$failed" -eq 0 ] || exit 1
    exit 0
}
trap finish EXIT

# block: prints the block of the claim from the notes of the release.
block() { h upgrade web "$CHARTS/claims" --reuse-values --dry-run=server 2>&1 | grep '^block='; }

does "install creates the namespace" h install "$POOL" "$CHARTS/pools" --create-namespace --wait --timeout 60s --set "cidr=$E2E_V4.0.0/24"
does "install of a claim" h install web "$CHARTS/claims" --wait --timeout 60s --set "pool=$POOL"
is "lookup finds the block" "$(block)" "block=$E2E_V4.0.0/25 tier=one"
# Helm 4 shows the notes by default.
SHOW=()
if [[ $VERSION == v3.* ]]; then SHOW=(--show-resources); fi
has "status shows the claim" "$(h status web "${SHOW[@]}" 2>&1)" "STATUS: deployed" IPClaim
does "upgrade without changes" h upgrade web "$CHARTS/claims" --wait --timeout 60s --reuse-values
does "upgrade" h upgrade web "$CHARTS/claims" --wait --timeout 60s --reuse-values --set tier=two
is "upgrade changes the claim and keeps its block" "$(block)" "block=$E2E_V4.0.0/25 tier=two"
does "rollback" h rollback web 1 --wait --timeout 60s
is "rollback restores the claim" "$(block)" "block=$E2E_V4.0.0/25 tier=one"
is "history" "$(h history web -o json | grep -o '"revision":[0-9]*' | tr '\n' ' ')" \
    '"revision":1 "revision":2 "revision":3 "revision":4 '
if OUT=$(h install taken "$CHARTS/claims" --wait --set "pool=nowhere" 2>&1); then
    fail "a claim on a missing pool is rejected" "$OUT"
else
    has "a claim on a missing pool is rejected with the reason" "$OUT" 'IPPool "nowhere" not found'
fi
does "uninstall of the failed release" h uninstall taken
does "uninstall" h uninstall web --wait --timeout 60s
does "uninstall of the unused pool" h uninstall "$POOL" --wait --timeout 60s
is "no releases remain" "$(h list -q)" ""

section "the commands of the page"
does "the driver that this script uses" shown "export HELM_DRIVER=$HELM_DRIVER"
does "install of a pool" shown 'helm install fleet examples/gitops/helm/pools --set cidr=172.16.0.0/12'
does "install of a claim on it" shown 'helm install web examples/gitops/helm/claims --set pool=fleet'
has "lookup finds the block" "$(helm upgrade web "$CHARTS/claims" --reuse-values --dry-run=server 2>&1)" "block=172.16.0.0/25 tier=one"
does "uninstall" helm uninstall web
does "and of the pool" helm uninstall fleet
