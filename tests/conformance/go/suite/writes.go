package suite

import (
	"encoding/json"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// Writes checks creates, updates, patches and deletes.
func Writes(w *World) []Check {
	return []Check{
		{"a create of a claim returns its block", w.create},
		{"generateName", w.generateName},
		{"an update of an old version is a conflict; retry on conflict gets all through", w.retryOnConflict},
		{"merge patch", w.mergePatch},
		{"JSON patch", w.jsonPatch},
		{"strategic merge patch is 415", w.strategicPatch},
		{"a patch without changes keeps the resourceVersion", w.emptyPatch},
		{"the status subresource", w.status},
		{"dry run of create, update, patch and delete", w.dryRun},
		{"field validation", w.fieldValidation},
		{"delete with preconditions", w.preconditions},
		{"delete with finalizers", w.finalizers},
		{"delete of a collection", w.deleteCollection},
		{"errors that clients recognize", w.errors},
	}
}

func field(t *T, object *unstructured.Unstructured, path ...string) string {
	value, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	t.NoError(err, fmt.Sprint("reading ", path))
	return fmt.Sprint(value)
}

func (w *World) create(t *T) {
	claim := w.Claim(t, w.Name("create"))
	t.Equal(field(t, claim, "status", "phase"), "Bound", "phase")
	if cidr := field(t, claim, "status", "allocatedCIDR"); len(cidr) < 10 {
		t.Errorf("no block: %s", cidr)
	}
	made := claim.GetCreationTimestamp()
	if claim.GetUID() == "" || made.IsZero() || claim.GetGeneration() != 1 {
		t.Errorf("incomplete metadata: %v", claim.Object["metadata"])
	}
	t.Equal(fmt.Sprint(claim.GetAPIVersion(), claim.GetKind()), APIVersion+"IPClaim", "type")
	found, err := w.Claims().Get(t.Ctx, claim.GetName(), metav1.GetOptions{})
	t.NoError(err, "getting")
	t.Equal(found.Object, fmt.Sprint(claim.Object), "the stored claim")
}

func (w *World) generateName(t *T) {
	names := map[string]bool{}
	for range 5 {
		claim := w.NewClaim("")
		claim.SetGenerateName("generated-")
		made, err := w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{})
		t.NoError(err, "creating")
		names[made.GetName()] = true
	}
	t.Equal(len(names), 5, fmt.Sprint("different names: ", names))
}

func (w *World) retryOnConflict(t *T) {
	name := w.Claim(t, w.Name("retry")).GetName()
	old, err := w.Claims().Get(t.Ctx, name, metav1.GetOptions{})
	t.NoError(err, "getting")
	w.Label(t, name, "a", "b")
	_, err = w.Claims().Update(t.Ctx, old, metav1.UpdateOptions{})
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("a conflict (%v)", err))
	var writers sync.WaitGroup
	for range 5 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for range 10 {
				policy := retry.DefaultBackoff
				policy.Steps = 50
				err := retry.RetryOnConflict(policy, func() error {
					claim, err := w.Claims().Get(t.Ctx, name, metav1.GetOptions{})
					if err != nil {
						return err
					}
					count := 0
					_, _ = fmt.Sscan(claim.GetAnnotations()["count"], &count)
					claim.SetAnnotations(map[string]string{"count": fmt.Sprint(count + 1)})
					_, err = w.Claims().Update(t.Ctx, claim, metav1.UpdateOptions{})
					return err
				})
				t.NoError(err, "counting")
			}
		}()
	}
	writers.Wait()
	claim, err := w.Claims().Get(t.Ctx, name, metav1.GetOptions{})
	t.NoError(err, "getting")
	t.Equal(claim.GetAnnotations()["count"], 50, "increments")
	t.Equal(claim.GetGeneration(), 1, "generation after changes of metadata")
}

func (w *World) patch(t *T, name string, form types.PatchType, change string, options metav1.PatchOptions) (*unstructured.Unstructured, error) {
	return w.Claims().Patch(t.Ctx, name, form, []byte(change), options)
}

