#!/usr/bin/env bash
# The behaviour of the service, through real kubectl only: eleven groups of checks against any server.
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

# block N LENGTH: the N-th /20 of the run's space, N from 0 to 15, as a block of this length.
block() { echo "$V4.$((16 * $1)).0/$2"; }

claim_validation() {
    section "1. claim validation"
    local p=$P-valid
    does "a pool for refusals" create_pool "$p" \
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
    has "the refusal names both bounds" "$REFUSAL" 26 30
    check "a block smaller than the pool allows" "$ref,\"prefixLength\":31" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength
    check "no length where none can be guessed" "$ref" 422 Invalid prefixLength FieldValueRequired@spec.prefixLength
    check "a family that is not the pool's" "$ref,\"prefixLength\":28,\"ipFamily\":\"IPv6\"" \
        422 Invalid "address family IPv6 does not match" FieldValueInvalid@spec.ipFamily
    check "a family that there is not" "$ref,\"prefixLength\":28,\"ipFamily\":\"IPv5\"" \
        422 Invalid ipFamily FieldValueNotSupported@spec.ipFamily
    check "a reclaim policy that there is not" "$ref,\"prefixLength\":28,\"reclaimPolicy\":\"Keep\"" \
        422 Invalid reclaimPolicy FieldValueNotSupported@spec.reclaimPolicy
    check "every fault in one answer" '"prefixLength":0' 422 Invalid "" "FieldValueRequired@spec FieldValueInvalid@spec.prefixLength"
    check "a pool that there is not" "\"poolRef\":{\"name\":\"$P-none\"},\"prefixLength\":28" \
        400 BadRequest "IPPool \"$P-none\" not found" PoolNotFound@spec.poolRef.name
    check "a selector that matches nothing" "\"poolSelector\":{\"matchLabels\":{\"e2e-none\":\"$RUN\"}},\"prefixLength\":28" \
        400 BadRequest "no IPPool matches spec.poolSelector" ""
    has "and its cause" "$REFUSAL" '"reason":"NoPoolMatch"'
    check "an address outside the pool" "$ref,\"address\":\"$V4.255.0/28\"" 422 Invalid address FieldValueInvalid@spec.address
    check "an address with a leading zero" "$ref,\"address\":\"010.0.0.1\",\"prefixLength\":28" \
        422 Invalid address FieldValueInvalid@spec.address
    check "an address and a length that disagree" "$ref,\"address\":\"$V4.0.16/28\",\"prefixLength\":29" 422 Invalid address ""
    check "an unknown field" "$ref,\"prefixLength\":28,\"prefixlength\":28" 400 BadRequest 'unknown field "spec.prefixlength"' ""

    check_pool() { # NAME SPEC TEXT CAUSES
        pool "$P-bad" "$2" | refused "$1" 422 Invalid "$3" "$4" k create -f -
    }
    check_pool "a root pool without cidr" '"ipFamily":"IPv4"' cidr FieldValueRequired@spec.cidr
    check_pool "a cidr beyond the family" "\"cidr\":\"$V4.0.0/33\"" cidr FieldValueInvalid@spec.cidr
    check_pool "a cidr with a leading zero" '"cidr":"010.0.0.0/8"' cidr FieldValueInvalid@spec.cidr
    check_pool "an IPv4-mapped cidr" '"cidr":"::ffff:10.0.0.0/104"' cidr FieldValueInvalid@spec.cidr
    check_pool "a cidr and a family that disagree" "\"cidr\":\"$(block 1 24)\",\"ipFamily\":\"IPv6\"" ipFamily FieldValueInvalid@spec.ipFamily
    check_pool "a root pool with a length" "\"cidr\":\"$(block 1 24)\",\"prefixLength\":24" prefixLength FieldValueForbidden@spec.prefixLength
    check_pool "every fault in one answer" \
        "\"cidr\":\"$V4.0.0/33\",\"prefixLength\":24,\"allocation\":{\"minPrefixLength\":0,\"strategy\":\"Random\"}" "" \
        "FieldValueInvalid@spec.cidr FieldValueForbidden@spec.prefixLength FieldValueInvalid@spec.allocation.minPrefixLength FieldValueNotSupported@spec.allocation.strategy"

    is "no refused claim left a trace" "$(kn get ipclaims -o name)" ""
    is "no refused claim left an allocation" "$(kn get ipallocations -o name)" ""
    is "no refused pool left a trace" "$(k get ippools -l "e2e=$RUN" -o name)" "ippool.$GROUP/$p"
    is "no refused claim took space" "$(capacity "$p")" "256/0/256"
}

