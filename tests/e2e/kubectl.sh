#!/usr/bin/env bash
# Tests the behavior of the service with real kubectl only: eleven groups of checks against any server.
#
#   KUBECONFIG   the server (required)
#   KUBECTL      the kubectl to use (default: kubectl)
#   E2E_RUN      the number of the run; E2E_V4 (two octets) and E2E_V6 (two groups): the address space that it uses
# shellcheck disable=SC2317
set -uo pipefail
KUBECTL=${KUBECTL:-kubectl}
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
P=e2e-$RUN
NS=$P
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
open_namespace

# block N LENGTH: prints the block of this length at the start of the N-th /20 of the run's space, N from 0 to 15.
block() { echo "$V4.$((16 * $1)).0/$2"; }

claim_validation() {
    section "1. claim validation"
    local p=$P-valid
    does "create a pool for invalid claims" create_pool "$p" \
        "\"cidr\":\"$(block 0 24)\",\"allocation\":{\"minPrefixLength\":26,\"maxPrefixLength\":30}"
    local ref="\"poolRef\":{\"name\":\"$p\"}"
    check() { # NAME SPEC CODE REASON TEXT CAUSES
        claim "$P-bad" "$2" | refused "$1" "$3" "$4" "$5" "$6" kn create -f -
    }
    check "neither poolRef nor poolSelector" '"prefixLength":28' 422 Invalid spec FieldValueRequired@spec
    check "both poolRef and poolSelector" "$ref,\"poolSelector\":{\"matchLabels\":{\"a\":\"b\"}},\"prefixLength\":28" \
        422 Invalid "mutually exclusive" FieldValueForbidden@spec
    check "a length of zero" "$ref,\"prefixLength\":0" 422 Invalid "must be greater than 0" FieldValueInvalid@spec.prefixLength
    check "a negative length" "$ref,\"prefixLength\":-1" 422 Invalid "must be greater than 0" FieldValueInvalid@spec.prefixLength
    check "a length beyond the family" "$ref,\"prefixLength\":33" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength
    check "a block larger than the pool allows" "$ref,\"prefixLength\":25" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength
    has "the error names both bounds" "$REFUSAL" 26 30
    check "a block smaller than the pool allows" "$ref,\"prefixLength\":31" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength
    check "no length and no default length" "$ref" 422 Invalid prefixLength FieldValueRequired@spec.prefixLength
    check "another family than that of the pool" "$ref,\"prefixLength\":28,\"ipFamily\":\"IPv6\"" \
        422 Invalid "address family IPv6 does not match" FieldValueInvalid@spec.ipFamily
    check "an unknown family" "$ref,\"prefixLength\":28,\"ipFamily\":\"IPv5\"" \
        422 Invalid ipFamily FieldValueNotSupported@spec.ipFamily
    check "an unknown reclaim policy" "$ref,\"prefixLength\":28,\"reclaimPolicy\":\"Keep\"" \
        422 Invalid reclaimPolicy FieldValueNotSupported@spec.reclaimPolicy
    check "all field errors of a claim in one response" '"prefixLength":0' 422 Invalid "" "FieldValueRequired@spec FieldValueInvalid@spec.prefixLength"
    check "a pool that does not exist" "\"poolRef\":{\"name\":\"$P-none\"},\"prefixLength\":28" \
        400 BadRequest "IPPool \"$P-none\" not found" PoolNotFound@spec.poolRef.name
    check "a selector that matches nothing" "\"poolSelector\":{\"matchLabels\":{\"e2e-none\":\"$RUN\"}},\"prefixLength\":28" \
        400 BadRequest "no IPPool matches spec.poolSelector" ""
    has "the error has the cause NoPoolMatch" "$REFUSAL" '"reason":"NoPoolMatch"'
    check "an address outside the pool" "$ref,\"address\":\"$V4.255.0/28\"" 422 Invalid address FieldValueInvalid@spec.address
    check "an address with a leading zero" "$ref,\"address\":\"010.0.0.1\",\"prefixLength\":28" \
        422 Invalid address FieldValueInvalid@spec.address
    check "an address with another length" "$ref,\"address\":\"$V4.0.16/28\",\"prefixLength\":29" 422 Invalid address ""
    check "an unknown field" "$ref,\"prefixLength\":28,\"prefixlength\":28" 400 BadRequest 'unknown field "spec.prefixlength"' ""

    check_pool() { # NAME SPEC TEXT CAUSES
        pool "$P-bad" "$2" | refused "$1" 422 Invalid "$3" "$4" k create -f -
    }
    check_pool "a root pool without cidr" '"ipFamily":"IPv4"' cidr FieldValueRequired@spec.cidr
    check_pool "a cidr beyond the family" "\"cidr\":\"$V4.0.0/33\"" cidr FieldValueInvalid@spec.cidr
    check_pool "a cidr with a leading zero" '"cidr":"010.0.0.0/8"' cidr FieldValueInvalid@spec.cidr
    check_pool "an IPv4-mapped cidr" '"cidr":"::ffff:10.0.0.0/104"' cidr FieldValueInvalid@spec.cidr
    check_pool "a cidr of another family" "\"cidr\":\"$(block 1 24)\",\"ipFamily\":\"IPv6\"" ipFamily FieldValueInvalid@spec.ipFamily
    check_pool "a root pool with a length" "\"cidr\":\"$(block 1 24)\",\"prefixLength\":24" prefixLength FieldValueForbidden@spec.prefixLength
    check_pool "all field errors of a pool in one response" \
        "\"cidr\":\"$V4.0.0/33\",\"prefixLength\":24,\"allocation\":{\"minPrefixLength\":0,\"strategy\":\"Random\"}" "" \
        "FieldValueInvalid@spec.cidr FieldValueForbidden@spec.prefixLength FieldValueInvalid@spec.allocation.minPrefixLength FieldValueNotSupported@spec.allocation.strategy"

    is "no rejected claim exists" "$(kn get ipclaims -o name)" ""
    is "no rejected claim has an allocation" "$(kn get ipallocations -o name)" ""
    is "no rejected pool exists" "$(k get ippools -l "e2e=$RUN" -o name)" "ippool.$GROUP/$p"
    is "no rejected claim took space" "$(capacity "$p")" "256/0/256"
}

