#!/usr/bin/env bash
# Tests the kubectl commands with these kinds, for every given kubectl.
#
#   KUBECONFIG   the server (required)
#   KUBECTLS     the kubectls to use, separated by spaces (default: kubectl)
#   E2E_RUN      the number of the run; E2E_V4 (two octets): the address space that it uses
# shellcheck disable=SC2317
set -uo pipefail
KUBECTLS=${KUBECTLS:-kubectl}
# The first creates the namespace, and the last cleans up. Each has its own discovery cache.
read -r KUBECTL _ <<<"$KUBECTLS"
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
export KUBECACHEDIR=$WORK/cache
P=surf-$RUN
NS=$P
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
open_namespace

# Prints the headings of a table, separated by single spaces; kubectl separates columns by at least three.
headings() { "$@" 2>&1 | head -n 1 | sed 's/   */|/g; s/|$//'; }

# Prints the words of the line of output that begins with $1.
line() { grep "^$1 " | tr -s ' '; }

discovery() {
    local resources
    resources=$(k api-resources --api-group="$GROUP" 2>&1)
    is "$V pools in discovery" "$(line ippools <<<"$resources")" "ippools ippool $VERSION false IPPool"
    is "$V claims in discovery" "$(line ipclaims <<<"$resources")" "ipclaims ipclaim $VERSION true IPClaim"
    is "$V allocations in discovery" "$(line ipallocations <<<"$resources")" "ipallocations ipalloc $VERSION true IPAllocation"
    has "$V api-versions" "$(k api-versions 2>&1)" "$VERSION"
    has "$V version" "$(k version 2>&1)" "Server Version: v"
    has "$V explain a kind" "$(k explain ippool 2>&1)" "IPPool" "$GROUP" "FIELDS:" "spec" "status"
    has "$V explain ipclaim.spec" "$(k explain ipclaim.spec 2>&1)" "poolRef" "poolSelector" "prefixLength" "<integer>" "reclaimPolicy"
    has "$V explain metadata" "$(k explain ippool.metadata 2>&1)" "ownerReferences" "uid"
    has "$V explain a leaf" "$(k explain ipclaim.spec.prefixLength 2>&1)" "prefixLength" "DESCRIPTION:"
    is "$V every field has a description" "$(k explain ipclaim.spec 2>&1 | grep -c '<no description>')" 0
    has "$V explain --recursive" "$(k explain ipclaim --recursive 2>&1)" "matchExpressions" "boundAllocationRef" "managedFields"
    # Later versions may have no such output.
    if "$KUBECTL" explain --help 2>&1 | grep -q plaintext-openapiv2; then
        has "$V explain from OpenAPI v2" "$(k explain --output=plaintext-openapiv2 ipclaim.spec 2>&1)" "poolRef" "prefixLength" "<integer>" "reclaimPolicy"
    fi
    is "$V /readyz" "$(k get --raw /readyz 2>&1)" ok
    is "$V raw JSON ends with a line break" "$(k get --raw "/apis/$GROUP" | tail -c 1 | od -An -c | tr -d ' ')" '\n'
    has "$V /readyz?verbose" "$(k get --raw '/readyz?verbose' 2>&1)" "[+]ping ok" "readyz check passed"
    is "$V /livez" "$(k get --raw /livez 2>&1)" ok
    has "$V metrics" "$(k get --raw /metrics 2>&1)" "# TYPE "
}