claim_lifecycle() {
    section "2. claim lifecycle"
    local p=$P-life c=$P-life-claim ref alloc
    ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28"
    does "a pool" create_pool "$p" "\"cidr\":\"$(block 2 24)\""
    is "the answer to a creation has the block" "$(create_claim "$c" "$ref" 2>&1)" "Bound $V4.32.0/28"
    is "so has the stored claim" "$(field ipclaim "$c" '{.status.phase} {.status.allocatedCIDR} {.status.poolRef.name}')" \
        "Bound $V4.32.0/28 $p"
    is "its conditions are true" \
        "$(field ipclaim "$c" '{range .status.conditions[*]}{.type}={.status} {end}' | tr ' ' '\n' | sort | tr -d '\n')" \
        "Allocated=TrueReady=True"
    is "defaults are stored" "$(field ipclaim "$c" '{.spec.reclaimPolicy}')" Delete
    is "the status has seen the spec" "$(field ipclaim "$c" '{.metadata.generation} {.status.observedGeneration}')" "1 1"
    alloc=alloc-$(printf %s "$NS/$c" | sha256sum | cut -c 1-16)
    is "the allocation has its name from the claim's" "$(field ipclaim "$c" '{.status.boundAllocationRef.name}')" "$alloc"
    is "the allocation is complete" \
        "$(field ipallocation "$alloc" '{.spec.ipFamily} {.spec.poolRef.name} {.spec.claimRef.name} {.spec.purpose} {.status.phase} {.status.allocatedCIDR}')" \
        "IPv4 $p $c Claim Ready $V4.32.0/28"
    is "and owned by the claim" \
        "$(field ipallocation "$alloc" '{.metadata.ownerReferences[0].apiVersion} {.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].uid}')" \
        "$VERSION IPClaim $c $(field ipclaim "$c" '{.metadata.uid}')"
    isnt "with a uid of its own" "$(field ipallocation "$alloc" '{.metadata.uid}')" ""
    isnt "and a creation time" "$(field ipallocation "$alloc" '{.metadata.creationTimestamp}')" ""
    is "the pool counts it" "$(capacity "$p")" "256/16/240"

    claim "$c" "$ref" | refused "the same name again" 409 AlreadyExists "already exists" "" kn create -f -
    is "consumes nothing" "$(capacity "$p")" "256/16/240"
    refused "the length is immutable" 422 Invalid "spec.prefixLength is immutable" FieldValueForbidden@spec.prefixLength \
        kn patch ipclaim "$c" --type=merge -p '{"spec":{"prefixLength":27}}'
    refused "the pool is immutable" 422 Invalid "is immutable" "" \
        kn patch ipclaim "$c" --type=merge -p '{"spec":{"poolRef":{"name":"other"}}}'
    refused "an allocation is not the user's to create" 405 MethodNotAllowed "" "" kn create -f - <<END
{"apiVersion":"$VERSION","kind":"IPAllocation","metadata":{"name":"$P-own"},"spec":{"ipFamily":"IPv4","poolRef":{"name":"$p"}}}
END
    refused "nor to delete while the claim holds it" 422 Invalid "managed by its owning IPClaim; delete the claim instead" \
        FieldValueForbidden@spec.claimRef kn delete ipallocation "$alloc"

    does "deleting the claim" kn delete ipclaim "$c"
    refused "the claim is gone" 404 NotFound "not found" "" kn get ipclaim "$c"
    refused "the allocation is gone" 404 NotFound "not found" "" kn get ipallocation "$alloc"
    is "the space is back" "$(capacity "$p")" "256/0/256"
    is "and is handed out again at once" "$(create_claim "$c" "$ref" 2>&1)" "Bound $V4.32.0/28"

    section "2a. a finalizer keeps the block"
    local f=$P-life-final
    is "a claim with a finalizer" "$(create_claim "$f" "$ref" '"finalizers":["example.org/hold"]' 2>&1)" "Bound $V4.32.16/28"
    does "deleting it" kn delete ipclaim "$f" --wait=false
    is "marks it" "$(field ipclaim "$f" '{.status.phase} {.status.allocatedCIDR}')" "Releasing $V4.32.16/28"
    isnt "with the time" "$(field ipclaim "$f" '{.metadata.deletionTimestamp}')" ""
    is "the block is still taken" "$(capacity "$p")" "256/32/224"
    does "removing the finalizer" kn patch ipclaim "$f" --type=merge -p '{"metadata":{"finalizers":null}}'
    refused "ends it" 404 NotFound "not found" "" kn get ipclaim "$f"
    is "the block is free" "$(capacity "$p")" "256/16/240"

    section "2b. Retain keeps the allocation"
    local r=$P-life-retain kept
    is "a retained claim" "$(create_claim "$r" "$ref,\"reclaimPolicy\":\"Retain\"" 2>&1)" "Bound $V4.32.16/28"
    kept=$(field ipclaim "$r" '{.status.boundAllocationRef.name}')
    does "deleting it" kn delete ipclaim "$r"
    is "leaves the allocation" "$(field ipallocation "$kept" '{.status.phase} {.status.allocatedCIDR} [{.spec.claimRef.name}]')" \
        "Retained $V4.32.16/28 []"
    is "which says whose it was" "$(field ipallocation "$kept" '{.metadata.annotations.ipam\.miloapis\.com/retained-claim} {.metadata.labels.e2e}')" \
        "$r $RUN"
    claim "$r" "$ref" | refused "and keeps the name" 422 Invalid "$kept" AllocationRetained@metadata.name kn create -f -
    is "and its block taken" "$(capacity "$p")" "256/32/224"
    does "deleting the allocation" kn delete ipallocation "$kept"
    is "frees the block" "$(capacity "$p")" "256/16/240"

    section "2c. a requested address"
    is "this very block" "$(create_claim "$P-life-asked" "\"poolRef\":{\"name\":\"$p\"},\"address\":\"$V4.32.128/28\"" 2>&1)" \
        "Bound $V4.32.128/28"
    claim "$P-life-again" "\"poolRef\":{\"name\":\"$p\"},\"address\":\"$V4.32.128/28\"" |
        refused "taken" 422 Invalid "held by IPClaim $NS/$P-life-asked" HeldBy@spec.address kn create -f -
    is "consumes nothing" "$(capacity "$p")" "256/32/224"
}