claim_lifecycle() {
    section "2. claim lifecycle"
    local p=$P-life c=$P-life-claim ref alloc
    ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28"
    does "create a pool" create_pool "$p" "\"cidr\":\"$(block 2 24)\""
    is "the response to a create has the block" "$(create_claim "$c" "$ref" 2>&1)" "Bound $V4.32.0/28"
    is "the stored claim has the block" "$(field ipclaim "$c" '{.status.phase} {.status.allocatedCIDR} {.status.poolRef.name}')" \
        "Bound $V4.32.0/28 $p"
    is "the conditions of the claim are true" \
        "$(field ipclaim "$c" '{range .status.conditions[*]}{.type}={.status} {end}' | tr ' ' '\n' | sort | tr -d '\n')" \
        "Allocated=TrueReady=True"
    is "defaults are stored" "$(field ipclaim "$c" '{.spec.reclaimPolicy}')" Delete
    is "observedGeneration is the generation" "$(field ipclaim "$c" '{.metadata.generation} {.status.observedGeneration}')" "1 1"
    alloc=alloc-$(printf %s "$NS/$c" | sha256sum | cut -c 1-16)
    is "the name of the allocation is derived from the claim" "$(field ipclaim "$c" '{.status.boundAllocationRef.name}')" "$alloc"
    is "the allocation is complete" \
        "$(field ipallocation "$alloc" '{.spec.ipFamily} {.spec.poolRef.name} {.spec.claimRef.name} {.spec.purpose} {.status.phase} {.status.allocatedCIDR}')" \
        "IPv4 $p $c Claim Ready $V4.32.0/28"
    is "the allocation is owned by the claim" \
        "$(field ipallocation "$alloc" '{.metadata.ownerReferences[0].apiVersion} {.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].uid}')" \
        "$VERSION IPClaim $c $(field ipclaim "$c" '{.metadata.uid}')"
    isnt "the allocation has a uid" "$(field ipallocation "$alloc" '{.metadata.uid}')" ""
    isnt "the allocation has a creation time" "$(field ipallocation "$alloc" '{.metadata.creationTimestamp}')" ""
    is "the pool counts the claim" "$(capacity "$p")" "256/16/240"

    claim "$c" "$ref" | refused "a claim with an existing name" 409 AlreadyExists "already exists" "" kn create -f -
    is "a rejected claim takes no space" "$(capacity "$p")" "256/16/240"
    refused "the length is immutable" 422 Invalid "spec.prefixLength is immutable" FieldValueForbidden@spec.prefixLength \
        kn patch ipclaim "$c" --type=merge -p '{"spec":{"prefixLength":27}}'
    refused "the pool is immutable" 422 Invalid "is immutable" "" \
        kn patch ipclaim "$c" --type=merge -p '{"spec":{"poolRef":{"name":"other"}}}'
    refused "users cannot create allocations" 405 MethodNotAllowed "" "" kn create -f - <<END
{"apiVersion":"$VERSION","kind":"IPAllocation","metadata":{"name":"$P-own"},"spec":{"ipFamily":"IPv4","poolRef":{"name":"$p"}}}
END
    refused "users cannot delete the allocation of a claim" 422 Invalid "managed by its owning IPClaim; delete the claim instead" \
        FieldValueForbidden@spec.claimRef kn delete ipallocation "$alloc"

    does "delete the claim" kn delete ipclaim "$c"
    refused "the claim is deleted" 404 NotFound "not found" "" kn get ipclaim "$c"
    refused "the allocation is deleted" 404 NotFound "not found" "" kn get ipallocation "$alloc"
    is "the space is free" "$(capacity "$p")" "256/0/256"
    is "the block is allocated again immediately" "$(create_claim "$c" "$ref" 2>&1)" "Bound $V4.32.0/28"

    section "2a. a finalizer keeps the block"
    local f=$P-life-final
    is "create a claim with a finalizer" "$(create_claim "$f" "$ref" '"finalizers":["example.org/hold"]' 2>&1)" "Bound $V4.32.16/28"
    does "delete the claim with a finalizer" kn delete ipclaim "$f" --wait=false
    is "the claim is releasing" "$(field ipclaim "$f" '{.status.phase} {.status.allocatedCIDR}')" "Releasing $V4.32.16/28"
    isnt "the claim has a deletionTimestamp" "$(field ipclaim "$f" '{.metadata.deletionTimestamp}')" ""
    is "the block stays allocated" "$(capacity "$p")" "256/32/224"
    does "remove the finalizer" kn patch ipclaim "$f" --type=merge -p '{"metadata":{"finalizers":null}}'
    refused "the claim with a finalizer is deleted" 404 NotFound "not found" "" kn get ipclaim "$f"
    is "the block is free" "$(capacity "$p")" "256/16/240"

    section "2b. Retain keeps the allocation"
    local r=$P-life-retain kept
    is "create a claim with Retain" "$(create_claim "$r" "$ref,\"reclaimPolicy\":\"Retain\"" 2>&1)" "Bound $V4.32.16/28"
    kept=$(field ipclaim "$r" '{.status.boundAllocationRef.name}')
    does "delete the claim with Retain" kn delete ipclaim "$r"
    is "the allocation is retained" "$(field ipallocation "$kept" '{.status.phase} {.status.allocatedCIDR} [{.spec.claimRef.name}]')" \
        "Retained $V4.32.16/28 []"
    is "the retained allocation names the claim" "$(field ipallocation "$kept" '{.metadata.annotations.ipam\.miloapis\.com/retained-claim} {.metadata.labels.e2e}')" \
        "$r $RUN"
    claim "$r" "$ref" | refused "the retained allocation reserves the name of the claim" 422 Invalid "$kept" AllocationRetained@metadata.name kn create -f -
    is "the block of the retained allocation stays allocated" "$(capacity "$p")" "256/32/224"
    does "delete the retained allocation" kn delete ipallocation "$kept"
    is "the block of the retained allocation is free" "$(capacity "$p")" "256/16/240"

    section "2c. a requested address"
    is "claim a specific block" "$(create_claim "$P-life-asked" "\"poolRef\":{\"name\":\"$p\"},\"address\":\"$V4.32.128/28\"" 2>&1)" \
        "Bound $V4.32.128/28"
    claim "$P-life-again" "\"poolRef\":{\"name\":\"$p\"},\"address\":\"$V4.32.128/28\"" |
        refused "claim a block that is in use" 422 Invalid "held by IPClaim $NS/$P-life-asked" HeldBy@spec.address kn create -f -
    is "the rejected claim takes no space" "$(capacity "$p")" "256/32/224"
}