func (w *World) mergePatch(t *T) {
	name := w.Claim(t, w.Name("merge"), "a", "1", "b", "2").GetName()
	claim, err := w.patch(t, name, types.MergePatchType, `{"metadata":{"labels":{"a":null,"c":"3"}},"spec":{"reclaimPolicy":"Retain"}}`, metav1.PatchOptions{})
	t.NoError(err, "patching")
	t.Equal(claim.GetLabels(), "map[b:2 c:3]", "labels")
	t.Equal(fmt.Sprint(field(t, claim, "spec", "reclaimPolicy"), " ", claim.GetGeneration()), "Retain 2", "policy and generation")
	_, err = w.patch(t, name, types.MergePatchType, `{"spec":{"prefixLength":31}}`, metav1.PatchOptions{})
	t.Equal(apierrors.IsInvalid(err), true, fmt.Sprintf("an immutable field is rejected (%v)", err))
	_, err = w.patch(t, name, types.MergePatchType, `{"metadata":{"resourceVersion":"1"}}`, metav1.PatchOptions{})
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("a resourceVersion in a patch is a precondition (%v)", err))
	_, err = w.patch(t, name, types.MergePatchType, `{"spec":{"reclaimPolicy":"Delete"}}`, metav1.PatchOptions{})
	t.NoError(err, "patching back")
}

func (w *World) jsonPatch(t *T) {
	name := w.Claim(t, w.Name("json"), "a", "1").GetName()
	claim, err := w.patch(t, name, types.JSONPatchType,
		`[{"op":"test","path":"/metadata/labels/a","value":"1"},{"op":"replace","path":"/metadata/labels/a","value":"2"},{"op":"add","path":"/metadata/labels/b~1c","value":"3"}]`,
		metav1.PatchOptions{})
	t.NoError(err, "patching")
	t.Equal(claim.GetLabels(), "map[a:2 b/c:3]", "labels")
	_, err = w.patch(t, name, types.JSONPatchType, `[{"op":"test","path":"/metadata/labels/a","value":"1"}]`, metav1.PatchOptions{})
	t.Equal(apierrors.IsInvalid(err), true, fmt.Sprintf("a failed test is 422 (%v)", err))
}

func (w *World) strategicPatch(t *T) {
	name := w.Claim(t, w.Name("strategic")).GetName()
	_, err := w.patch(t, name, types.StrategicMergePatchType, `{"metadata":{"labels":{"a":"b"}}}`, metav1.PatchOptions{})
	t.Equal(apierrors.IsUnsupportedMediaType(err), true, fmt.Sprintf("415 (%v)", err))
}

func (w *World) emptyPatch(t *T) {
	claim := w.Claim(t, w.Name("empty"), "a", "1")
	same, err := w.patch(t, claim.GetName(), types.MergePatchType, `{"metadata":{"labels":{"a":"1"}}}`, metav1.PatchOptions{FieldManager: "another"})
	t.NoError(err, "patching")
	t.Equal(same.GetResourceVersion(), claim.GetResourceVersion(), "resourceVersion after a patch")
	same, err = w.Claims().Update(t.Ctx, same, metav1.UpdateOptions{FieldManager: "another"})
	t.NoError(err, "updating")
	t.Equal(same.GetResourceVersion(), claim.GetResourceVersion(), "resourceVersion after an update")
}

func (w *World) status(t *T) {
	name := w.Claim(t, w.Name("status")).GetName()
	claim, err := w.Claims().Get(t.Ctx, name, metav1.GetOptions{}, "status")
	t.NoError(err, "getting the status")
	t.Equal(field(t, claim, "status", "phase"), "Bound", "phase")
	change := `[{"op":"replace","path":"/spec/reclaimPolicy","value":"Retain"},{"op":"add","path":"/status/conditions/-","value":
		{"type":"Seen","status":"True","reason":"Conformance","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}}]`
	changed, err := w.Claims().Patch(t.Ctx, name, types.JSONPatchType, []byte(change), metav1.PatchOptions{}, "status")
	t.NoError(err, "patching the status")
	conditions, _, _ := unstructured.NestedSlice(changed.Object, "status", "conditions")
	t.Equal(len(conditions), 3, "conditions: two of the server, one of another controller")
	t.Equal(fmt.Sprint(field(t, changed, "spec", "reclaimPolicy"), " ", changed.GetGeneration()), "Delete 1", "reclaimPolicy and generation")
	// An update of the main resource cannot change the status.
	changed.Object["status"] = map[string]any{"phase": "Pending"}
	changed, err = w.Claims().Update(t.Ctx, changed, metav1.UpdateOptions{})
	t.NoError(err, "updating")
	t.Equal(field(t, changed, "status", "phase"), "Bound", "phase after an update of the main resource")
}

