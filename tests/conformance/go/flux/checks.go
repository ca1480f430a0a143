package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"conformance/suite"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	ssaerrors "github.com/fluxcd/pkg/ssa/errors"
	"github.com/fluxcd/pkg/ssa/utils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// claimNamespace is the namespace of the claims of examples/.
const claimNamespace = metav1.NamespaceDefault

func readObjects(text []byte) ([]*unstructured.Unstructured, error) {
	return utils.ReadObjects(bytes.NewReader(text))
}

func (w *world) examplesChecks() []suite.Check {
	return []suite.Check{
		{Name: "a dry run on an empty server takes all of examples/", Run: w.dryRun},
		{Name: "examples/ file by file: every claim is bound, and a second apply changes nothing", Run: w.examples},
	}
}

func (w *world) kustomizationChecks() []suite.Check {
	return []suite.Check{
		{Name: "dependsOn in examples/gitops/flux.yaml puts pools before claims", Run: w.readKustomizations},
		{Name: "claims before their pools are refused, and are bound by a later try", Run: w.claimsFirst},
		{Name: "a second reconciliation changes nothing", Run: w.unchanged},
		{Name: "a change by another manager is drift, and is corrected", Run: w.drift},
		{Name: "a pool that kubectl applied first is taken over", Run: w.takeOver},
		{Name: "a change of an immutable field is refused, and the claim keeps its block", Run: w.immutable},
		{Name: "with force the claim is deleted and created", Run: w.force},
		{Name: "a claim that left the repository is pruned", Run: w.pruneClaim},
		{Name: "pools with claims are not pruned, and a later try prunes children before parents", Run: w.pruneAll},
	}
}

// files are the objects of examples/, a list for each file, in the order of the files.
func (w *world) files(t *suite.T) (files [][]*unstructured.Unstructured) {
	names, err := filepath.Glob(filepath.Join(w.repository, "examples", "*.yaml"))
	t.NoError(err, "listing examples/")
	for _, name := range names {
		objects, err := readFile(name)
		t.NoError(err, "reading "+name)
		files = append(files, objects)
	}
	if len(files) == 0 {
		t.Fatalf("there is no example")
	}
	return files
}

func (w *world) built(t *suite.T, k *tracked) []*unstructured.Unstructured {
	objects, err := k.build(w.repository)
	t.NoError(err, "building "+k.Metadata.Name)
	return objects
}

// all lists what there is of a kind.
func (w *world) all(t *suite.T, kind string) []unstructured.Unstructured {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(suite.Version.WithKind(kind + "List"))
	t.NoError(w.client.List(t.Ctx, list), "listing "+kind)
	return list.Items
}

func (w *world) names(t *suite.T, kind string) (names []string) {
	for _, item := range w.all(t, kind) {
		names = append(names, item.GetName())
	}
	return names
}

func (w *world) claim(t *suite.T, name string) *unstructured.Unstructured {
	claim := &unstructured.Unstructured{}
	claim.SetGroupVersionKind(suite.Version.WithKind("IPClaim"))
	t.NoError(w.client.Get(t.Ctx, client.ObjectKey{Namespace: claimNamespace, Name: name}, claim), "getting "+name)
	return claim
}

// block is the phase and the block of a claim.
func block(claim *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(claim.Object, "status", "phase")
	cidr, _, _ := unstructured.NestedString(claim.Object, "status", "allocatedCIDR")
	return phase + " " + cidr
}

// allBound is a check that all of the examples' claims are there and bound.
func (w *world) allBound(t *suite.T, wanted int) {
	claims := w.all(t, "IPClaim")
	t.Equal(len(claims), wanted, "claims")
	for _, claim := range claims {
		if cidr, bound := strings.CutPrefix(block(&claim), "Bound "); !bound || cidr == "" {
			t.Errorf("%s is %s", claim.GetName(), block(&claim))
		}
	}
}

// each compares what was done to each object.
func each(t *suite.T, changes *ssa.ChangeSet, wanted ssa.Action) {
	if changes == nil || len(changes.Entries) == 0 {
		t.Fatalf("nothing was done where all was to be %s", wanted)
	}
	for _, entry := range changes.Entries {
		t.Equal(entry.Action, wanted, entry.Subject)
	}
}

// says ends the check if the error has not all of the texts.
func says(t *suite.T, err error, texts ...string) {
	if err == nil {
		t.Fatalf("there is no error that says %s", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Fatalf("the error does not say %s: %v", text, err)
		}
	}
}