pool_hierarchy() {
    section "3. pool hierarchy to depth 4"
    local a=$P-deep-a b=$P-deep-b c=$P-deep-c d=$P-deep-d
    is "create a pool at depth 1" "$(create_pool "$a" "\"cidr\":\"$(block 4 20)\"" 2>&1)" "$V4.64.0/20"
    is "create a pool at depth 2" "$(create_pool "$b" "\"parentPoolRef\":{\"name\":\"$a\"},\"prefixLength\":22" 2>&1)" "$V4.64.0/22"
    is "create a pool at depth 3" "$(create_pool "$c" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":24" 2>&1)" "$V4.64.0/24"
    is "create a pool at depth 4" "$(create_pool "$d" "\"parentPoolRef\":{\"name\":\"$c\"},\"prefixLength\":26" 2>&1)" "$V4.64.0/26"
    is "the pool at depth 4 has the family of the root" "$(field ippool "$d" '{.status.ipFamily} {.status.phase}')" "IPv4 Ready"
    has "a child's condition names its parent" \
        "$(field ippool "$d" '{.status.conditions[?(@.type=="Allocated")].reason} {.status.conditions[?(@.type=="Allocated")].message}')" \
        AllocationSucceeded "$c"
    is "each parent counts only its child" "$(capacity "$a") $(capacity "$b") $(capacity "$c") $(capacity "$d")" \
        "4096/1024/3072 1024/256/768 256/64/192 64/0/64"
    is "create a claim on the deepest pool" "$(create_claim "$P-deep-claim" "\"poolRef\":{\"name\":\"$d\"},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.64.0/28"
    is "the claim changes only the capacity of the deepest pool" "$(capacity "$c") $(capacity "$d")" "256/64/192 64/16/48"
    is "create a claim next to a child pool" "$(create_claim "$P-deep-side" "\"poolRef\":{\"name\":\"$c\"},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.64.64/28"
    is "create a child pool with a specific block" "$(create_pool "$P-deep-e" "\"parentPoolRef\":{\"name\":\"$a\"},\"cidr\":\"$V4.78.0/24\"" 2>&1)" \
        "$V4.78.0/24"
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$P-none\"},\"prefixLength\":22" |
        refused "a child pool of a missing parent" 400 BadRequest "IPPool \"$P-none\" not found" PoolNotFound@spec.parentPoolRef.name k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":22" |
        refused "a child pool as large as its parent" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":25,\"ipFamily\":\"IPv4\"" |
        refused "a child pool with a family" 422 Invalid ipFamily FieldValueForbidden@spec.ipFamily k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"}" |
        refused "a child pool without length and block" 422 Invalid prefixLength FieldValueRequired@spec.prefixLength k create -f -
    refused "the parent is immutable" 422 Invalid "is immutable" "" \
        k patch ippool "$d" --type=merge -p "{\"spec\":{\"parentPoolRef\":{\"name\":\"$a\"}}}"
    refused "a pool with a child cannot be deleted" 409 Conflict "active allocation(s)" "" k delete ippool "$b"
    has "the error names the child" "$REFUSAL" "$c"
    does "delete the claims" kn delete ipclaim "$P-deep-claim" "$P-deep-side"
    does "delete the deepest pool" k delete ippool "$d"
    is "the block of the deepest pool is free in the parent" "$(capacity "$c")" "256/0/256"
    does "delete the other pools" k delete ippool "$c" "$b" "$P-deep-e" "$a"
}