func (w *World) dryRun(t *T) {
	all := []string{metav1.DryRunAll}
	ghost, err := w.Claims().Create(t.Ctx, w.NewClaim(w.Name("dry")), metav1.CreateOptions{DryRun: all})
	t.NoError(err, "dry create")
	t.Equal(ghost.GetResourceVersion(), "", "resourceVersion of a dry run")
	t.Equal(field(t, ghost, "status", "phase"), "Bound", "phase of a dry run")
	_, err = w.Claims().Get(t.Ctx, ghost.GetName(), metav1.GetOptions{})
	t.Equal(apierrors.IsNotFound(err), true, fmt.Sprintf("not created (%v)", err))
	claim := w.Claim(t, w.Name("dry"), "a", "1")
	claim.SetLabels(map[string]string{"a": "2"})
	updated, err := w.Claims().Update(t.Ctx, claim, metav1.UpdateOptions{DryRun: all})
	t.NoError(err, "dry update")
	t.Equal(updated.GetLabels(), "map[a:2]", "labels of a dry update")
	patched, err := w.patch(t, claim.GetName(), types.MergePatchType, `{"metadata":{"labels":{"a":"3"}}}`, metav1.PatchOptions{DryRun: all})
	t.NoError(err, "dry patch")
	t.Equal(patched.GetLabels(), "map[a:3]", "labels of a dry patch")
	t.NoError(w.Claims().Delete(t.Ctx, claim.GetName(), metav1.DeleteOptions{DryRun: all}), "dry delete")
	now, err := w.Claims().Get(t.Ctx, claim.GetName(), metav1.GetOptions{})
	t.NoError(err, "getting")
	t.Equal(fmt.Sprint(now.GetLabels(), " ", now.GetResourceVersion()), fmt.Sprint("map[a:1] ", claim.GetResourceVersion()), "the claim after the dry runs")
}

func (w *World) fieldValidation(t *T) {
	claim := w.NewClaim(w.Name("strict"))
	claim.Object["spec"].(map[string]any)["colour"] = "blue"
	_, err := w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	t.Equal(apierrors.IsBadRequest(err), true, fmt.Sprintf("strict rejects an unknown field (%v)", err))
	made, err := w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{FieldValidation: metav1.FieldValidationWarn})
	t.NoError(err, "warn accepts an unknown field")
	_, is := made.Object["spec"].(map[string]any)["colour"]
	t.Equal(is, false, "the unknown field is kept")
}

func (w *World) preconditions(t *T) {
	claim := w.Claim(t, w.Name("precondition"))
	wrong, uid, version := types.UID("wrong"), claim.GetUID(), claim.GetResourceVersion()
	err := w.Claims().Delete(t.Ctx, claim.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("another uid is a conflict (%v)", err))
	w.Label(t, claim.GetName(), "a", "b")
	err = w.Claims().Delete(t.Ctx, claim.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("an old version is a conflict (%v)", err))
	t.NoError(w.Claims().Delete(t.Ctx, claim.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}), "deleting")
}