// takeAway deletes everything that the examples make.
func (w *world) takeAway(ctx context.Context) {
	deleteAll := func(kind string, options ...client.DeleteAllOfOption) {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(suite.Version.WithKind(kind))
		_ = w.client.DeleteAllOf(ctx, object, options...)
	}
	deleteAll("IPClaim", client.InNamespace(claimNamespace))
	deleteAll("IPAllocation", client.InNamespace(claimNamespace))
	// Children, then parents.
	for range 3 {
		deleteAll("IPPool")
	}
}

func (w *world) dryRun(t *suite.T) {
	files := w.files(t)
	for _, folder := range []string{"pools", "claims"} {
		k := &tracked{}
		k.Spec.Path = filepath.Join("examples", "gitops", folder)
		files = append(files, w.built(t, k))
	}
	for _, object := range slices.Concat(files...) {
		entry, _, _, err := w.manager.Diff(t.Ctx, object, ssa.DefaultDiffOptions())
		t.NoError(err, utils.FmtUnstructured(object))
		t.Equal(entry.Action, ssa.CreatedAction, entry.Subject)
	}
	t.Equal(len(w.all(t, "IPPool"))+len(w.all(t, "IPClaim"))+len(w.all(t, "IPAllocation")), 0, "objects after a dry run")
}

func (w *world) examples(t *suite.T) {
	files := w.files(t)
	claims := 0
	for _, file := range files {
		changes, err := w.manager.ApplyAll(t.Ctx, file, applyOptions(false))
		t.NoError(err, "applying a file")
		each(t, changes, ssa.CreatedAction)
		for _, object := range file {
			if object.GetKind() == "IPClaim" {
				claims++
			}
		}
	}
	w.allBound(t, claims)
	changes, err := w.manager.ApplyAll(t.Ctx, slices.Concat(files...), applyOptions(false))
	t.NoError(err, "applying all again")
	each(t, changes, ssa.UnchangedAction)
	w.takeAway(t.Ctx)
	t.Equal(len(w.all(t, "IPPool"))+len(w.all(t, "IPAllocation")), 0, "objects when all was taken away")
}

func (w *world) readKustomizations(t *suite.T) {
	objects, err := readFile(filepath.Join(w.repository, "examples", "gitops", "flux.yaml"))
	t.NoError(err, "reading the Kustomizations")
	var all []*tracked
	for _, object := range slices.Backward(objects) {
		k := &tracked{}
		text, err := object.MarshalJSON()
		t.NoError(err, "writing a Kustomization")
		t.NoError(json.Unmarshal(text, &k.kustomization), "reading a Kustomization")
		all = append(all, k)
	}
	sorted, err := inOrder(all)
	t.NoError(err, "ordering the Kustomizations")
	t.Equal(len(sorted), 2, "Kustomizations")
	w.pools, w.claims = sorted[0], sorted[1]
	t.Equal(w.pools.Metadata.Name+" "+w.claims.Metadata.Name, "pools claims", "order")
}

func (w *world) claimsFirst(t *suite.T) {
	_, err := w.reconcile(t.Ctx, w.claims, w.built(t, w.claims))
	says(t, err, `IPPool "fleet-eu" not found`)
	t.Equal(len(w.all(t, "IPClaim")), 0, "claims after the refusal")
	for _, k := range []*tracked{w.pools, w.claims} {
		changes, err := w.reconcile(t.Ctx, k, w.built(t, k))
		t.NoError(err, "reconciling "+k.Metadata.Name)
		each(t, changes, ssa.CreatedAction)
	}
	w.allBound(t, 3)
	t.Equal(block(w.claim(t, "ingress")), "Bound 172.16.255.0/24", "the block that the repository names")
}

func (w *world) unchanged(t *suite.T) {
	before := w.versions(t)
	for _, k := range []*tracked{w.pools, w.claims} {
		changes, err := w.reconcile(t.Ctx, k, w.built(t, k))
		t.NoError(err, "reconciling "+k.Metadata.Name)
		each(t, changes, ssa.UnchangedAction)
	}
	t.Equal(w.versions(t), before, "versions")
}

func (w *world) versions(t *suite.T) map[string]string {
	versions := map[string]string{}
	for _, kind := range []string{"IPPool", "IPClaim", "IPAllocation"} {
		for _, item := range w.all(t, kind) {
			versions[kind+"/"+item.GetName()] = item.GetResourceVersion()
		}
	}
	return versions
}