exhaustion() {
    section "4. exhaustion"
    local p=$P-full ref n
    ref="\"poolRef\":{\"name\":\"$p\"}"
    does "create a pool of eight addresses" create_pool "$p" "\"cidr\":\"$(block 5 29)\""
    for n in 0 1 2 3; do
        is "create claim $n" "$(create_claim "$P-full-$n" "$ref,\"prefixLength\":31" 2>&1)" "Bound $V4.80.$((2 * n))/31"
    done
    is "the pool is full" "$(field ippool "$p" '{.status.phase} {.status.utilizationPercent} [{.status.largestFreePrefix}]')" "Exhausted 100 []"
    is "the full pool is not ready" "$(field ippool "$p" '{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}')" \
        "False PoolExhausted"
    claim "$P-full-4" "$ref,\"prefixLength\":31" |
        refused "a claim on a full pool" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    has "the error names the pool and the length" "$REFUSAL" "$p" "/31"
    is "the rejected claim does not exist" "$(kn get ipclaims -o name | grep -c "$P-full-")" 4
    does "delete one claim" kn delete ipclaim "$P-full-1"
    is "the pool is ready again" "$(field ippool "$p" '{.status.phase} {.status.utilizationPercent} {.status.largestFreePrefix}')" "Ready 75 31"
    does "delete another claim that is not adjacent" kn delete ipclaim "$P-full-2"
    claim "$P-full-5" "$ref,\"prefixLength\":30" |
        refused "a claim larger than the largest free block" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    has "the error names the largest free block" "$REFUSAL" "/30" "/31"
    is "the free block is allocated again" "$(create_claim "$P-full-6" "$ref,\"prefixLength\":31" 2>&1)" "Bound $V4.80.2/31"

    section "4a. events about the pool"
    tells() { [ -n "$(k -n default get events --field-selector "involvedObject.name=$p,reason=$1" -o name)" ]; }
    does "there is an event PoolExhausted" eventually 20 tells PoolExhausted
    does "there is an event PoolAvailable" eventually 20 tells PoolAvailable
    does "there is an event ClaimRefused" eventually 20 tells ClaimRefused
    has "the description of the pool tells it" "$(k describe ippool "$p" 2>&1)" Events: PoolExhausted PoolAvailable ClaimRefused "IPClaim $NS/$P-full-"
    has "kubectl events shows the events of the pool" "$(k -n default events 2>&1)" "IPPool/$p" PoolExhausted "no address of $(block 5 29) is free"
    has "kubectl get events shows the events of the pool" "$(k -n default get events 2>&1)" "LAST SEEN" REASON "ippool/$p" ClaimRefused
    has "discovery has both versions of events" "$(k api-resources 2>&1 | grep '^events ' | tr -s ' ')" "events ev v1 true Event" "events ev events.k8s.io/v1 true Event"
    has "explain of events.k8s.io/v1" "$(k explain events --api-version=events.k8s.io/v1 2>&1)" regarding note
}

