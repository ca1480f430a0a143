package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"conformance/suite"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// withoutWavesRetries is how often Argo CD tries again where nothing orders a pool, its child and their claims: each try may get
// one level further.
const withoutWavesRetries = 2

func (w *world) caches(t *suite.T) {
	t.NoError(w.cluster.cache.EnsureSynced(), "filling the cache")
	kinds := map[schema.GroupKind]bool{}
	for _, resource := range w.cluster.cache.GetAPIResources() {
		kinds[resource.GroupKind] = true
	}
	for _, kind := range []string{"IPPool", "IPClaim", "IPAllocation"} {
		t.Equal(kinds[schema.GroupKind{Group: suite.Group, Kind: kind}], true, kind+" is in the cache")
	}
	pool := kube.NewResourceKey(suite.Group, "IPPool", "", w.Pool)
	_, found := w.cluster.cache.FindResources("")[pool]
	t.Equal(found, true, "the pool of this program is in the cache")
}

func (w *world) applicationChecks(a *application) []suite.Check {
	check := func(name string, run func(*suite.T, *application)) suite.Check {
		return suite.Check{Name: a.by + ": " + name, Run: func(t *suite.T) { run(t, a) }}
	}
	return []suite.Check{
		check("three waves make pools, then claims, and every claim is bound", w.waves),
		check("what was applied is Synced", w.synced),
		check("a change by hand is OutOfSync, and is corrected", w.drift),
		check("a change of an immutable field is refused, and the claim keeps its block", w.immutable),
		check("pruning goes through the waves backward, and a pool with a retained block is refused", w.prune),
		check("without waves claims are refused, and are bound by a later try", w.withoutWaves),
	}
}

// manifests are those of examples/gitops, in no order, with the mark of the Application.
func (w *world) manifests(t *suite.T) (objects []*unstructured.Unstructured) {
	for _, folder := range []string{"claims", "pools"} {
		names, err := filepath.Glob(filepath.Join(w.repository, "examples", "gitops", folder, "*.yaml"))
		t.NoError(err, "listing "+folder)
		for _, name := range names {
			text, err := os.ReadFile(name)
			t.NoError(err, "reading "+name)
			object := &unstructured.Unstructured{}
			t.NoError(yaml.Unmarshal(text, object), "parsing "+name)
			if object.GroupVersionKind().Group == suite.Group {
				objects = append(objects, object)
			}
		}
	}
	t.Equal(len(objects), 5, "manifests")
	track(objects)
	return objects
}

// claims are the blocks of the examples' claims that are bound.
func (w *world) claims(t *suite.T) map[string]string {
	list, err := w.Dynamic.Resource(suite.Claims).Namespace(destination).List(t.Ctx, metav1.ListOptions{})
	t.NoError(err, "listing claims")
	blocks := map[string]string{}
	for _, claim := range list.Items {
		phase, _, _ := unstructured.NestedString(claim.Object, "status", "phase")
		block, _, _ := unstructured.NestedString(claim.Object, "status", "allocatedCIDR")
		if phase != "Bound" || block == "" {
			t.Errorf("%s is %s with the block %q", claim.GetName(), phase, block)
		}
		blocks[claim.GetName()] = block
	}
	return blocks
}

// pools are the names of the examples' pools that there are.
func (w *world) pools(t *suite.T) (names []string) {
	list, err := w.Dynamic.Resource(suite.Pools).List(t.Ctx, metav1.ListOptions{})
	t.NoError(err, "listing pools")
	for _, pool := range list.Items {
		if strings.HasPrefix(pool.GetName(), "fleet") {
			names = append(names, pool.GetName())
		}
	}
	return names
}

// succeeds ends the check unless the synchronization comes to its end without a fault.
func succeeds(t *suite.T, a *application, wanted []*unstructured.Unstructured) operation {
	done, err := a.sync(t.Ctx, wanted)
	t.NoError(err, "the synchronization")
	if done.phase != common.OperationSucceeded {
		t.Fatalf("the synchronization is %s: %s", done.phase, done.faults())
	}
	return done
}

// fails ends the check unless the synchronization fails with these texts.
func fails(t *suite.T, a *application, wanted []*unstructured.Unstructured, texts ...string) operation {
	done, err := a.sync(t.Ctx, wanted)
	t.NoError(err, "the synchronization")
	t.Equal(done.phase, common.OperationFailed, "phase")
	for _, text := range texts {
		if !strings.Contains(done.faults(), text) {
			t.Fatalf("it does not say %s: %s", text, done.faults())
		}
	}
	return done
}

