// controller-runtime with the server of KUBECONFIG: a manager with its cache, a metadata-only watch, a client that patches, applies
// and writes the status, leader election and event recorders.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"conformance/suite"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// seenCondition is the condition that the test's controller adds to the status of a claim.
const seenCondition = "Seen"

type world struct {
	*suite.World
	client client.Client
}

func main() {
	ctrl.SetLogger(logr.Discard())
	klog.SetOutput(io.Discard)
	base, err := suite.NewWorld()
	if err == nil {
		w := &world{World: base}
		if w.client, err = client.New(base.Config, client.Options{}); err == nil {
			w.run()
			return
		}
	}
	fmt.Printf("not ok 1 - creating the test environment: %v\n", err)
	os.Exit(1)
}

func (w *world) run() {
	checks := suite.Open("controller-runtime " + suite.VersionOf("sigs.k8s.io/controller-runtime"))
	for _, check := range []suite.Check{
		{Name: "the client finds scope and resource of each kind", Run: w.scopes},
		{Name: "a client creates, gets, lists, updates and deletes", Run: w.crud},
		{Name: "patches: merge, merge with optimistic lock, status", Run: w.patches},
		{Name: "CreateOrUpdate and CreateOrPatch", Run: w.createOr},
		{Name: "a manager reconciles with its cache and a metadata-only watch of allocations", Run: w.manager},
		{Name: "managers with leader election take turns", Run: w.leaders},
		{Name: "event recorders of both versions", Run: w.recorders},
		{Name: "a cache with a field index and a namespace", Run: w.caches},
		{Name: "client.Patch with client.Apply", Run: w.patchApply},
		{Name: "client.Apply", Run: w.apply},
		{Name: "clients with dry run, field owner and strict validation", Run: w.wrapped},
	} {
		checks.Run(check)
	}
	w.Close()
	checks.Close()
}

func empty(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(suite.Version.WithKind(kind))
	return object
}

func emptyList(kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(suite.Version.WithKind(kind + "List"))
	return list
}

func emptyMetadata(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(suite.Version.WithKind(kind))
	return object
}

func (w *world) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.Namespace, Name: name}
}

func (w *world) made(t *suite.T, stem string) *unstructured.Unstructured {
	claim := w.NewClaim(w.Name(stem))
	t.NoError(w.client.Create(t.Ctx, claim), "creating")
	return claim
}

func phase(object *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	return phase
}

func (w *world) scopes(t *suite.T) {
	for kind, wanted := range map[string]bool{"IPPool": false, "IPClaim": true, "IPAllocation": true} {
		is, err := apiutil.IsObjectNamespaced(empty(kind), w.client.Scheme(), w.client.RESTMapper())
		t.NoError(err, "the scope of "+kind)
		t.Equal(is, wanted, kind+" has a namespace")
	}
}

func (w *world) crud(t *suite.T) {
	claim := w.made(t, "crud")
	t.Equal(phase(claim), "Bound", "phase after the creation")
	found := empty("IPClaim")
	t.NoError(w.client.Get(t.Ctx, w.key(claim.GetName()), found), "getting")
	found.SetLabels(map[string]string{"a": "b"})
	t.NoError(w.client.Update(t.Ctx, found), "updating")
	t.Equal(apierrors.IsConflict(w.client.Update(t.Ctx, claim)), true, "an update of an old version is a conflict")
	list := emptyList("IPClaim")
	t.NoError(w.client.List(t.Ctx, list, client.InNamespace(w.Namespace), client.MatchingLabels{"a": "b"}, client.Limit(5)), "listing")
	t.Equal(len(list.Items), 1, "listed")
	partial := emptyMetadata("IPClaim")
	t.NoError(w.client.Get(t.Ctx, w.key(claim.GetName()), partial), "getting metadata")
	t.Equal(partial.Labels, "map[a:b]", "labels in the metadata")
	t.NoError(w.client.Delete(t.Ctx, found, client.Preconditions{UID: new(found.GetUID())}, client.PropagationPolicy(metav1.DeletePropagationBackground)), "deleting")
	t.Equal(apierrors.IsNotFound(w.client.Get(t.Ctx, w.key(claim.GetName()), found)), true, "not found after the delete")
	w.made(t, "crud")
	t.NoError(w.client.DeleteAllOf(t.Ctx, empty("IPClaim"), client.InNamespace(w.Namespace)), "deleting all")
}

func seen(object *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, condition := range conditions {
		if condition.(map[string]any)["type"] == seenCondition {
			return true
		}
	}
	return false
}

func see(object *unstructured.Unstructured) {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	conditions = append(conditions, map[string]any{
		"type": seenCondition, "status": "True", "reason": "Conformance", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
	})
	_ = unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions")
}