pool_hierarchy() {
    section "3. pool hierarchy to depth 4"
    local a=$P-deep-a b=$P-deep-b c=$P-deep-c d=$P-deep-d
    is "depth 1" "$(create_pool "$a" "\"cidr\":\"$(block 4 20)\"" 2>&1)" "$V4.64.0/20"
    is "depth 2" "$(create_pool "$b" "\"parentPoolRef\":{\"name\":\"$a\"},\"prefixLength\":22" 2>&1)" "$V4.64.0/22"
    is "depth 3" "$(create_pool "$c" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":24" 2>&1)" "$V4.64.0/24"
    is "depth 4" "$(create_pool "$d" "\"parentPoolRef\":{\"name\":\"$c\"},\"prefixLength\":26" 2>&1)" "$V4.64.0/26"
    is "the family is inherited all the way" "$(field ippool "$d" '{.status.ipFamily} {.status.phase}')" "IPv4 Ready"
    has "a child's condition names its parent" \
        "$(field ippool "$d" '{.status.conditions[?(@.type=="Allocated")].reason} {.status.conditions[?(@.type=="Allocated")].message}')" \
        AllocationSucceeded "$c"
    is "each parent counts its child only" "$(capacity "$a") $(capacity "$b") $(capacity "$c") $(capacity "$d")" \
        "4096/1024/3072 1024/256/768 256/64/192 64/0/64"
    is "a claim from the deepest" "$(create_claim "$P-deep-claim" "\"poolRef\":{\"name\":\"$d\"},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.64.0/28"
    is "moves the deepest only" "$(capacity "$c") $(capacity "$d")" "256/64/192 64/16/48"
    is "a claim beside a child" "$(create_claim "$P-deep-side" "\"poolRef\":{\"name\":\"$c\"},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.64.64/28"
    is "exactly this block of the parent" "$(create_pool "$P-deep-e" "\"parentPoolRef\":{\"name\":\"$a\"},\"cidr\":\"$V4.78.0/24\"" 2>&1)" \
        "$V4.78.0/24"
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$P-none\"},\"prefixLength\":22" |
        refused "a parent that there is not" 400 BadRequest "IPPool \"$P-none\" not found" PoolNotFound@spec.parentPoolRef.name k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":22" |
        refused "as large as its parent" 422 Invalid prefixLength FieldValueInvalid@spec.prefixLength k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"},\"prefixLength\":25,\"ipFamily\":\"IPv4\"" |
        refused "a child names no family" 422 Invalid ipFamily FieldValueForbidden@spec.ipFamily k create -f -
    pool "$P-deep-bad" "\"parentPoolRef\":{\"name\":\"$b\"}" |
        refused "a child names a length or a block" 422 Invalid prefixLength FieldValueRequired@spec.prefixLength k create -f -
    refused "a parent is immutable" 422 Invalid "is immutable" "" \
        k patch ippool "$d" --type=merge -p "{\"spec\":{\"parentPoolRef\":{\"name\":\"$a\"}}}"
    refused "a pool with a child stays" 409 Conflict "active allocation(s)" "" k delete ippool "$b"
    has "and says which" "$REFUSAL" "$c"
    does "the claims go" kn delete ipclaim "$P-deep-claim" "$P-deep-side"
    does "the deepest pool goes" k delete ippool "$d"
    is "its block is back in the parent" "$(capacity "$c")" "256/0/256"
    does "and so on to the top" k delete ippool "$c" "$b" "$P-deep-e" "$a"
}