// faults is the message of the operation and those of the objects that failed.
func (o operation) faults() string {
	all := []string{o.message}
	for _, result := range o.results {
		if result.Status == common.ResultCodeSyncFailed {
			all = append(all, fmt.Sprintf("%s: %s", result.ResourceKey.Name, result.Message))
		}
	}
	return strings.Join(all, "\n")
}

// outOfSync are the names of the objects that differ from the repository, as soon as the cache has what was written.
func outOfSync(differences *diff.DiffResultList, wanted []*unstructured.Unstructured) (names []string) {
	for i, difference := range differences.Diffs {
		switch {
		case !difference.Modified:
		case i < len(wanted):
			names = append(names, wanted[i].GetName())
		default:
			names = append(names, string(difference.NormalizedLive))
		}
	}
	slices.Sort(names)
	return names
}

// eventuallyOutOfSync waits until the comparison finds exactly these names.
func eventuallyOutOfSync(t *suite.T, a *application, wanted []*unstructured.Unstructured, names ...string) {
	t.Eventually(fmt.Sprintf("OutOfSync: %q", names), func() string {
		pairs, differences, err := a.compare(wanted)
		t.NoError(err, "comparing")
		if found := outOfSync(differences, pairs.Target); !slices.Equal(found, names) {
			return fmt.Sprintf("%q", found)
		}
		return ""
	})
}

func (w *world) waves(t *suite.T, a *application) {
	done := succeeds(t, a, w.manifests(t))
	t.Equal(done.waves, "[0 1 2]", "waves")
	var order []string
	for _, result := range done.results {
		t.Equal(result.Status, common.ResultCodeSynced, result.ResourceKey.Name)
		order = append(order, result.ResourceKey.Name)
	}
	t.Equal(order[:2], "[fleet fleet-eu]", "pools in the order of their waves")
	blocks := w.claims(t)
	t.Equal(len(blocks), 3, "claims")
	t.Equal(blocks["ingress"], "172.16.255.0/24", "the block that the repository names")
}

func (w *world) synced(t *suite.T, a *application) {
	wanted := w.manifests(t)
	eventuallyOutOfSync(t, a, wanted)
	pairs, _, err := a.compare(wanted)
	t.NoError(err, "comparing")
	for i, live := range pairs.Live {
		if live == nil {
			t.Fatalf("%s has no live object", pairs.Target[i].GetName())
		}
	}
	if a.serverSide {
		predicted, err := a.predict(pairs)
		t.NoError(err, "comparing by dry runs of the server")
		t.Equal(outOfSync(predicted, pairs.Target), "[]", "OutOfSync by dry runs of the server")
	}
}

func (w *world) drift(t *suite.T, a *application) {
	wanted := w.manifests(t)
	before := w.claims(t)
	change := []byte(`{"spec":{"reclaimPolicy":"Delete"},"metadata":{"labels":{"by":"hand"}}}`)
	claims := w.Dynamic.Resource(suite.Claims).Namespace(destination)
	_, err := claims.Patch(t.Ctx, "archive", types.MergePatchType, change, metav1.PatchOptions{FieldManager: "hand"})
	t.NoError(err, "changing archive by hand")
	eventuallyOutOfSync(t, a, wanted, "archive")
	succeeds(t, a, wanted)
	eventuallyOutOfSync(t, a, wanted)
	corrected, err := claims.Get(t.Ctx, "archive", metav1.GetOptions{})
	t.NoError(err, "getting archive")
	policy, _, _ := unstructured.NestedString(corrected.Object, "spec", "reclaimPolicy")
	t.Equal(policy+" "+corrected.GetLabels()["by"], "Retain hand", "what the repository has, and the label that it has not")
	t.Equal(w.claims(t), before, "blocks")
}

func (w *world) immutable(t *suite.T, a *application) {
	before := w.claims(t)
	wanted := w.manifests(t)
	for _, object := range wanted {
		if object.GetName() == "nodes" {
			_ = unstructured.SetNestedField(object.Object, int64(21), "spec", "prefixLength")
		}
	}
	fails(t, a, wanted, "nodes: ", "spec.prefixLength", "immutable")
	t.Equal(w.claims(t), before, "blocks")
	eventuallyOutOfSync(t, a, wanted, "nodes")
}

func (w *world) prune(t *suite.T, a *application) {
	done := fails(t, a, nil, "fleet-eu: ", "retained from IPClaim archive")
	t.Equal(len(w.claims(t)), 0, "claims")
	t.Equal(w.pools(t), "[fleet fleet-eu]", "pools while a block is retained")
	// The last wave did not come to its end, and the first not to its beginning.
	t.Equal(done.waves, "[0]", "waves that were pruned")
	allocations := w.Dynamic.Resource(suite.Allocations).Namespace(destination)
	t.NoError(allocations.DeleteCollection(t.Ctx, metav1.DeleteOptions{}, metav1.ListOptions{}), "deleting the retained allocation")
	done = succeeds(t, a, nil)
	var order []string
	for _, result := range done.results {
		t.Equal(result.Status, common.ResultCodePruned, result.ResourceKey.Name)
		order = append(order, result.ResourceKey.Name)
	}
	t.Equal(order, "[fleet-eu fleet]", "order")
	// Argo CD asks for foreground deletion, whose end comes after the answer.
	t.Eventually("no pool is left", func() string { return strings.Join(w.pools(t), " ") })
}