writing() {
    local manifest=$WORK/pool.json
    pool "$N-root" "\"cidr\":\"$V4.$((16 * I)).0/22\"" >"$manifest"
    is "$V dry run of apply" "$(k apply --dry-run=server -f "$manifest" 2>&1)" "ippool.$GROUP/$N-root created (server dry run)"
    is "$V the dry run creates nothing" "$(k get ippool "$N-root" -o name --ignore-not-found 2>&1)" ""
    is "$V apply" "$(k apply -f "$manifest" 2>&1)" "ippool.$GROUP/$N-root created"
    is "$V apply again" "$(k apply -f "$manifest" 2>&1)" "ippool.$GROUP/$N-root unchanged"
    does "$V diff of the same" k diff -f "$manifest"
    sed 's/"spec":{/"spec":{"visibility":"shared",/' "$manifest" >"$WORK/changed.json"
    local difference
    difference=$(k diff -f "$WORK/changed.json" 2>&1)
    is "$V diff of a change ends with 1" "$?" 1
    has "$V diff shows the change" "$difference" "+  visibility: shared"
    is "$V apply of the change" "$(k apply -f "$WORK/changed.json" 2>&1)" "ippool.$GROUP/$N-root configured"
    is "$V the applied change is stored" "$(k get ippool "$N-root" -o 'jsonpath={.spec.visibility} {.metadata.generation}' 2>&1)" "shared 2"
    is "$V edit" "$(KUBE_EDITOR='sed -i s/visibility:.shared/visibility:\ consumer/' k edit ippool "$N-root" 2>&1)" \
        "ippool.$GROUP/$N-root edited"
    is "$V the edited change is stored" "$(k get ippool "$N-root" -o 'jsonpath={.spec.visibility}' 2>&1)" consumer
    is "$V label" "$(k label ippool "$N-root" surf=yes 2>&1)" "ippool.$GROUP/$N-root labeled"
    is "$V annotate" "$(k annotate ippool "$N-root" surf/note=one 2>&1)" "ippool.$GROUP/$N-root annotated"
    is "$V the annotation is stored" "$(k get ippool "$N-root" -o 'jsonpath={.metadata.annotations.surf/note}' 2>&1)" one
    is "$V patch --type=merge" "$(k patch ippool "$N-root" --type=merge -p '{"spec":{"allocation":{"strategy":"BestFit"}}}' 2>&1)" \
        "ippool.$GROUP/$N-root patched"
    is "$V patch --type=json" "$(k patch ippool "$N-root" --type=json \
        -p '[{"op":"test","path":"/spec/allocation/strategy","value":"BestFit"},{"op":"replace","path":"/spec/allocation/strategy","value":"FirstFit"}]' 2>&1)" \
        "ippool.$GROUP/$N-root patched"
    is "$V patch without changes" "$(k patch ippool "$N-root" --type=merge -p '{"spec":{"visibility":"consumer"}}' 2>&1)" \
        "ippool.$GROUP/$N-root patched (no change)"
    refused "$V patch --type=json whose test fails" 422 Invalid "" "" k patch ippool "$N-root" --type=json \
        -p '[{"op":"test","path":"/spec/visibility","value":"platform"}]'
    refused "$V patch --type=strategic" 415 UnsupportedMediaType "" "" k patch ippool "$N-root" --type=strategic -p '{"metadata":{"labels":{"a":"b"}}}'
    k get ippool "$N-root" -o yaml >"$WORK/replace.yaml" 2>/dev/null
    sed -i 's/surf: "yes"/surf: replaced/; s/surf: yes/surf: replaced/' "$WORK/replace.yaml"
    is "$V replace" "$(k replace -f "$WORK/replace.yaml" 2>&1)" "ippool.$GROUP/$N-root replaced"
    is "$V the replaced label is stored" "$(k get ippool "$N-root" -o 'jsonpath={.metadata.labels.surf}' 2>&1)" replaced
    refused "$V replace of an old version" 409 Conflict "the object has been modified" "" k replace -f "$WORK/replace.yaml"
    has "$V describe" "$(k describe ippool "$N-root" 2>&1)" "Name:         $N-root" "Allocated CIDR:" "Largest Free Prefix:"
}

# Server-side apply: ownership, conflicts, and migration from client-side apply.
applying() {
    local manifest=$WORK/applied.json theirs=$WORK/theirs.json name=$N-applied
    claim "$name" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30" '"annotations":{"surf/a":"1"}' >"$manifest"
    has "$V apply --server-side --dry-run=server" "$(kn apply --server-side --dry-run=server -f "$manifest" 2>&1)" \
        "ipclaim.$GROUP/$name serverside-applied (server dry run)"
    is "$V the server-side dry run creates nothing" "$(kn get ipclaim "$name" -o name --ignore-not-found 2>&1)" ""
    is "$V apply --server-side" "$(kn apply --server-side -f "$manifest" 2>&1)" "ipclaim.$GROUP/$name serverside-applied"
    local version
    version=$(field ipclaim "$name" '{.metadata.resourceVersion}')
    is "$V apply --server-side again" "$(kn apply --server-side -f "$manifest" 2>&1)" "ipclaim.$GROUP/$name serverside-applied"
    is "$V the second server-side apply changes nothing" "$(field ipclaim "$name" '{.metadata.resourceVersion}')" "$version"
    is "$V the field manager of server-side apply" "$(kn get ipclaim "$name" --show-managed-fields -o 'jsonpath={.metadata.managedFields[*].manager}' 2>&1)" kubectl
    lacks "$V managed fields are hidden by default" "$(kn get ipclaim "$name" -o yaml 2>&1)" managedFields
    does "$V diff --server-side of the same" kn diff --server-side -f "$manifest"
    sed 's|"surf/a":"1"|"surf/a":"2"|' "$manifest" >"$theirs"
    local conflict
    conflict=$(kn apply --server-side --field-manager=other -f "$theirs" 2>&1)
    is "$V apply of another manager's field fails" "$?" 1
    has "$V the conflict names the field and the manager" "$conflict" 'Apply failed with 1 conflict: conflict with "kubectl"' '.metadata.annotations.surf/a'
    is "$V apply with --force-conflicts" "$(kn apply --server-side --field-manager=other --force-conflicts -f "$theirs" 2>&1)" \
        "ipclaim.$GROUP/$name serverside-applied"
    is "$V the forced change is stored" "$(field ipclaim "$name" '{.metadata.annotations.surf/a}')" 2
    does "$V delete the applied claim" kn delete ipclaim "$name"
    is "$V client-side apply" "$(kn apply -f "$manifest" 2>&1)" "ipclaim.$GROUP/$name created"
    is "$V server-side apply after client-side apply" "$(kn apply --server-side -f "$manifest" 2>&1)" \
        "ipclaim.$GROUP/$name serverside-applied"
    is "$V the fields of client-side apply are migrated" \
        "$(kn get ipclaim "$name" --show-managed-fields -o 'jsonpath={range .metadata.managedFields[*]}{.manager}:{.operation}{"\n"}{end}' 2>&1 | sort | xargs)" \
        "kubectl-last-applied:Apply kubectl:Apply"
    claim "$name" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30" >"$manifest"
    does "$V apply --server-side without the annotation" kn apply --server-side -f "$manifest"
    is "$V the omitted annotation is removed" "$(field ipclaim "$name" '{.metadata.annotations.surf/a}')" ""
    does "$V delete the migrated claim" kn delete ipclaim "$name"
}