func (w *world) drift(t *suite.T) {
	changed := w.claim(t, "archive")
	was := block(changed)
	old := changed.DeepCopy()
	_ = unstructured.SetNestedField(changed.Object, "Delete", "spec", "reclaimPolicy")
	changed.SetLabels(map[string]string{"by": "hand"})
	t.NoError(w.client.Patch(t.Ctx, changed, client.MergeFrom(old), client.FieldOwner("hand")), "changing archive by hand")

	objects := w.built(t, w.claims)
	w.manager.SetOwnerLabels(objects, w.claims.Metadata.Name, w.claims.Metadata.Namespace)
	found := map[string]ssa.Action{}
	for _, object := range objects {
		entry, live, merged, err := w.manager.Diff(t.Ctx, object, ssa.DefaultDiffOptions())
		t.NoError(err, "the diff of "+object.GetName())
		found[object.GetName()] = entry.Action
		if entry.Action == ssa.ConfiguredAction {
			t.Equal(policy(live)+" "+policy(merged), "Delete Retain", "reclaimPolicy, live and merged")
		}
	}
	wanted := map[string]ssa.Action{"archive": ssa.ConfiguredAction, "ingress": ssa.UnchangedAction, "nodes": ssa.UnchangedAction}
	t.Equal(found, wanted, "drift")
	changes, err := w.reconcile(t.Ctx, w.claims, objects)
	t.NoError(err, "reconciling")
	for _, entry := range changes.Entries {
		t.Equal(entry.Action, wanted[entry.ObjMetadata.Name], entry.Subject)
	}
	corrected := w.claim(t, "archive")
	t.Equal(policy(corrected)+" "+block(corrected), "Retain "+was, "archive after it")
	t.Equal(corrected.GetLabels()["by"], "hand", "the label that Flux does not own")
}

func policy(claim *unstructured.Unstructured) string {
	policy, _, _ := unstructured.NestedString(claim.Object, "spec", "reclaimPolicy")
	return policy
}