exhaustion() {
    section "4. exhaustion"
    local p=$P-full ref n
    ref="\"poolRef\":{\"name\":\"$p\"}"
    does "a pool of eight addresses" create_pool "$p" "\"cidr\":\"$(block 5 29)\""
    for n in 0 1 2 3; do
        is "claim $n" "$(create_claim "$P-full-$n" "$ref,\"prefixLength\":31" 2>&1)" "Bound $V4.80.$((2 * n))/31"
    done
    is "the pool is full" "$(field ippool "$p" '{.status.phase} {.status.utilizationPercent} [{.status.largestFreePrefix}]')" "Exhausted 100 []"
    is "and not ready" "$(field ippool "$p" '{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}')" \
        "False PoolExhausted"
    claim "$P-full-4" "$ref,\"prefixLength\":31" |
        refused "one more" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    has "names the pool and the length" "$REFUSAL" "$p" "/31"
    is "and leaves nothing" "$(kn get ipclaims -o name | grep -c "$P-full-")" 4
    does "one goes" kn delete ipclaim "$P-full-1"
    is "the pool is ready" "$(field ippool "$p" '{.status.phase} {.status.utilizationPercent} {.status.largestFreePrefix}')" "Ready 75 31"
    does "another goes, not its neighbour" kn delete ipclaim "$P-full-2"
    claim "$P-full-5" "$ref,\"prefixLength\":30" |
        refused "half is free and no block is large enough" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    has "the largest free block is named" "$REFUSAL" "/30" "/31"
    is "the free block is handed out again" "$(create_claim "$P-full-6" "$ref,\"prefixLength\":31" 2>&1)" "Bound $V4.80.2/31"

    section "4a. events about the pool"
    tells() { [ -n "$(k -n default get events --field-selector "involvedObject.name=$p,reason=$1" -o name)" ]; }
    does "it was exhausted" eventually 20 tells PoolExhausted
    does "it was available again" eventually 20 tells PoolAvailable
    does "claims were refused" eventually 20 tells ClaimRefused
    has "the description of the pool tells it" "$(k describe ippool "$p" 2>&1)" Events: PoolExhausted PoolAvailable ClaimRefused "IPClaim $NS/$P-full-"
    has "and so do the events of default" "$(k -n default events 2>&1)" "IPPool/$p" PoolExhausted "nothing of $(block 5 29) is free"
    has "and a table of them" "$(k -n default get events 2>&1)" "LAST SEEN" REASON "ippool/$p" ClaimRefused
    has "events have two versions" "$(k api-resources 2>&1 | grep '^events ' | tr -s ' ')" "events ev v1 true Event" "events ev events.k8s.io/v1 true Event"
    has "which are explained" "$(k explain events --api-version=events.k8s.io/v1 2>&1)" regarding note
}