subresources() {
    is "$V get --subresource=status" "$(kn get ipclaim "$N-1" --subresource=status -o 'jsonpath={.status.phase}' 2>&1)" Bound
    local seen='{"type":"Seen","status":"True","reason":"Surface","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}'
    is "$V patch --subresource=status" "$(kn patch ipclaim "$N-1" --subresource=status --type=json \
        -p "[{\"op\":\"add\",\"path\":\"/status/conditions/-\",\"value\":$seen}]" 2>&1)" "ipclaim.$GROUP/$N-1 patched"
    does "$V wait for the added condition" kn wait --for=condition=Seen "ipclaim/$N-1" --timeout=10s
    is "$V a patch of the object does not change the status" \
        "$(kn patch ipclaim "$N-1" --type=merge -p '{"status":{"phase":"Pending"}}' 2>&1)" "ipclaim.$GROUP/$N-1 patched (no change)"
}

finalizers() {
    local name=$N-held
    claim "$name" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30" '"finalizers":["surf/hold"]' | kn create -f - >/dev/null 2>&1
    is "$V delete of a claim with a finalizer" "$(kn delete ipclaim "$name" --wait=false 2>&1)" "ipclaim.$GROUP \"$name\" deleted"
    is "$V the claim with a finalizer is releasing" "$(field ipclaim "$name" '{.status.phase}')" Releasing
    does "$V the claim with a finalizer has a deletionTimestamp" test -n "$(field ipclaim "$name" '{.metadata.deletionTimestamp}')"
    "$KUBECTL" -n "$NS" wait --for=delete "ipclaim/$name" --timeout=20s >"$WORK/gone-$I" 2>&1 &
    local waiter=$!
    is "$V remove the last finalizer" "$(kn patch ipclaim "$name" --type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]' 2>&1)" \
        "ipclaim.$GROUP/$name patched"
    wait "$waiter"
    is "$V wait --for=delete ends" "$?" 0
    claim "$name" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30" | kn create -f - >/dev/null 2>&1
    is "$V delete --cascade=orphan" "$(kn delete ipclaim "$name" --cascade=orphan --timeout=10s 2>&1)" "ipclaim.$GROUP \"$name\" deleted"
}

validation() {
    local unknown=$WORK/unknown.json
    claim "$N-unknown" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":28,\"colour\":\"blue\"" >"$unknown"
    has "$V an unknown field is refused" "$(kn create -f "$unknown" 2>&1)" 'unknown field "spec.colour"'
    has "$V --validate=strict refuses it" "$(kn create --validate=strict -f "$unknown" 2>&1)" 'unknown field "spec.colour"'
    is "$V the rejected claims do not exist" "$(kn get ipclaim "$N-unknown" -o name --ignore-not-found 2>&1)" ""
    has "$V --validate=warn warns" "$(kn create --validate=warn -f "$unknown" 2>&1)" 'Warning: unknown field "spec.colour"' "created"
    is "$V the unknown field is dropped" "$(kn get ipclaim "$N-unknown" -o 'jsonpath={.spec.colour}' 2>&1)" ""
    does "$V delete the claim with a warning" kn delete ipclaim "$N-unknown"
    is "$V --validate=ignore is silent" "$(kn create --validate=ignore -f "$unknown" 2>&1)" "ipclaim.$GROUP/$N-unknown created"
    does "$V delete the claim without validation" kn delete ipclaim "$N-unknown"
}

# Creates claims for the following checks.
claims() {
    local n
    for n in 1 2 3 4 5; do
        claim "$N-$n" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":$((24 + n))" '"annotations":{"surf/n":"'"$n"'"}'
    done | kn create -f - >/dev/null 2>&1
}

tables() {
    is "$V columns of pools" "$(headings k get ippools)" "NAME|CIDR|PHASE|FAMILY|LARGEST FREE|UTIL%|AGE"
    is "$V wide" "$(headings k get ippools -o wide)" "NAME|CIDR|PHASE|FAMILY|LARGEST FREE|UTIL%|AGE|PARENT|VISIBILITY|STRATEGY|AVAILABLE"
    is "$V columns of claims" "$(headings kn get ipclaims)" "NAME|PHASE|CIDR|POOL|FAMILY|LENGTH|AGE"
    is "$V wide" "$(headings kn get ipclaims -o wide)" "NAME|PHASE|CIDR|POOL|FAMILY|LENGTH|AGE|ALLOCATION|RECLAIM"
    is "$V columns of allocations" "$(headings kn get ipallocations)" "NAME|CIDR|POOL|CLAIM|PHASE|AGE"
    is "$V of all namespaces" "$(headings k get ipalloc -A)" "NAMESPACE|NAME|CIDR|POOL|CLAIM|PHASE|AGE"
    is "$V the cells of a claim" "$(kn get ipclaim "$N-1" --no-headers 2>&1 | tr -s ' ' | cut -d ' ' -f 1-6)" \
        "$N-1 Bound $V4.$((16 * I)).0/25 $N-root IPv4 25"
    is "$V the cells of a pool" "$(k get ippool "$N-root" --no-headers 2>&1 | tr -s ' ' | cut -d ' ' -f 1-6)" \
        "$N-root $V4.$((16 * I)).0/22 Ready IPv4 /23 24"
    has "$V the category" "$(kn get ipam 2>&1)" "ippool.$GROUP/$N-root" "ipclaim.$GROUP/$N-1" "ipallocation.$GROUP/alloc-"
    is "$V --sort-by" "$(kn get ipclaims --sort-by='{.spec.prefixLength}' -o name 2>&1 | grep "/$N-[1-5]$" | tail -n 1)" "ipclaim.$GROUP/$N-5"
    has "$V --show-labels" "$(kn get ipclaims --show-labels 2>&1)" "LABELS" "e2e=$RUN"
    is "$V --chunk-size=2 shows all" "$(kn get ipclaims --chunk-size=2 --no-headers 2>&1 | grep -c "^$N-[1-5] ")" 5
    is "$V -l" "$(k get ippools -l surf=replaced,e2e="$RUN" --no-headers 2>&1 | grep -c "^$N-root ")" 1
    is "$V -l with a set" "$(k get ippools -l "surf in (replaced,other),!none,e2e=$RUN" -o name 2>&1 | grep -c "/$N-root$")" 1
    is "$V --field-selector" "$(kn get ipclaims --field-selector "status.allocatedCIDR=$V4.$((16 * I)).0/25" -o name 2>&1)" "ipclaim.$GROUP/$N-1"
    refused "$V an unsupported field selector" 400 BadRequest "spec.colour" "" kn get ipclaims --field-selector spec.colour=blue
    has "$V the error names the supported field selectors" "$REFUSAL" metadata.name spec.ipFamily status.phase
    has "$V describe of a claim" "$(kn describe ipclaim "$N-1" 2>&1)" "Allocated CIDR:  $V4.$((16 * I)).0/25" "Bound Allocation Ref:"
}

# reported WHAT TEXT: diff, apply and server-side apply of the manifest on stdin each report the error, with its text.
reported() {
    local manifest=$WORK/refused.json said
    cat >"$manifest"
    # The exit status is 1 for a difference, and higher for an error.
    said=$(kn diff -f "$manifest" 2>&1)
    is "$V diff of $1 ends with an error" "$(($? > 1))" 1
    has "$V diff of $1 shows the error" "$said" "$2"
    lacks "$V diff of $1 does not panic" "$said" goroutine
    if said=$(kn apply -f "$manifest" 2>&1); then fail "$V apply of $1 fails" "$said"; else has "$V apply of $1 fails" "$said" "$2"; fi
    if said=$(kn apply --server-side -f "$manifest" 2>&1); then
        fail "$V apply --server-side of $1 fails" "$said"
    else
        has "$V apply --server-side of $1 fails" "$said" "$2"
    fi
    lacks "$V the error of $1 does not suggest --force-conflicts" "$said" force-conflicts
}

refusals() {
    local net=$V4.$((16 * I))
    pool "$N-overlap" "\"cidr\":\"$net.0/24\"" | reported "an overlapping pool" "overlaps with IPPool \"$N-root\""
    claim "$N-taken" "\"poolRef\":{\"name\":\"$N-root\"},\"address\":\"$net.0/25\"" | reported "a block in use" "held by IPClaim $NS/$N-1"
    claim "$N-kept" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30,\"reclaimPolicy\":\"Retain\"" >"$WORK/kept.json"
    kn create -f "$WORK/kept.json" >/dev/null 2>&1
    kn delete ipclaim "$N-kept" >/dev/null 2>&1
    reported "a claim with the name of a retained allocation" "still keeps $net." <"$WORK/kept.json"
    kn delete ipallocations --field-selector status.phase=Retained >/dev/null 2>&1
}

waiting() {
    does "$V wait for a field" kn wait --for='jsonpath={.status.phase}'=Bound "ipclaim/$N-1" --timeout=10s
    does "$V wait for a condition" kn wait --for=condition=Ready "ipclaim/$N-1" --timeout=10s
    "$KUBECTL" -n "$NS" get ipclaims -w --output-watch-events >"$WORK/watch-$I" 2>&1 &
    local watch=$!
    eventually 10 grep -q "$N-5" "$WORK/watch-$I" || true
    "$KUBECTL" -n "$NS" get ipclaims --watch-only -o name >"$WORK/only-$I" 2>&1 &
    local only=$!
    # Objects from before the watch must not appear. kubectl does not report when the watch has begun, so a change is repeated
    # until it appears.
    until_watched() {
        kn annotate ipclaim "$N-2" --overwrite "surf/tick=$RANDOM" >/dev/null 2>&1
        grep -q "$N-2" "$WORK/only-$I"
    }
    eventually 20 until_watched || true
    claim "$N-seen" "\"poolRef\":{\"name\":\"$N-root\"},\"prefixLength\":30" | kn create -f - >/dev/null 2>&1
    kn label ipclaim "$N-seen" surf=seen >/dev/null 2>&1
    is "$V delete --wait" "$(kn delete ipclaim "$N-seen" --wait 2>&1)" "ipclaim.$GROUP \"$N-seen\" deleted"
    eventually 10 grep -q "DELETED.*$N-seen" "$WORK/watch-$I" || true
    eventually 10 grep -q "$N-seen" "$WORK/only-$I" || true
    kill "$watch" "$only" 2>/dev/null
    wait "$watch" "$only" 2>/dev/null
    is "$V --watch-only shows only changes after its start" "$(sed 's|.*/||' "$WORK/only-$I" | sort -u | tr '\n' ' ')" "$N-2 $N-seen "
    is "$V a watch sees a life, each event once and in order" \
        "$(grep "$N-seen" "$WORK/watch-$I" | awk '{print $1}' | tr '\n' ' ')" "ADDED MODIFIED DELETED "
    kn delete ipclaim "$N-1" --wait=false >/dev/null 2>&1
    does "$V wait for the end" kn wait --for=delete "ipclaim/$N-1" --timeout=10s
    is "$V delete by label" "$(kn delete ipclaims -l "e2e=$RUN" 2>&1 | grep -c "\"$N-[2-5]\" deleted")" 4
    is "$V delete --cascade=foreground ends" \
        "$(k delete ippool "$N-root" --cascade=foreground --timeout=10s 2>&1)" "ippool.$GROUP \"$N-root\" deleted"
}

# Newer versions of kubectl also print the namespace of deleted objects; the checks remove it.
kn() { "$KUBECTL" -n "$NS" "$@" 2>&1 | sed "s/ deleted from $NS namespace\$/ deleted/"; return "${PIPESTATUS[0]}"; }

I=0
for KUBECTL in $KUBECTLS; do
    V=$("$KUBECTL" version --client -o json 2>/dev/null | sed -n 's/.*"gitVersion": *"v\([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    N=$P-$I
    section "kubectl $V"
    rm -rf "$KUBECACHEDIR"
    discovery
    writing
    applying
    validation
    claims
    tables
    subresources
    finalizers
    refusals
    waiting
    I=$((I + 1))
done