overlap() {
    section "5. overlap prevention"
    local p=$P-over n
    does "create a root pool" create_pool "$p" "\"cidr\":\"$(block 6 22)\""
    pool "$P-over-same" "\"cidr\":\"$(block 6 22)\"" | refused "a root pool with the same block" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    pool "$P-over-in" "\"cidr\":\"$V4.97.0/24\"" | refused "a root pool inside another" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    has "the error names both blocks" "$REFUSAL" "$V4.96.0/22" "$V4.97.0/24"
    pool "$P-over-out" "\"cidr\":\"$(block 6 21)\"" | refused "a root pool around another" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    does "create an adjacent root pool" create_pool "$P-over-beside" "\"cidr\":\"$V4.100.0/22\""

    for n in 1 2 3 4 5 6 7 8; do
        create_pool "$P-over-race-$n" "\"cidr\":\"$(block 7 24)\"" >"$WORK/race-$n" 2>&1 &
    done
    wait
    is "one of eight concurrent creates of a block succeeds" "$(grep -lxF "$V4.112.0/24" "$WORK"/race-* | wc -l | tr -d ' ')" 1
    is "the other seven are rejected as overlapping" "$(grep -l 'overlaps with IPPool' "$WORK"/race-* | wc -l | tr -d ' ')" 7

    for n in $(seq 1 64); do
        create_claim "$P-over-$n" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28" >"$WORK/claim-$n" 2>&1 &
    done
    wait
    is "64 concurrent claims are bound" "$(grep -lE '^Bound .*/28$' "$WORK"/claim-* | wc -l | tr -d ' ')" 64
    is "64 concurrent claims have 64 blocks" "$(kn get ipclaims -l "e2e=$RUN" -o 'jsonpath={range .items[*]}{.metadata.name} {.status.allocatedCIDR}{"\n"}{end}' |
        grep "^$P-over-" | cut -d ' ' -f 2 | sort -u | wc -l | tr -d ' ')" 64
    is "64 concurrent claims fill the pool exactly" "$(capacity "$p")" "1024/1024/0"
    is "64 concurrent claims have 64 allocations" "$(kn get ipallocations --field-selector "spec.poolRef.name=$p" -o name | wc -l | tr -d ' ')" 64
    local names
    mapfile -t names < <(seq -f "$P-over-%g" 1 64)
    does "delete the 64 claims" kn delete ipclaim "${names[@]}"
    is "the pool is empty" "$(capacity "$p")" "1024/0/1024"
    is "the pool has one free block" "$(field ippool "$p" '{.status.largestFreePrefix}')" 22
}

selector() {
    section "6. pool selector, with fall-through"
    local s=$P-sel label="\"e2e-tier\":\"t$RUN\""
    does "create the first pool, of one block" create_pool "$s-a" "\"cidr\":\"$(block 8 30)\"" "$label"
    does "fill the first pool" create_claim "$s-fill" "\"poolRef\":{\"name\":\"$s-a\"},\"prefixLength\":30"
    does "create the second pool, with bounds that exclude the claim" create_pool "$s-b" \
        "\"cidr\":\"$V4.129.0/24\",\"allocation\":{\"minPrefixLength\":31,\"maxPrefixLength\":32}" "$label"
    does "create the third pool, of the other family" create_pool "$s-c" "\"cidr\":\"$V6:8::/48\"" "$label"
    does "create the fourth pool" create_pool "$s-d" "\"cidr\":\"$V4.130.0/24\"" "$label"
    does "create the fifth pool, a child pool" create_pool "$s-e" "\"parentPoolRef\":{\"name\":\"$s-d\"},\"prefixLength\":25" "$label,\"e2e-child\":\"yes\""
    local select="\"poolSelector\":{\"matchLabels\":{$label}}"
    is "pools that cannot satisfy the claim are skipped" \
        "$(create_claim "$s-1" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":28" 2>&1)" "Bound $V4.130.128/28"
    is "the claim names the selected pool" "$(field ipclaim "$s-1" '{.status.poolRef.name}')" "$s-d"
    is "the first suitable pool by name is selected" "$(create_claim "$s-2" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":31" 2>&1)" "Bound $V4.129.0/31"
    is "match expressions select child pools, too" \
        "$(create_claim "$s-3" "\"poolSelector\":{\"matchLabels\":{$label},\"matchExpressions\":[{\"key\":\"e2e-child\",\"operator\":\"Exists\"}]},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.130.0/28"
    claim "$s-4" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":24" |
        refused "no matching pool has a large enough block" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    claim "$s-4" "\"poolSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]},\"prefixLength\":28" |
        refused "an unknown operator" 422 Invalid operator "" kn create -f -
    refused "the selector is immutable" 422 Invalid "spec.poolSelector is immutable" FieldValueForbidden@spec.poolSelector \
        kn patch ipclaim "$s-1" --type=merge -p '{"spec":{"poolSelector":{"matchLabels":{"a":"b"}}}}'
}