overlap() {
    section "5. overlap prevention"
    local p=$P-over n
    does "a root pool" create_pool "$p" "\"cidr\":\"$(block 6 22)\""
    pool "$P-over-same" "\"cidr\":\"$(block 6 22)\"" | refused "the same block again" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    pool "$P-over-in" "\"cidr\":\"$V4.97.0/24\"" | refused "a block inside it" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    has "names both blocks" "$REFUSAL" "$V4.96.0/22" "$V4.97.0/24"
    pool "$P-over-out" "\"cidr\":\"$(block 6 21)\"" | refused "a block around it" 422 Invalid "$p" PoolOverlap@spec.cidr k create -f -
    does "a block beside it" create_pool "$P-over-beside" "\"cidr\":\"$V4.100.0/22\""

    for n in 1 2 3 4 5 6 7 8; do
        create_pool "$P-over-race-$n" "\"cidr\":\"$(block 7 24)\"" >"$WORK/race-$n" 2>&1 &
    done
    wait
    is "of eight at once, one wins" "$(grep -lxF "$V4.112.0/24" "$WORK"/race-* | wc -l | tr -d ' ')" 1
    is "and seven overlap with it" "$(grep -l 'overlaps with IPPool' "$WORK"/race-* | wc -l | tr -d ' ')" 7

    for n in $(seq 1 64); do
        create_claim "$P-over-$n" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28" >"$WORK/claim-$n" 2>&1 &
    done
    wait
    is "64 at once are all bound" "$(grep -lE '^Bound .*/28$' "$WORK"/claim-* | wc -l | tr -d ' ')" 64
    is "to 64 blocks" "$(kn get ipclaims -l "e2e=$RUN" -o 'jsonpath={range .items[*]}{.metadata.name} {.status.allocatedCIDR}{"\n"}{end}' |
        grep "^$P-over-" | cut -d ' ' -f 2 | sort -u | wc -l | tr -d ' ')" 64
    is "which fill the pool exactly" "$(capacity "$p")" "1024/1024/0"
    is "there are as many allocations" "$(kn get ipallocations --field-selector "spec.poolRef.name=$p" -o name | wc -l | tr -d ' ')" 64
    local names
    mapfile -t names < <(seq -f "$P-over-%g" 1 64)
    does "they all go" kn delete ipclaim "${names[@]}"
    is "and the pool is empty" "$(capacity "$p")" "1024/0/1024"
    is "and one block again" "$(field ippool "$p" '{.status.largestFreePrefix}')" 22
}

selector() {
    section "6. pool selector, with fall-through"
    local s=$P-sel label="\"e2e-tier\":\"t$RUN\""
    does "the first pool, full" create_pool "$s-a" "\"cidr\":\"$(block 8 30)\"" "$label"
    does "its only block" create_claim "$s-fill" "\"poolRef\":{\"name\":\"$s-a\"},\"prefixLength\":30"
    does "the second pool, whose bounds forbid it" create_pool "$s-b" \
        "\"cidr\":\"$V4.129.0/24\",\"allocation\":{\"minPrefixLength\":31,\"maxPrefixLength\":32}" "$label"
    does "the third pool, of the other family" create_pool "$s-c" "\"cidr\":\"$V6:8::/48\"" "$label"
    does "the fourth pool" create_pool "$s-d" "\"cidr\":\"$V4.130.0/24\"" "$label"
    does "the fifth pool, a child" create_pool "$s-e" "\"parentPoolRef\":{\"name\":\"$s-d\"},\"prefixLength\":25" "$label,\"e2e-child\":\"yes\""
    local select="\"poolSelector\":{\"matchLabels\":{$label}}"
    is "pools that cannot serve are passed over" \
        "$(create_claim "$s-1" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":28" 2>&1)" "Bound $V4.130.128/28"
    is "the pool that served is named" "$(field ipclaim "$s-1" '{.status.poolRef.name}')" "$s-d"
    is "the first in order of name that can" "$(create_claim "$s-2" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":31" 2>&1)" "Bound $V4.129.0/31"
    is "expressions choose, child pools too" \
        "$(create_claim "$s-3" "\"poolSelector\":{\"matchLabels\":{$label},\"matchExpressions\":[{\"key\":\"e2e-child\",\"operator\":\"Exists\"}]},\"prefixLength\":28" 2>&1)" \
        "Bound $V4.130.0/28"
    claim "$s-4" "$select,\"ipFamily\":\"IPv4\",\"prefixLength\":24" |
        refused "none of those that match can serve it" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength kn create -f -
    claim "$s-4" "\"poolSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]},\"prefixLength\":28" |
        refused "an operator that there is not" 422 Invalid operator "" kn create -f -
    refused "a selector is immutable" 422 Invalid "spec.poolSelector is immutable" FieldValueForbidden@spec.poolSelector \
        kn patch ipclaim "$s-1" --type=merge -p '{"spec":{"poolSelector":{"matchLabels":{"a":"b"}}}}'
}