// takeOver has a pool that looks as if kubectl had applied it, and Flux removes every trace of that.
func (w *world) takeOver(t *suite.T) {
	objects := w.built(t, w.pools)
	pool := objects[0].DeepCopy()
	change := client.RawPatch(types.MergePatchType, []byte(
		`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"},"labels":{"by":"kubectl"}}}`))
	t.NoError(w.client.Patch(t.Ctx, pool, change, client.FieldOwner("kubectl-client-side-apply")), "applying as kubectl")

	changes, err := w.reconcile(t.Ctx, w.pools, objects)
	t.NoError(err, "reconciling")
	t.Equal(changes.ToMap()[utils.FmtUnstructured(pool)], ssa.ConfiguredAction, "the pool")
	t.NoError(w.client.Get(t.Ctx, client.ObjectKeyFromObject(pool), pool), "getting the pool")
	managers := map[string]bool{}
	for _, entry := range pool.GetManagedFields() {
		if entry.Subresource == "" {
			managers[entry.Manager+" "+string(entry.Operation)] = true
		}
	}
	t.Equal(slices.Sorted(maps.Keys(managers)), "["+fieldManager+" Apply]", "managers")
	t.Equal(pool.GetLabels()["by"]+pool.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"], "", "what kubectl left")
}

// withPrefixLength are the claims of the repository with another length for one of them.
func (w *world) withPrefixLength(t *suite.T, name string, length int64) []*unstructured.Unstructured {
	objects := w.built(t, w.claims)
	for _, object := range objects {
		if object.GetName() == name {
			_ = unstructured.SetNestedField(object.Object, length, "spec", "prefixLength")
		}
	}
	return objects
}

func (w *world) immutable(t *suite.T) {
	before := w.claim(t, "nodes")
	_, err := w.reconcile(t.Ctx, w.claims, w.withPrefixLength(t, "nodes", 21))
	says(t, err, "IPClaim/default/nodes dry-run failed (Invalid)", "spec.prefixLength", "immutable")
	t.Equal(ssaerrors.IsImmutableError(errors.Unwrap(err)), true, "Flux knows it for a change of an immutable field")
	after := w.claim(t, "nodes")
	t.Equal(string(after.GetUID())+block(after), string(before.GetUID())+block(before), "uid and block")
}

func (w *world) force(t *suite.T) {
	before := w.claim(t, "nodes")
	w.claims.Spec.Force = true
	changes, err := w.reconcile(t.Ctx, w.claims, w.withPrefixLength(t, "nodes", 21))
	w.claims.Spec.Force = false
	t.NoError(err, "reconciling with force")
	t.Equal(changes.ToMap()["IPClaim/default/nodes"], ssa.CreatedAction, "nodes")
	after := w.claim(t, "nodes")
	t.Equal(after.GetUID() == before.GetUID(), false, "it is the same claim")
	t.Equal(strings.HasPrefix(block(after), "Bound ") && strings.HasSuffix(block(after), "/21"), true, "it has a /21: "+block(after))
}

func (w *world) pruneClaim(t *suite.T) {
	remaining := slices.DeleteFunc(w.built(t, w.claims), func(o *unstructured.Unstructured) bool { return o.GetName() == "nodes" })
	changes, err := w.reconcile(t.Ctx, w.claims, remaining)
	t.NoError(err, "reconciling")
	t.Equal(changes.ToMap(), map[string]ssa.Action{
		"IPClaim/default/archive": ssa.UnchangedAction, "IPClaim/default/ingress": ssa.UnchangedAction, "IPClaim/default/nodes": ssa.DeletedAction,
	}, "changes")
	t.Equal(w.names(t, "IPClaim"), "[archive ingress]", "claims")
}

func (w *world) pruneAll(t *suite.T) {
	changes, err := w.reconcile(t.Ctx, w.pools, nil)
	says(t, err, "IPPool/fleet-eu delete failed", "held by IPClaim default/", "IPPool/fleet delete failed", "held by IPPool fleet-eu")
	each(t, changes, ssa.UnknownAction)
	t.Equal(w.names(t, "IPPool"), "[fleet fleet-eu]", "pools after the refusal")

	changes, err = w.reconcile(t.Ctx, w.claims, nil)
	t.NoError(err, "pruning claims")
	each(t, changes, ssa.DeletedAction)
	_, err = w.reconcile(t.Ctx, w.pools, nil)
	says(t, err, "IPPool/fleet-eu delete failed", "retained from IPClaim archive")
	t.Equal(len(w.all(t, "IPAllocation")), 1, "allocations: the retained one, which Flux does not own")
	retained := &unstructured.Unstructured{}
	retained.SetGroupVersionKind(suite.Version.WithKind("IPAllocation"))
	t.NoError(w.client.DeleteAllOf(t.Ctx, retained, client.InNamespace(claimNamespace)), "deleting the retained allocation")

	changes, err = w.reconcile(t.Ctx, w.pools, nil)
	t.NoError(err, "pruning pools")
	t.Equal(changes, "IPPool/fleet-eu deleted\nIPPool/fleet deleted", "order")
	t.NoError(w.manager.WaitForSetTermination(changes, ssa.WaitOptions{Interval: pollInterval, Timeout: waitTimeout}), "waiting for the end of the pools")
	t.Equal(len(w.all(t, "IPPool"))+len(w.all(t, "IPClaim"))+len(w.all(t, "IPAllocation")), 0, "objects when all was pruned")
}

func (w *world) refusals(base *suite.World) []suite.Check {
	return suite.RefusalsBy(base, func(t *suite.T, object *unstructured.Unstructured) error {
		_, err := w.manager.ApplyAll(t.Ctx, []*unstructured.Unstructured{object}, applyOptions(false))
		return err
	}, map[string]string{
		// An apply reaches the kind before it turns out to be a create.
		"an allocation, which only the server creates": "created by the service together with its IPClaim",
	})
}

func (w *world) restartChecks(base *suite.World) []suite.Check {
	return []suite.Check{{Name: "the manager goes on after a restart of the server", Run: func(t *suite.T) {
		restart := os.Getenv("CONFORMANCE_RESTART")
		if restart == "" {
			t.Skip("there is no command that restarts the server")
		}
		before := base.NewClaim(base.Name("before"))
		_, err := w.manager.Apply(t.Ctx, before, applyOptions(false))
		t.NoError(err, "applying before the restart")
		said, err := exec.CommandContext(t.Ctx, restart).CombinedOutput()
		t.NoError(err, fmt.Sprintf("restarting: %s", said))
		after := base.NewClaim(base.Name("after"))
		changes, err := w.manager.ApplyAll(t.Ctx, []*unstructured.Unstructured{before, after}, applyOptions(false))
		t.NoError(err, "applying after the restart")
		t.Equal(changes.ToMap()[utils.FmtUnstructured(before)], ssa.UnchangedAction, "the claim of before")
		t.Equal(changes.ToMap()[utils.FmtUnstructured(after)], ssa.CreatedAction, "the claim of after")
		set := object.UnstructuredSetToObjMetadataSet([]*unstructured.Unstructured{before, after})
		t.NoError(w.manager.WaitForSet(set, ssa.WaitOptions{Interval: pollInterval, Timeout: waitTimeout}), "waiting for both")
	}}}
}