func (w *World) finalizers(t *T) {
	claim := w.NewClaim(w.Name("finalizer"))
	claim.SetFinalizers([]string{"conformance.test/hold"})
	claim, err := w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{})
	t.NoError(err, "creating")
	watcher, err := w.Claims().Watch(t.Ctx, metav1.ListOptions{
		ResourceVersion: claim.GetResourceVersion(), FieldSelector: "metadata.name=" + claim.GetName(),
	})
	t.NoError(err, "watching")
	w.Delete(t, claim.GetName())
	held, err := w.Claims().Get(t.Ctx, claim.GetName(), metav1.GetOptions{})
	t.NoError(err, "getting a claim with a finalizer")
	t.Equal(fmt.Sprint(held.GetDeletionTimestamp() != nil, " ", field(t, held, "status", "phase"), " ", held.GetDeletionGracePeriodSeconds() != nil),
		"true Releasing true", "deletionTimestamp, phase, grace period")
	_, err = w.patch(t, claim.GetName(), types.MergePatchType, `{"metadata":{"finalizers":null}}`, metav1.PatchOptions{})
	t.NoError(err, "removing the last finalizer")
	_, err = w.Claims().Get(t.Ctx, claim.GetName(), metav1.GetOptions{})
	t.Equal(apierrors.IsNotFound(err), true, fmt.Sprintf("deleted (%v)", err))
	follow(t, watcher, "MODIFIED "+claim.GetName(), "DELETED "+claim.GetName())
}

func (w *World) deleteCollection(t *T) {
	stem := w.Name("collection")
	for n := range 12 {
		w.Claim(t, fmt.Sprintf("%s-%d", stem, n), "collection", stem, "third", fmt.Sprint(n%3))
	}
	t.NoError(w.Claims().DeleteCollection(t.Ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "third=0,collection=" + stem}), "deleting a third")
	left, err := w.Claims().List(t.Ctx, metav1.ListOptions{LabelSelector: "collection=" + stem})
	t.NoError(err, "listing")
	t.Equal(len(left.Items), 8, "left")
	t.NoError(w.Claims().DeleteCollection(t.Ctx, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}, metav1.ListOptions{LabelSelector: "collection=" + stem}), "dry run")
	t.NoError(w.Claims().DeleteCollection(t.Ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=" + stem + "-1"}), "by field")
	left, err = w.Claims().List(t.Ctx, metav1.ListOptions{LabelSelector: "collection=" + stem})
	t.NoError(err, "listing")
	t.Equal(len(left.Items), 7, "left")
	t.NoError(w.Claims().DeleteCollection(t.Ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "collection=" + stem}), "deleting all")
	left, err = w.Claims().List(t.Ctx, metav1.ListOptions{LabelSelector: "collection=" + stem})
	t.NoError(err, "listing")
	t.Equal(len(left.Items), 0, "left")
}

func (w *World) errors(t *T) {
	name := w.Claim(t, w.Name("twice")).GetName()
	_, err := w.Claims().Create(t.Ctx, w.NewClaim(name), metav1.CreateOptions{})
	t.Equal(apierrors.IsAlreadyExists(err), true, fmt.Sprintf("the same name again (%v)", err))
	_, err = w.Claims().Get(t.Ctx, "none", metav1.GetOptions{})
	t.Equal(apierrors.IsNotFound(err), true, fmt.Sprintf("a name that does not exist (%v)", err))
	_, err = w.Dynamic.Resource(Version.WithResource("nothings")).List(t.Ctx, metav1.ListOptions{})
	t.Equal(apierrors.IsNotFound(err), true, fmt.Sprintf("a resource that does not exist (%v)", err))
	_, err = w.Claims().List(t.Ctx, metav1.ListOptions{LabelSelector: "a in ("})
	t.Equal(apierrors.IsBadRequest(err), true, fmt.Sprintf("a malformed selector (%v)", err))
	_, err = w.Dynamic.Resource(Allocations).Namespace(w.Namespace).Create(t.Ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": APIVersion, "kind": "IPAllocation", "metadata": map[string]any{"name": "mine"},
	}}, metav1.CreateOptions{})
	t.Equal(apierrors.IsMethodNotSupported(err), true, fmt.Sprintf("creating an allocation (%v)", err))
	claim := w.NewClaim(w.Name("invalid"))
	claim.Object["spec"] = map[string]any{"prefixLength": int64(0)}
	_, err = w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{})
	t.Equal(apierrors.IsInvalid(err), true, fmt.Sprintf("an invalid spec (%v)", err))
	if status, is := err.(apierrors.APIStatus); is && len(status.Status().Details.Causes) < 2 {
		t.Errorf("not every field error is reported: %v", status.Status().Details)
	}
}

func (w *World) marshalled(object any) []byte {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return text
}
