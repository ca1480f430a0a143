package suite

import (
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Loops checks the loops of GitOps controllers: 100 objects are applied repeatedly, and after the first pass there must be no drift.
func Loops(w *World) []Check {
	return []Check{
		{"a loop like Flux's finds no drift on its second and third pass", w.flux},
		{"a loop like Argo CD's finds no drift on its second and third pass", w.argo},
	}
}

// tree returns 100 objects: ten child pools, and nine claims on each.
func (w *World) tree(stem string) (objects []*unstructured.Unstructured) {
	for p := range 10 {
		pool := NewPool(fmt.Sprintf("%s-%s-%d", w.Pool, stem, p), map[string]any{
			"parentPoolRef": map[string]any{"name": w.Pool}, "prefixLength": int64(26),
			"allocation": map[string]any{"minPrefixLength": int64(28), "maxPrefixLength": int64(32), "strategy": []any{"FirstFit", "BestFit", "LeastUtilized"}[p%3]},
		})
		pool.SetLabels(map[string]string{"conformance": w.Pool, "tree": stem, "number": fmt.Sprint(p)})
		objects = append(objects, pool)
		for c := range 9 {
			claim := w.NewClaim(fmt.Sprintf("%s-%d-%d", stem, p, c), "tree", stem)
			claim.SetAnnotations(map[string]string{"conformance.test/owner": "tree"})
			spec := map[string]any{"prefixLength": int64(30 + c%3)}
			if c%2 == 0 {
				spec["poolRef"] = map[string]any{"name": pool.GetName()}
			} else {
				spec["poolSelector"] = map[string]any{"matchLabels": map[string]any{"tree": stem, "number": fmt.Sprint(p)}}
			}
			if c%4 == 3 {
				spec["reclaimPolicy"] = "Delete"
			}
			claim.Object["spec"] = spec
			objects = append(objects, claim)
		}
	}
	return objects
}

func (w *World) home(object *unstructured.Unstructured) dynamic.ResourceInterface {
	if object.GetKind() == "IPPool" {
		return w.Dynamic.Resource(Pools)
	}
	return w.Claims()
}

// live reads an object. It returns nil if the object does not exist.
func (w *World) live(t *T, object *unstructured.Unstructured) *unstructured.Unstructured {
	found, err := w.home(object).Get(t.Ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	t.NoError(err, "reading "+object.GetName())
	return found
}

// drift compares the result of a dry run of apply with the live object, as Flux does: labels, annotations, and all fields except
// metadata and status.
func drift(dry, live *unstructured.Unstructured) bool {
	if live == nil || !reflect.DeepEqual(dry.GetLabels(), live.GetLabels()) || !reflect.DeepEqual(dry.GetAnnotations(), live.GetAnnotations()) {
		return true
	}
	strip := func(object *unstructured.Unstructured) map[string]any {
		left := object.DeepCopy().Object
		delete(left, "metadata")
		delete(left, "status")
		return left
	}
	return !reflect.DeepEqual(strip(dry), strip(live))
}

func (w *World) flux(t *T) {
	objects := w.tree(w.Name("flux"))
	seen := map[string]string{}
	for pass := 1; pass <= 3; pass++ {
		drifted := 0
		for _, object := range objects {
			body := w.marshalled(object)
			force := true
			options := metav1.PatchOptions{FieldManager: "kustomize-controller", Force: &force, DryRun: []string{metav1.DryRunAll}}
			before := w.live(t, object)
			dry, err := w.home(object).Patch(t.Ctx, object.GetName(), types.ApplyPatchType, body, options)
			ApplyIsServed(t, err)
			t.NoError(err, fmt.Sprintf("pass %d: dry run of %s", pass, object.GetName()))
			if drift(dry, before) {
				drifted++
				options.DryRun = nil
				after, err := w.home(object).Patch(t.Ctx, object.GetName(), types.ApplyPatchType, body, options)
				t.NoError(err, fmt.Sprintf("pass %d: applying %s", pass, object.GetName()))
				seen[object.GetName()] = after.GetResourceVersion()
			}
		}
		w.settled(t, pass, drifted, objects, seen)
	}
	// A real apply of the unchanged objects must not change them, either.
	for _, object := range objects {
		force := true
		after, err := w.home(object).Patch(t.Ctx, object.GetName(), types.ApplyPatchType, w.marshalled(object), metav1.PatchOptions{FieldManager: "kustomize-controller", Force: &force})
		t.NoError(err, "applying "+object.GetName())
		if object.GetKind() == "IPClaim" {
			t.Equal(after.GetResourceVersion(), seen[object.GetName()], "resourceVersion of "+object.GetName()+" after a real apply")
		}
	}
	w.cleared(t, objects)
}

// settled checks a pass: all objects drift on the first pass and none later, and the versions do not change after the first pass.
// The version of a pool changes with its allocations, so it is recorded at the end of the first pass.
func (w *World) settled(t *T, pass, drifted int, objects []*unstructured.Unstructured, seen map[string]string) {
	wanted := 0
	if pass == 1 {
		wanted = len(objects)
	}
	t.Equal(drifted, wanted, fmt.Sprintf("objects with drift on pass %d of %d", pass, len(objects)))
	for _, object := range objects {
		live := w.live(t, object)
		if live == nil {
			t.Fatalf("%s does not exist after pass %d", object.GetName(), pass)
		}
		if object.GetKind() == "IPPool" && pass == 1 {
			seen[object.GetName()] = live.GetResourceVersion()
		}
		t.Equal(live.GetResourceVersion(), seen[object.GetName()], fmt.Sprintf("resourceVersion of %s after pass %d", object.GetName(), pass))
	}
}

func (w *World) cleared(t *T, objects []*unstructured.Unstructured) {
	for i := len(objects) - 1; i >= 0; i-- {
		t.NoError(w.home(objects[i]).Delete(t.Ctx, objects[i].GetName(), metav1.DeleteOptions{}), "clearing "+objects[i].GetName())
	}
}

// argo creates objects as client-side apply does, migrates them, and then runs Argo CD's server-side diff: it compares a dry run of
// apply with the live object.
func (w *World) argo(t *T) {
	objects := w.tree(w.Name("argo"))
	for i, object := range objects {
		// The pools and half of the claims exist from client-side apply.
		if i%2 == 0 || object.GetKind() == "IPPool" {
			made, err := w.home(object).Create(t.Ctx, w.clientSide(object.DeepCopy()), metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
			t.NoError(err, "creating "+object.GetName())
			w.takenOver(t, made)
		}
	}
	seen := map[string]string{}
	for pass := 1; pass <= 3; pass++ {
		drifted := 0
		for _, object := range objects {
			before := w.live(t, object)
			options := metav1.ApplyOptions{FieldManager: "argocd-controller", Force: true, DryRun: []string{metav1.DryRunAll}}
			dry, err := w.home(object).Apply(t.Ctx, object.GetName(), object, options)
			ApplyIsServed(t, err)
			t.NoError(err, fmt.Sprintf("pass %d: dry run of %s", pass, object.GetName()))
			if differs(dry, before) {
				drifted++
			}
			if pass == 1 {
				options.DryRun = nil
				after, err := w.home(object).Apply(t.Ctx, object.GetName(), object, options)
				t.NoError(err, fmt.Sprintf("pass %d: applying %s", pass, object.GetName()))
				seen[object.GetName()] = after.GetResourceVersion()
			}
		}
		if pass == 1 {
			drifted = len(objects)
		}
		w.settled(t, pass, drifted, objects, seen)
	}
	w.cleared(t, objects)
}

func (w *World) takenOver(t *T, made *unstructured.Unstructured) {
	if made.GetKind() == "IPClaim" {
		w.upgraded(t, made, "argocd-controller")
	}
}

// differs compares all fields except managedFields, resourceVersion and generation.
func differs(dry, live *unstructured.Unstructured) bool {
	if live == nil {
		return true
	}
	strip := func(object *unstructured.Unstructured) *unstructured.Unstructured {
		left := object.DeepCopy()
		left.SetManagedFields(nil)
		left.SetResourceVersion("")
		left.SetGeneration(0)
		return left
	}
	return !reflect.DeepEqual(strip(dry).Object, strip(live).Object)
}
