#!/usr/bin/env bash
# A fixed sequence of typical kubectl commands, for recorded requests.
#
#   KUBECONFIG   the server, which is empty
#   KUBECTL      the kubectl
# The first argument is a directory for temporary files.
set -uo pipefail
: "${KUBECONFIG:?names the kubeconfig of the server}"
WORK=${1:?a directory}
WATCH_SECONDS=2
export KUBECACHEDIR=$WORK/cache
rm -rf "$KUBECACHEDIR"
VERSION=ipam.miloapis.com/v1alpha1

k() { "$KUBECTL" "$@" </dev/null || true; }

cat >"$WORK/pool.yaml" <<EOF
apiVersion: $VERSION
kind: IPPool
metadata: {name: root, labels: {tier: one}}
spec: {cidr: 10.0.0.0/16, allocation: {minPrefixLength: 20, maxPrefixLength: 32, defaultPrefixLength: 26}}
EOF
cat >"$WORK/claim.yaml" <<EOF
apiVersion: $VERSION
kind: IPClaim
metadata: {name: web, namespace: default, annotations: {note: one}}
spec: {poolRef: {name: root}, prefixLength: 28}
EOF
cat >"$WORK/role.yaml" <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: applied}
rules: [{apiGroups: [ipam.miloapis.com], resources: [ippools], verbs: [get]}]
EOF
sed 's/verbs: .get./verbs: [get, list]/' "$WORK/role.yaml" >"$WORK/role-changed.yaml"
sed 's/note: one/note: two/' "$WORK/claim.yaml" >"$WORK/changed.yaml"
sed 's/name: web/name: db/; s/prefixLength: 28/prefixLength: 28, colour: blue/' "$WORK/claim.yaml" >"$WORK/unknown.yaml"
sed 's/name: web/name: cache/' "$WORK/claim.yaml" >"$WORK/cache.yaml"
sed 's/name: web/name: held/; s/annotations: /finalizers: [x\/hold], annotations: /' "$WORK/claim.yaml" >"$WORK/held.yaml"

k api-resources
k api-versions
k explain ipclaim.spec
k create --dry-run=server -f "$WORK/pool.yaml"
k create -f "$WORK/pool.yaml"
k apply -f "$WORK/claim.yaml"
k apply -f "$WORK/claim.yaml"
k diff -f "$WORK/changed.yaml"
k apply -f "$WORK/changed.yaml"
k apply --server-side -f "$WORK/claim.yaml"
k apply --server-side --field-manager=other -f "$WORK/changed.yaml"
k apply --server-side --field-manager=other --force-conflicts --dry-run=server -f "$WORK/changed.yaml"
k apply --server-side -f "$WORK/cache.yaml"
k create -f "$WORK/unknown.yaml"
k create --validate=warn -f "$WORK/unknown.yaml"
k get ippools
k get ipclaims -A -o wide --sort-by=.metadata.name
k get ipclaims --chunk-size=1 -o name
k get ipclaims -l tier=none
k get ipclaims --field-selector status.phase=Bound -o yaml
k get ipclaim web -o json --show-managed-fields
k get ipclaim none
k get ipam
k get ipclaim web --subresource=status
timeout "$WATCH_SECONDS" "$KUBECTL" get ipclaims --watch --output-watch-events
timeout "$WATCH_SECONDS" "$KUBECTL" get ipclaims --watch-only
timeout "$WATCH_SECONDS" "$KUBECTL" get ipclaim web --watch
k describe ippool root
k describe ipclaim web
k label ipclaim web tier=front
k annotate ipclaim web note-
k patch ipclaim web --type=merge -p '{"spec":{"reclaimPolicy":"Retain"}}'
k patch ipclaim web --type=json -p '[{"op":"replace","path":"/spec/reclaimPolicy","value":"Delete"}]'
k patch ipclaim web --type=strategic -p '{"metadata":{"labels":{"a":"b"}}}'
k patch ipclaim web --subresource=status --type=json -p '[{"op":"add","path":"/status/conditions/-","value":{"type":"Seen","status":"True","reason":"Session","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}}]'
KUBE_EDITOR='sed -i s/tier:.front/tier:\ back/' k edit ipclaim web
"$KUBECTL" get ipclaim web -o yaml | sed 's/tier: back/tier: replaced/' >"$WORK/replace.yaml"
k replace -f "$WORK/replace.yaml"
k replace -f "$WORK/replace.yaml"
k wait --for=condition=Ready ipclaim/web --timeout=5s
k wait --for='jsonpath={.status.phase}=Bound' ipclaim/web --timeout=5s
k delete ippool root --wait=false
k create -f "$WORK/held.yaml"
k delete ipclaim held --wait=false
k patch ipclaim held --type=merge -p '{"metadata":{"finalizers":null}}'
# The garbage collector runs at no fixed time, but a record has one order: the session only requests the deletion.
k delete ipclaim cache --cascade=orphan --dry-run=server
k delete ippool root --cascade=foreground --dry-run=server
k delete ipclaims --all
k delete ippools -l tier=one
k auth can-i create ipclaims
k auth can-i --list
k auth whoami
k create clusterrole reader --verb=get,list --resource=ippools
k create role claimer --verb=create,delete --resource=ipclaims -n default
k create rolebinding claimer --role=claimer --user=jane -n default
k create clusterrolebinding reader --clusterrole=reader --group=readers
k apply -f "$WORK/role.yaml"
k apply -f "$WORK/role-changed.yaml"
k auth reconcile -f "$WORK/role.yaml"
k auth can-i create ipclaims -n default --as jane
k get ipclaims -n default --as jane
k get clusterroles,clusterrolebindings,roles,rolebindings -A -o wide
k describe clusterrole applied
k describe rolebinding claimer -n default
k get --raw '/readyz?verbose'
exit 0