func (w *world) patches(t *suite.T) {
	claim := w.made(t, "patch")
	old := claim.DeepCopy()
	claim.SetLabels(map[string]string{"a": "b"})
	t.NoError(w.client.Patch(t.Ctx, claim, client.MergeFrom(old)), "merge patch")
	t.Equal(claim.GetLabels(), "map[a:b]", "labels")
	stale := old.DeepCopy()
	stale.SetLabels(map[string]string{"c": "d"})
	err := w.client.Patch(t.Ctx, stale, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("a stale patch with a resourceVersion is a conflict (%v)", err))
	old = claim.DeepCopy()
	see(claim)
	t.NoError(w.client.Status().Patch(t.Ctx, claim, client.MergeFrom(old)), "Status().Patch")
	t.Equal(fmt.Sprint(seen(claim), " ", phase(claim), " ", claim.GetGeneration()), "true Bound 1", "after Status().Patch")
	t.NoError(w.client.Status().Update(t.Ctx, claim), "Status().Update")
	partial := emptyMetadata("IPClaim")
	t.NoError(w.client.Get(t.Ctx, w.key(claim.GetName()), partial), "getting metadata")
	before := partial.DeepCopy()
	partial.Annotations = map[string]string{"note": "metadata only"}
	t.NoError(w.client.Patch(t.Ctx, partial, client.MergeFrom(before)), "patching only metadata")
	t.Equal(partial.Annotations, "map[note:metadata only]", "annotations")
}

func (w *world) createOr(t *suite.T) {
	name := w.Name("createor")
	mutate := func(object *unstructured.Unstructured, value string) controllerutil.MutateFn {
		return func() error {
			object.Object["spec"] = w.NewClaim(name).Object["spec"]
			object.SetLabels(map[string]string{"a": value})
			_ = unstructured.SetNestedField(object.Object, "Delete", "spec", "reclaimPolicy")
			_ = unstructured.SetNestedField(object.Object, "IPv4", "spec", "ipFamily")
			return nil
		}
	}
	for i, wanted := range []controllerutil.OperationResult{controllerutil.OperationResultCreated, controllerutil.OperationResultNone, controllerutil.OperationResultUpdated} {
		object := empty("IPClaim")
		object.SetName(name)
		object.SetNamespace(w.Namespace)
		result, err := controllerutil.CreateOrUpdate(t.Ctx, w.client, object, mutate(object, fmt.Sprint(i/2)))
		t.NoError(err, "CreateOrUpdate")
		t.Equal(result, wanted, fmt.Sprintf("CreateOrUpdate number %d", i))
		result, err = controllerutil.CreateOrPatch(t.Ctx, w.client, object, mutate(object, fmt.Sprint(i/2)))
		t.NoError(err, "CreateOrPatch")
		t.Equal(result, controllerutil.OperationResultNone, fmt.Sprintf("CreateOrPatch after it, number %d", i))
	}
}

// reconciler adds a condition to every claim, and counts its calls for each allocation.
type reconciler struct {
	client client.Client
	sync.Mutex
	woken map[string]int
}

func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if name, is := strings.CutPrefix(request.Name, "allocation/"); is {
		r.Lock()
		r.woken[name]++
		r.Unlock()
		return reconcile.Result{}, nil
	}
	claim := empty("IPClaim")
	if err := r.client.Get(ctx, request.NamespacedName, claim); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if seen(claim) || !claim.GetDeletionTimestamp().IsZero() {
		return reconcile.Result{}, nil
	}
	old := claim.DeepCopy()
	see(claim)
	return reconcile.Result{}, r.client.Status().Patch(ctx, claim, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}

func (w *world) manager(t *suite.T) {
	for range 5 {
		w.made(t, "before")
	}
	manager, err := ctrl.NewManager(w.Config, ctrl.Options{
		Scheme:  runtime.NewScheme(),
		Metrics: server.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{w.Namespace: {}}},
		Client:  client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	t.NoError(err, "a manager")
	r := &reconciler{client: manager.GetClient(), woken: map[string]int{}}
	err = ctrl.NewControllerManagedBy(manager).Named("claims").For(empty("IPClaim")).
		Watches(emptyMetadata("IPAllocation"), handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: object.GetNamespace(), Name: "allocation/" + object.GetName()}}}
		}), builder.OnlyMetadata).
		Complete(r)
	t.NoError(err, "a controller")
	ctx, cancel := context.WithCancel(t.Ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	for range 20 {
		w.made(t, "during")
	}
	t.Eventually("every claim has the condition, also in the cache", func() string {
		live, cached := emptyList("IPClaim"), emptyList("IPClaim")
		t.NoError(w.client.List(t.Ctx, live, client.InNamespace(w.Namespace)), "listing")
		if err := manager.GetClient().List(t.Ctx, cached, client.InNamespace(w.Namespace)); err != nil {
			return err.Error()
		}
		unseen := 0
		for _, list := range []*unstructured.UnstructuredList{live, cached} {
			for i := range list.Items {
				if !seen(&list.Items[i]) {
					unseen++
				}
			}
		}
		if unseen > 0 || len(live.Items) != len(cached.Items) {
			return fmt.Sprintf("%d unseen; %d live, %d cached", unseen, len(live.Items), len(cached.Items))
		}
		return ""
	})
	allocations := emptyList("IPAllocation")
	t.NoError(w.client.List(t.Ctx, allocations, client.InNamespace(w.Namespace)), "listing allocations")
	t.Eventually("every allocation triggered the controller", func() string {
		r.Lock()
		defer r.Unlock()
		for _, allocation := range allocations.Items {
			if r.woken[allocation.GetName()] == 0 {
				return "not for " + allocation.GetName()
			}
		}
		return ""
	})
	cancel()
	select {
	case err := <-ended:
		t.NoError(err, "stopping the manager")
	case <-time.After(suite.Soon):
		t.Errorf("the manager does not stop")
	}
}