hosts() {
    section "7. host addresses"
    local p=$P-host
    local one='"allocation":{"minPrefixLength":32,"maxPrefixLength":32}'
    does "create a pool of IPv4 hosts" create_pool "$p-v4" "\"cidr\":\"$(block 9 30)\",$one"
    is "the first address is allocated" "$(create_claim "$p-1" "\"poolRef\":{\"name\":\"$p-v4\"},\"prefixLength\":32" 2>&1)" "Bound $V4.144.0/32"
    is "a claim needs no length if the bounds allow only one" "$(create_claim "$p-2" "\"poolRef\":{\"name\":\"$p-v4\"}" 2>&1)" "Bound $V4.144.1/32"
    is "the last address is allocated" "$(create_claim "$p-3" "\"poolRef\":{\"name\":\"$p-v4\"},\"address\":\"$V4.144.3\"" 2>&1)" "Bound $V4.144.3/32"
    is "one address is free" "$(capacity "$p-v4") $(field ippool "$p-v4" '{.status.utilizationPercent} {.status.largestFreePrefix}')" "4/3/1 75 32"
    does "create a pool of IPv6 hosts" create_pool "$p-v6" "\"cidr\":\"$V6:9::/64\",\"allocation\":{\"minPrefixLength\":128,\"maxPrefixLength\":128}"
    is "the first IPv6 address" "$(create_claim "$p-4" "\"poolRef\":{\"name\":\"$p-v6\"}" 2>&1)" "Bound $V6:9::/128"
    is "the second IPv6 address" "$(create_claim "$p-5" "\"poolRef\":{\"name\":\"$p-v6\"},\"ipFamily\":\"IPv6\",\"prefixLength\":128" 2>&1)" "Bound $V6:9::1/128"
    is "an address is stored in canonical form" \
        "$(create_claim "$p-6" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V6:0009:0:0:0:0:AB\"" 2>&1)" "Bound $V6:9::ab/128"
    claim "$p-7" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V6:9::ab\"" | refused "claim an address that is in use" 422 Invalid "$V6:9::ab" AddressTaken@spec.address kn create -f -
    claim "$p-7" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V4.144.2\"" |
        refused "an address of the other family" 422 Invalid address FieldValueInvalid@spec.address kn create -f -
}

pool_capacity() {
    section "8. pool capacity, to the address"
    local p=$P-cap
    local status='{.status.capacity.total}/{.status.capacity.allocated}/{.status.capacity.available} {.status.capacity.exact.total}/{.status.capacity.exact.allocated}/{.status.capacity.exact.available} {.status.utilizationPercent}% /{.status.largestFreePrefix}'
    does "create an IPv4 pool" create_pool "$p" "\"cidr\":\"$(block 10 23)\""
    is "capacity of an empty pool" "$(field ippool "$p" "$status")" "512/0/512 512/0/512 0% /23"
    does "claim one address" create_claim "$p-1" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":32"
    is "utilization of one address is rounded down to 0 %" "$(field ippool "$p" "$status")" "512/1/511 512/1/511 0% /24"
    does "claim a half of the pool" create_claim "$p-2" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":24"
    is "capacity after a half and one address" "$(field ippool "$p" "$status")" "512/257/255 512/257/255 50% /25"
    does "create a child pool" create_pool "$p-child" "\"parentPoolRef\":{\"name\":\"$p\"},\"prefixLength\":25"
    is "the capacity of the parent includes the child pool" "$(field ippool "$p" "$status")" "512/385/127 512/385/127 75% /26"
    for length in 26 27 28 29 30 31; do
        does "claim a /$length" create_claim "$p-$length" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":$length"
    done
    is "utilization of all addresses but one is 99 %" "$(field ippool "$p" "$status")" "512/511/1 512/511/1 99% /32"
    does "claim the last address" create_claim "$p-last" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":32"
    is "capacity of a full pool" "$(field ippool "$p" "$status")" "512/512/0 512/512/0 100% /"

    does "create an IPv6 pool" create_pool "$p-v6" "\"cidr\":\"$V6:a::/56\""
    does "claim a /64 of the IPv6 pool" create_claim "$p-v6-1" "\"poolRef\":{\"name\":\"$p-v6\"},\"prefixLength\":64"
    local max=9007199254740991
    is "capacity saturates, and exact capacity does not" "$(field ippool "$p-v6" "$status")" \
        "$max/$max/$max 4722366482869645213696/18446744073709551616/4703919738795935662080 0% /57"
    does "create a pool with host bits in its block" create_pool "$p-bits" "\"cidr\":\"$V4.176.77/24\""
    is "host bits are cleared in the status" "$(field ippool "$p-bits" '{.spec.cidr} {.status.allocatedCIDR}')" "$V4.176.77/24 $V4.176.0/24"
}