hosts() {
    section "7. host addresses"
    local p=$P-host
    local one='"allocation":{"minPrefixLength":32,"maxPrefixLength":32}'
    does "a pool of IPv4 hosts" create_pool "$p-v4" "\"cidr\":\"$(block 9 30)\",$one"
    is "the first address is an ordinary one" "$(create_claim "$p-1" "\"poolRef\":{\"name\":\"$p-v4\"},\"prefixLength\":32" 2>&1)" "Bound $V4.144.0/32"
    is "no length is needed where there is one only" "$(create_claim "$p-2" "\"poolRef\":{\"name\":\"$p-v4\"}" 2>&1)" "Bound $V4.144.1/32"
    is "the last address is an ordinary one" "$(create_claim "$p-3" "\"poolRef\":{\"name\":\"$p-v4\"},\"address\":\"$V4.144.3\"" 2>&1)" "Bound $V4.144.3/32"
    is "one is left" "$(capacity "$p-v4") $(field ippool "$p-v4" '{.status.utilizationPercent} {.status.largestFreePrefix}')" "4/3/1 75 32"
    does "a pool of IPv6 hosts" create_pool "$p-v6" "\"cidr\":\"$V6:9::/64\",\"allocation\":{\"minPrefixLength\":128,\"maxPrefixLength\":128}"
    is "the first" "$(create_claim "$p-4" "\"poolRef\":{\"name\":\"$p-v6\"}" 2>&1)" "Bound $V6:9::/128"
    is "the second" "$(create_claim "$p-5" "\"poolRef\":{\"name\":\"$p-v6\"},\"ipFamily\":\"IPv6\",\"prefixLength\":128" 2>&1)" "Bound $V6:9::1/128"
    is "an address is written in its canonical form" \
        "$(create_claim "$p-6" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V6:0009:0:0:0:0:AB\"" 2>&1)" "Bound $V6:9::ab/128"
    claim "$p-7" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V6:9::ab\"" | refused "taken" 422 Invalid "$V6:9::ab" AddressTaken@spec.address kn create -f -
    claim "$p-7" "\"poolRef\":{\"name\":\"$p-v6\"},\"address\":\"$V4.144.2\"" |
        refused "an address of the other family" 422 Invalid address FieldValueInvalid@spec.address kn create -f -
}

pool_capacity() {
    section "8. pool capacity, to the address"
    local p=$P-cap
    local status='{.status.capacity.total}/{.status.capacity.allocated}/{.status.capacity.available} {.status.capacity.exact.total}/{.status.capacity.exact.allocated}/{.status.capacity.exact.available} {.status.utilizationPercent}% /{.status.largestFreePrefix}'
    does "an IPv4 pool" create_pool "$p" "\"cidr\":\"$(block 10 23)\""
    is "empty" "$(field ippool "$p" "$status")" "512/0/512 512/0/512 0% /23"
    does "one address" create_claim "$p-1" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":32"
    is "one address is rounded down to 0 %" "$(field ippool "$p" "$status")" "512/1/511 512/1/511 0% /24"
    does "a half" create_claim "$p-2" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":24"
    is "half and one" "$(field ippool "$p" "$status")" "512/257/255 512/257/255 50% /25"
    does "a child pool" create_pool "$p-child" "\"parentPoolRef\":{\"name\":\"$p\"},\"prefixLength\":25"
    is "counts in its parent" "$(field ippool "$p" "$status")" "512/385/127 512/385/127 75% /26"
    for length in 26 27 28 29 30 31; do
        does "a /$length" create_claim "$p-$length" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":$length"
    done
    is "all but one address is 99 %" "$(field ippool "$p" "$status")" "512/511/1 512/511/1 99% /32"
    does "the last" create_claim "$p-last" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":32"
    is "full" "$(field ippool "$p" "$status")" "512/512/0 512/512/0 100% /"

    does "an IPv6 pool" create_pool "$p-v6" "\"cidr\":\"$V6:a::/56\""
    does "a /64 of it" create_claim "$p-v6-1" "\"poolRef\":{\"name\":\"$p-v6\"},\"prefixLength\":64"
    local max=9007199254740991
    is "saturates, and is exact beside it" "$(field ippool "$p-v6" "$status")" \
        "$max/$max/$max 4722366482869645213696/18446744073709551616/4703919738795935662080 0% /57"
    does "host bits are accepted" create_pool "$p-bits" "\"cidr\":\"$V4.176.77/24\""
    is "and normalised" "$(field ippool "$p-bits" '{.spec.cidr} {.status.allocatedCIDR}')" "$V4.176.77/24 $V4.176.0/24"
}