func (w *world) caches(t *suite.T) {
	claim := w.made(t, "cached")
	informers, err := cache.New(w.Config, cache.Options{DefaultNamespaces: map[string]cache.Config{w.Namespace: {}}})
	t.NoError(err, "a cache")
	byPool := func(object client.Object) []string {
		pool, _, _ := unstructured.NestedString(object.(*unstructured.Unstructured).Object, "spec", "poolRef", "name")
		return []string{pool}
	}
	t.NoError(informers.IndexField(t.Ctx, empty("IPClaim"), "pool", byPool), "an index")
	ctx, cancel := context.WithCancel(t.Ctx)
	defer cancel()
	go func() { _ = informers.Start(ctx) }()
	t.Equal(informers.WaitForCacheSync(t.Ctx), true, "synced")
	found := emptyList("IPClaim")
	t.NoError(informers.List(t.Ctx, found, client.MatchingFields{"pool": w.Pool}, client.InNamespace(w.Namespace)), "listing by index")
	names := map[string]bool{}
	for _, item := range found.Items {
		names[item.GetName()] = true
	}
	t.Equal(names[claim.GetName()], true, "the claim is in the index")
	partial := emptyMetadata("IPClaim")
	t.NoError(informers.Get(t.Ctx, w.key(claim.GetName()), partial), "metadata from the cache")
	t.Equal(partial.UID, claim.GetUID(), "uid")
}

func (w *world) patchApply(t *suite.T) {
	claim := w.NewClaim(w.Name("patchapply"), "a", "1")
	applied := claim.DeepCopy()
	err := w.client.Patch(t.Ctx, applied, client.Apply, client.FieldOwner("alice"), client.ForceOwnership) //nolint:staticcheck // deprecated and still in use
	suite.ApplyIsServed(t, err)
	t.NoError(err, "Patch with Apply")
	again := claim.DeepCopy()
	t.NoError(w.client.Patch(t.Ctx, again, client.Apply, client.FieldOwner("alice")), "again") //nolint:staticcheck // as above
	t.Equal(again.GetResourceVersion(), applied.GetResourceVersion(), "resourceVersion after the same")
	foreign := w.NewClaim(claim.GetName(), "a", "2")
	delete(foreign.Object, "spec")
	err = w.client.Patch(t.Ctx, foreign, client.Apply, client.FieldOwner("bob")) //nolint:staticcheck // as above
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("a conflict (%v)", err))
}

func (w *world) apply(t *suite.T) {
	claim := w.NewClaim(w.Name("apply"), "a", "1")
	err := w.client.Apply(t.Ctx, client.ApplyConfigurationFromUnstructured(claim), client.FieldOwner("alice"))
	suite.ApplyIsServed(t, err)
	t.NoError(err, "Apply")
	t.Equal(phase(claim), "Bound", "phase in the response")
	status := empty("IPClaim")
	status.SetName(claim.GetName())
	status.SetNamespace(w.Namespace)
	see(status)
	err = w.client.Status().Apply(t.Ctx, client.ApplyConfigurationFromUnstructured(status), client.FieldOwner("controller"))
	t.NoError(err, "Status().Apply")
	t.Equal(fmt.Sprint(seen(status), " ", phase(status)), "true Bound", "after Status().Apply")
}

func (w *world) wrapped(t *suite.T) {
	ghost := w.NewClaim(w.Name("ghost"))
	t.NoError(client.NewDryRunClient(w.client).Create(t.Ctx, ghost), "dry create")
	t.Equal(apierrors.IsNotFound(w.client.Get(t.Ctx, w.key(ghost.GetName()), ghost)), true, "a dry run creates nothing")
	owned := w.NewClaim(w.Name("owned"))
	t.NoError(client.WithFieldOwner(w.client, "owner").Create(t.Ctx, owned), "creating as an owner")
	strict := w.NewClaim(w.Name("strict"))
	_ = unstructured.SetNestedField(strict.Object, "blue", "spec", "colour")
	err := client.WithFieldValidation(w.client, metav1.FieldValidationStrict).Create(t.Ctx, strict)
	t.Equal(apierrors.IsBadRequest(err), true, fmt.Sprintf("strict validation (%v)", err))
}