dry_run_and_protection() {
    section "9. dry run and protection"
    local p=$P-dry ref answer code
    ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":26"
    does "create a pool" create_pool "$p" "\"cidr\":\"$(block 12 24)\""
    is "create a first claim" "$(create_claim "$p-1" "$ref" 2>&1)" "Bound $V4.192.0/26"
    answer=$(claim "$p-2" "$ref" | kn create --dry-run=server -f - -o 'jsonpath={.status.phase} {.status.allocatedCIDR} [{.metadata.resourceVersion}]' 2>"$WORK/dry")
    is "a dry run returns the next block" "$answer" "Bound $V4.192.64/26 []"
    is "a dry run changes nothing" "$(kn get ipclaim "$p-2" -o name --ignore-not-found) $(capacity "$p")" " 256/64/192"
    is "a second dry run returns the same block" \
        "$(claim "$p-2" "$ref" | kn create --dry-run=server -f - -o 'jsonpath={.status.allocatedCIDR}' 2>/dev/null)" "$V4.192.64/26"
    is "the real create returns the same block" "$(create_claim "$p-2" "$ref" 2>&1)" "Bound $V4.192.64/26"
    claim "$p-3" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":24" |
        refused "a dry run is rejected like a real create" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength \
            kn create --dry-run=server -f -
    is "a dry run of a pool returns the next block" "$(pool "$p-x" "\"parentPoolRef\":{\"name\":\"$p\"},\"prefixLength\":26" |
        k create --dry-run=server -f - -o 'jsonpath={.status.allocatedCIDR}' 2>/dev/null)" "$V4.192.128/26"
    is "a dry run creates no pool" "$(k get ippool "$p-x" -o name --ignore-not-found) $(capacity "$p")" " 256/128/128"
    { pool "$p-new" "\"cidr\":\"$(block 13 24)\""; claim "$p-new" "\"poolRef\":{\"name\":\"$p-new\"},\"prefixLength\":26"; } >"$WORK/set"
    is "a dry run accepts a set of a pool and a claim" \
        "$(kn create --dry-run=server -f "$WORK/set" -o 'jsonpath={.status.phase} ' 2>/dev/null)" "Ready Pending "
    code=0
    answer=$(kn diff -f "$WORK/set" 2>&1) || code=$?
    is "a set of a pool and a claim has a diff" "$code" 1
    has "the diff shows both objects" "$answer" "+kind: IPPool" "+kind: IPClaim"
    does "dry run of a delete" kn delete ipclaim "$p-2" --dry-run=server
    is "a dry run deletes nothing" "$(field ipclaim "$p-2" '{.status.phase}') $(capacity "$p")" "Bound 256/128/128"

    refused "a pool in use cannot be deleted" 409 Conflict "active allocation(s)" "" k delete ippool "$p"
    has "the error names the number and the owners of the allocations" "$REFUSAL" "2 active allocation(s)" "IPClaim $NS/$p-1" "IPClaim $NS/$p-2"
    does "the pool in use exists" k get ippool "$p"
    refused "the block of a pool is immutable" 422 Invalid "spec.cidr is immutable" FieldValueForbidden@spec.cidr \
        k patch ippool "$p" --type=merge -p "{\"spec\":{\"cidr\":\"$(block 13 24)\"}}"
    does "the bounds of a pool are mutable" k patch ippool "$p" --type=merge -p '{"spec":{"allocation":{"maxPrefixLength":28}}}'
    is "a create drops the status" \
        "$(pool "$p-s" "\"cidr\":\"$(block 14 24)\"" | sed 's/}$/,"status":{"phase":"Error","allocatedCIDR":"1.2.3.0\/24"}}/' |
            k create -f - -o 'jsonpath={.status.phase} {.status.allocatedCIDR}' 2>"$WORK/status")" "Ready $V4.224.0/24"
    has "a warning names the dropped status" "$(cat "$WORK/status")" "status.allocatedCIDR" "1.2.3.0/24" "spec.cidr"
    does "delete the claims" kn delete ipclaim "$p-1" "$p-2"
    does "the unused pool can be deleted" k delete ippool "$p"
}