func (w *world) withoutWaves(t *suite.T, a *application) {
	wanted := w.manifests(t)
	for _, object := range wanted {
		annotations := object.GetAnnotations()
		delete(annotations, common.AnnotationSyncWave)
		object.SetAnnotations(annotations)
	}
	// Argo CD sorts by name what it has no other order for, and sends neighbors of one kind at once: only `archive` is always too early.
	fails(t, a, wanted, "archive: ", `IPPool "fleet-eu" not found`)
	t.Equal(w.claims(t)["archive"], "", "the block of archive after the refusal")
	for try := 1; ; try++ {
		done, err := a.sync(t.Ctx, wanted)
		t.NoError(err, "the synchronization")
		if done.phase.Successful() {
			break
		}
		if try == withoutWavesRetries {
			t.Fatalf("it fails after %d retries, too: %s", try, done.faults())
		}
	}
	t.Equal(len(w.claims(t)), 3, "claims")
	eventuallyOutOfSync(t, a, wanted)
	w.takeAway()
	t.Equal(len(w.pools(t)), 0, "pools when all was taken away")
}

// takeOver has a pool that looks as if kubectl had applied it: its fields move to Argo CD.
func (w *world) takeOver(t *suite.T) {
	a := &application{cluster: w.cluster, serverSide: true}
	wanted := slices.DeleteFunc(w.manifests(t), func(o *unstructured.Unstructured) bool { return o.GetName() != "fleet" })
	pools := w.Dynamic.Resource(suite.Pools)
	_, err := pools.Create(t.Ctx, wanted[0], metav1.CreateOptions{FieldManager: common.DefaultClientSideApplyMigrationManager})
	t.NoError(err, "creating as kubectl")
	t.Eventually("the pool is in the cache", func() string {
		pairs, _, err := a.compare(wanted)
		t.NoError(err, "comparing")
		if pairs.Live[0] == nil {
			return "it is not"
		}
		return ""
	})
	succeeds(t, a, wanted)
	pool, err := pools.Get(t.Ctx, "fleet", metav1.GetOptions{})
	t.NoError(err, "getting the pool")
	var managers []string
	for _, entry := range pool.GetManagedFields() {
		if entry.Subresource == "" {
			managers = append(managers, entry.Manager+" "+string(entry.Operation))
		}
	}
	t.Equal(managers, "["+applyManager+" Apply]", "managers")
	eventuallyOutOfSync(t, a, wanted)
	succeeds(t, a, nil)
}

func (w *world) restart(t *suite.T) {
	restart := os.Getenv("CONFORMANCE_RESTART")
	if restart == "" {
		t.Skip("there is no command that restarts the server")
	}
	cached := func(name string) bool {
		key := kube.NewResourceKey(suite.Group, "IPClaim", w.Namespace, name)
		_, found := w.cluster.cache.FindResources(w.Namespace, func(r *cache.Resource) bool { return r.ResourceKey() == key })[key]
		return found
	}
	before := w.Claim(t, w.Name("before")).GetName()
	t.Eventually("the claim of before is in the cache", func() string {
		if !cached(before) {
			return "it is not"
		}
		return ""
	})
	said, err := exec.CommandContext(t.Ctx, restart).CombinedOutput()
	t.NoError(err, fmt.Sprintf("restarting: %s", said))
	w.Delete(t, before)
	after := w.Claim(t, w.Name("after")).GetName()
	t.Eventually("the cache has the claim of after and not that of before", func() string {
		if !cached(after) || cached(before) {
			return fmt.Sprintf("after %t, before %t", cached(after), cached(before))
		}
		return ""
	})
	succeeds(t, &application{cluster: w.cluster, serverSide: true}, nil)
}

// takeAway deletes everything that the manifests make.
func (w *world) takeAway() {
	ctx := context.Background()
	for _, resource := range []schema.GroupVersionResource{suite.Claims, suite.Allocations} {
		_ = w.Dynamic.Resource(resource).Namespace(destination).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}
	for _, pool := range []string{"fleet-eu", "fleet"} {
		_ = w.Dynamic.Resource(suite.Pools).Delete(ctx, pool, metav1.DeleteOptions{})
	}
}