dry_run_and_protection() {
    section "9. dry run and protection"
    local p=$P-dry ref answer code
    ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":26"
    does "a pool" create_pool "$p" "\"cidr\":\"$(block 12 24)\""
    is "a first claim" "$(create_claim "$p-1" "$ref" 2>&1)" "Bound $V4.192.0/26"
    answer=$(claim "$p-2" "$ref" | kn create --dry-run=server -f - -o 'jsonpath={.status.phase} {.status.allocatedCIDR} [{.metadata.resourceVersion}]' 2>"$WORK/dry")
    is "a dry run computes the next block" "$answer" "Bound $V4.192.64/26 []"
    is "and changes nothing" "$(kn get ipclaim "$p-2" -o name --ignore-not-found) $(capacity "$p")" " 256/64/192"
    is "the same for a second time" \
        "$(claim "$p-2" "$ref" | kn create --dry-run=server -f - -o 'jsonpath={.status.allocatedCIDR}' 2>/dev/null)" "$V4.192.64/26"
    is "and for the claim itself" "$(create_claim "$p-2" "$ref" 2>&1)" "Bound $V4.192.64/26"
    claim "$p-3" "\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":24" |
        refused "a dry run is refused like the real thing" 507 InsufficientStorage exhausted PoolExhausted@spec.prefixLength \
            kn create --dry-run=server -f -
    is "a pool's dry run" "$(pool "$p-x" "\"parentPoolRef\":{\"name\":\"$p\"},\"prefixLength\":26" |
        k create --dry-run=server -f - -o 'jsonpath={.status.allocatedCIDR}' 2>/dev/null)" "$V4.192.128/26"
    is "leaves none" "$(k get ippool "$p-x" -o name --ignore-not-found) $(capacity "$p")" " 256/128/128"
    { pool "$p-new" "\"cidr\":\"$(block 13 24)\""; claim "$p-new" "\"poolRef\":{\"name\":\"$p-new\"},\"prefixLength\":26"; } >"$WORK/set"
    is "a set of a pool and a claim is dry-run as a whole" \
        "$(kn create --dry-run=server -f "$WORK/set" -o 'jsonpath={.status.phase} ' 2>/dev/null)" "Ready Pending "
    code=0
    answer=$(kn diff -f "$WORK/set" 2>&1) || code=$?
    is "a set of a pool and a claim has a diff" "$code" 1
    has "of both" "$answer" "+kind: IPPool" "+kind: IPClaim"
    does "a deletion's dry run" kn delete ipclaim "$p-2" --dry-run=server
    is "deletes nothing" "$(field ipclaim "$p-2" '{.status.phase}') $(capacity "$p")" "Bound 256/128/128"

    refused "a pool in use stays" 409 Conflict "active allocation(s)" "" k delete ippool "$p"
    has "and says how many, and whose" "$REFUSAL" "2 active allocation(s)" "IPClaim $NS/$p-1" "IPClaim $NS/$p-2"
    does "it is as it was" k get ippool "$p"
    refused "its block is immutable" 422 Invalid "spec.cidr is immutable" FieldValueForbidden@spec.cidr \
        k patch ippool "$p" --type=merge -p "{\"spec\":{\"cidr\":\"$(block 13 24)\"}}"
    does "its bounds are not" k patch ippool "$p" --type=merge -p '{"spec":{"allocation":{"maxPrefixLength":28}}}'
    is "a status is not the user's" \
        "$(pool "$p-s" "\"cidr\":\"$(block 14 24)\"" | sed 's/}$/,"status":{"phase":"Error","allocatedCIDR":"1.2.3.0\/24"}}/' |
            k create -f - -o 'jsonpath={.status.phase} {.status.allocatedCIDR}' 2>"$WORK/status")" "Ready $V4.224.0/24"
    has "and the answer says so" "$(cat "$WORK/status")" "status.allocatedCIDR" "1.2.3.0/24" "spec.cidr"
    does "the claims go" kn delete ipclaim "$p-1" "$p-2"
    does "and now the pool may" k delete ippool "$p"
}