surroundings() {
    section "10. namespaces, owners, access reviews, events, leases"
    local p=$P-around ns=$P-team owner uid
    does "create a pool" create_pool "$p" "\"cidr\":\"$(block 15 24)\""
    local ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28"
    does "create a namespace" k create namespace "$ns"
    is "the namespace is active" "$(k get namespace "$ns" -o 'jsonpath={.status.phase}')" Active
    does "label the namespace" k label namespace "$ns" tier=one
    does "patch the namespace with the default patch type" k patch namespace "$ns" -p '{"metadata":{"labels":{"tier":"two"}}}'
    has "--show-labels of namespaces" "$(k get namespaces --show-labels 2>&1)" "$ns" tier=two
    for name in 1 2 3; do
        claim "$p-$name" "$ref" | does "create claim $name in the namespace" k -n "$ns" create -f -
    done
    is "the blocks of the namespace are allocated" "$(capacity "$p")" 256/48/208
    does "delete the namespace" k delete namespace "$ns" --timeout=60s
    is "the claims of the namespace are deleted" "$(k -n "$ns" get ipclaims -o name 2>/dev/null)" ""
    is "the blocks of the namespace are free" "$(capacity "$p")" 256/0/256

    does "create an owner" create_claim "$p-owner" "$ref"
    uid=$(field ipclaim "$p-owner" '{.metadata.uid}')
    owner="\"ownerReferences\":[{\"apiVersion\":\"$VERSION\",\"kind\":\"IPClaim\",\"name\":\"$p-owner\",\"uid\":\"$uid\",\"blockOwnerDeletion\":true}]"
    does "create a dependent" create_claim "$p-owned" "$ref" "$owner"
    does "delete the owner in the foreground" kn delete ipclaim "$p-owner" --cascade=foreground --timeout=60s
    is "the owner and the dependent are deleted" "$(kn get ipclaim "$p-owner" "$p-owned" -o name --ignore-not-found) $(capacity "$p")" " 256/0/256"
    does "create another owner" create_claim "$p-owner" "$ref"
    uid=$(field ipclaim "$p-owner" '{.metadata.uid}')
    owner="\"ownerReferences\":[{\"apiVersion\":\"$VERSION\",\"kind\":\"IPClaim\",\"name\":\"$p-owner\",\"uid\":\"$uid\"}]"
    does "create another dependent" create_claim "$p-owned" "$ref" "$owner"
    does "delete the owner, and orphan the dependent" kn delete ipclaim "$p-owner" --cascade=orphan --timeout=60s
    is "the dependent exists without an owner" "$(field ipclaim "$p-owned" '{.status.phase}/{.metadata.ownerReferences}') $(capacity "$p")" "Bound/ 256/16/240"

    is "may I" "$(k auth can-i create ipclaims)" yes
    does "auth can-i --list" k auth can-i --list
    has "who am I" "$(k auth whoami 2>&1)" Username
    does "get events" kn get events
    does "create a lease" kn create -f - <<END
{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"$p"},"spec":{"holderIdentity":"me","leaseDurationSeconds":15}}
END
    has "get leases shows the holder" "$(kn get leases 2>&1)" HOLDER "$p" me
    does "delete the lease" kn delete lease "$p"
    does "get all" k get all -A
    has "a description ends with events" "$(kn describe ipclaim "$p-owned" 2>&1)" Events:
    does "delete the dependent" kn delete ipclaim "$p-owned"
    does "delete the pool" k delete ippool "$p"
}

access() {
    section "11. permissions of users"
    local role=$P-claimer user=$P-jane as
    as="--as=$user"
    does "create a role" kn create role "$role" --verb=get,list,create --resource="ipclaims.$GROUP"
    is "the user has no permission without a binding" "$(kn auth can-i list ipclaims "$as" 2>/dev/null)" no
    refused "a list by a user without permission" 403 Forbidden "User \"$user\" cannot list resource \"ipclaims\"" "" kn get ipclaims "$as"
    does "is given it" kn create rolebinding "$role" --role="$role" --user="$user"
    is "the user has the permission of the role" "$(kn auth can-i list ipclaims "$as")" yes
    is "the user has no permission in another namespace" "$(k -n default auth can-i list ipclaims "$as" 2>/dev/null)" no
    does "the user can list" kn get ipclaims "$as"
    refused "the user cannot delete" 403 Forbidden "cannot delete resource" "" kn delete ipclaim "$P-none" "$as"
    has "auth can-i --list of the user" "$(kn auth can-i --list "$as" 2>&1)" "ipclaims.$GROUP"
    refused "the user cannot create a role binding" 403 Forbidden "cannot create resource \"rolebindings\"" "" \
        kn create rolebinding "$role-2" --role="$role" --user=joe "$as"
    kn get role "$role" -o yaml >"$WORK/role.yaml" 2>/dev/null
    sed -i 's/^  - create$/  - delete/' "$WORK/role.yaml"
    has "apply a changed role" "$(kn apply -f "$WORK/role.yaml" 2>&1)" "role.rbac.authorization.k8s.io/$role configured"
    is "the permissions have changed" "$(kn auth can-i delete ipclaims "$as")$(kn auth can-i create ipclaims "$as" 2>/dev/null)" yesno
    has "describe of a role binding" "$(kn describe rolebinding "$role" 2>&1)" "Kind:  Role" "User" "$user"
    has "get rolebindings shows the users" "$(kn get rolebindings -o wide 2>&1)" "ROLE" "USERS" "Role/$role" "$user"
    does "delete the role binding" kn delete rolebinding "$role"
    is "the user has no permission" "$(kn auth can-i list ipclaims "$as" 2>/dev/null)" no
    does "delete the role" kn delete role "$role"
}

claim_validation
claim_lifecycle
pool_hierarchy
exhaustion
overlap
selector
hosts
pool_capacity
dry_run_and_protection
surroundings
access