surroundings() {
    section "10. namespaces, owners, questions"
    local p=$P-around ns=$P-team owner uid
    does "a pool" create_pool "$p" "\"cidr\":\"$(block 15 24)\""
    local ref="\"poolRef\":{\"name\":\"$p\"},\"prefixLength\":28"
    does "a namespace" k create namespace "$ns"
    is "is active" "$(k get namespace "$ns" -o 'jsonpath={.status.phase}')" Active
    does "has labels" k label namespace "$ns" tier=one
    does "takes a patch of the default kind" k patch namespace "$ns" -p '{"metadata":{"labels":{"tier":"two"}}}'
    has "shows them" "$(k get namespaces --show-labels 2>&1)" "$ns" tier=two
    for name in 1 2 3; do
        claim "$p-$name" "$ref" | does "claim $name in it" k -n "$ns" create -f -
    done
    is "their blocks are taken" "$(capacity "$p")" 256/48/208
    does "goes" k delete namespace "$ns" --timeout=60s
    is "with its claims" "$(k -n "$ns" get ipclaims -o name 2>/dev/null)" ""
    is "and gives the blocks back" "$(capacity "$p")" 256/0/256

    does "an owner" create_claim "$p-owner" "$ref"
    uid=$(field ipclaim "$p-owner" '{.metadata.uid}')
    owner="\"ownerReferences\":[{\"apiVersion\":\"$VERSION\",\"kind\":\"IPClaim\",\"name\":\"$p-owner\",\"uid\":\"$uid\",\"blockOwnerDeletion\":true}]"
    does "and its dependent" create_claim "$p-owned" "$ref" "$owner"
    does "go together" kn delete ipclaim "$p-owner" --cascade=foreground --timeout=60s
    is "both" "$(kn get ipclaim "$p-owner" "$p-owned" -o name --ignore-not-found) $(capacity "$p")" " 256/0/256"
    does "another owner" create_claim "$p-owner" "$ref"
    uid=$(field ipclaim "$p-owner" '{.metadata.uid}')
    owner="\"ownerReferences\":[{\"apiVersion\":\"$VERSION\",\"kind\":\"IPClaim\",\"name\":\"$p-owner\",\"uid\":\"$uid\"}]"
    does "and its orphan" create_claim "$p-owned" "$ref" "$owner"
    does "are parted" kn delete ipclaim "$p-owner" --cascade=orphan --timeout=60s
    is "the orphan stays" "$(field ipclaim "$p-owned" '{.status.phase}/{.metadata.ownerReferences}') $(capacity "$p")" "Bound/ 256/16/240"

    is "may I" "$(k auth can-i create ipclaims)" yes
    does "what may I" k auth can-i --list
    has "who am I" "$(k auth whoami 2>&1)" Username
    does "events" kn get events
    does "a lease" kn create -f - <<END
{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"$p"},"spec":{"holderIdentity":"me","leaseDurationSeconds":15}}
END
    has "with its holder" "$(kn get leases 2>&1)" HOLDER "$p" me
    does "goes" kn delete lease "$p"
    does "all" k get all -A
    has "a description ends with events" "$(kn describe ipclaim "$p-owned" 2>&1)" Events:
    does "the orphan goes" kn delete ipclaim "$p-owned"
    does "and the pool" k delete ippool "$p"
}

access() {
    section "11. users with some rights"
    local role=$P-claimer user=$P-jane as
    as="--as=$user"
    does "a role" kn create role "$role" --verb=get,list,create --resource="ipclaims.$GROUP"
    is "that nobody has" "$(kn auth can-i list ipclaims "$as" 2>/dev/null)" no
    refused "a user without it" 403 Forbidden "User \"$user\" cannot list resource \"ipclaims\"" "" kn get ipclaims "$as"
    does "is given it" kn create rolebinding "$role" --role="$role" --user="$user"
    is "and has it" "$(kn auth can-i list ipclaims "$as")" yes
    is "in this namespace alone" "$(k -n default auth can-i list ipclaims "$as" 2>/dev/null)" no
    does "may list" kn get ipclaims "$as"
    refused "may not delete" 403 Forbidden "cannot delete resource" "" kn delete ipclaim "$P-none" "$as"
    has "what may they" "$(kn auth can-i --list "$as" 2>&1)" "ipclaims.$GROUP"
    refused "may not give it" 403 Forbidden "cannot create resource \"rolebindings\"" "" \
        kn create rolebinding "$role-2" --role="$role" --user=joe "$as"
    kn get role "$role" -o yaml >"$WORK/role.yaml" 2>/dev/null
    sed -i 's/^  - create$/  - delete/' "$WORK/role.yaml"
    has "the role is applied as Kubernetes' own are" "$(kn apply -f "$WORK/role.yaml" 2>&1)" "role.rbac.authorization.k8s.io/$role configured"
    is "and has changed" "$(kn auth can-i delete ipclaims "$as")$(kn auth can-i create ipclaims "$as" 2>/dev/null)" yesno
    has "a binding is described" "$(kn describe rolebinding "$role" 2>&1)" "Kind:  Role" "User" "$user"
    has "and shown with its users" "$(kn get rolebindings -o wide 2>&1)" "ROLE" "USERS" "Role/$role" "$user"
    does "the right is taken" kn delete rolebinding "$role"
    is "and is gone" "$(kn auth can-i list ipclaims "$as" 2>/dev/null)" no
    does "and the role" kn delete role "$role"
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
