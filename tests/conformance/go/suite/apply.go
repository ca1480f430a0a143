package suite

import (
	"fmt"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
)

// Applies checks server-side apply.
func Applies(w *World) []Check {
	return []Check{
		{"apply creates an object, and the same apply again changes nothing", w.applyTwice},
		{"apply of another manager's field is a conflict with its name; force changes the owner", w.applyConflict},
		{"two managers share a value until one stops applying it", w.applyShared},
		{"a field that its manager no longer applies is removed", w.applyPrune},
		{"an update takes ownership, and a later apply conflicts with it", w.applyAfterUpdate},
		{"dry run of apply", w.applyDryRun},
		{"apply of the status has separate managers", w.applyStatus},
		{"apply rejects managedFields and a wrong version", w.applyRefusals},
		{"apply as YAML through the patch interface", w.applyYAML},
		{"csaupgrade migrates from client-side apply", w.upgrade},
	}
}

// ApplyIsServed ends the check if server-side apply is not served: as failed if IPAM_EXPECT_APPLY is 1, otherwise as skipped.
func ApplyIsServed(t *T, err error) {
	if err == nil || !apierrors.IsUnsupportedMediaType(err) {
		return
	}
	if os.Getenv("IPAM_EXPECT_APPLY") == "1" {
		t.Fatalf("server-side apply is not served: %v", err)
	}
	t.Skip("server-side apply is not served")
}

func (w *World) apply(t *T, manager string, object *unstructured.Unstructured, options metav1.ApplyOptions) (*unstructured.Unstructured, error) {
	options.FieldManager = manager
	applied, err := w.Claims().Apply(t.Ctx, object.GetName(), object, options)
	ApplyIsServed(t, err)
	return applied, err
}

func (w *World) mustApply(t *T, manager string, object *unstructured.Unstructured, options metav1.ApplyOptions) *unstructured.Unstructured {
	applied, err := w.apply(t, manager, object, options)
	t.NoError(err, "applying as "+manager)
	return applied
}

// part returns an apply configuration with only labels.
func (w *World) part(name string, labels ...string) *unstructured.Unstructured {
	object := w.NewClaim(name, labels...)
	delete(object.Object, "spec")
	return object
}

// managers returns one word for each entry of managedFields: manager, operation, subresource.
func managers(object *unstructured.Unstructured) (found []string) {
	for _, entry := range object.GetManagedFields() {
		found = append(found, strings.TrimSuffix(fmt.Sprintf("%s:%s:%s", entry.Manager, entry.Operation, entry.Subresource), ":"))
	}
	return found
}

// owns reports whether the field set of a manager's entry contains the text.
func owns(object *unstructured.Unstructured, manager string, operation metav1.ManagedFieldsOperationType, field string) bool {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == manager && entry.Operation == operation && entry.FieldsV1 != nil {
			text, _ := entry.FieldsV1.MarshalJSON()
			if strings.Contains(string(text), field) {
				return true
			}
		}
	}
	return false
}

func (w *World) applyTwice(t *T) {
	claim := w.NewClaim(w.Name("apply"), "a", "1")
	first := w.mustApply(t, "alice", claim, metav1.ApplyOptions{})
	t.Equal(field(t, first, "status", "phase"), "Bound", "phase")
	t.Equal(owns(first, "alice", "Apply", `"f:a"`) && owns(first, "alice", "Apply", `"f:prefixLength"`), true, fmt.Sprint("alice owns the fields that she applied: ", managers(first)))
	t.Equal(owns(first, "alice", "Apply", `"f:apiVersion"`), false, "alice owns the apiVersion")
	for range 3 {
		again := w.mustApply(t, "alice", claim, metav1.ApplyOptions{})
		t.Equal(again.GetResourceVersion(), first.GetResourceVersion(), "resourceVersion after the same apply")
		t.Equal(again.Object, fmt.Sprint(first.Object), "object after the same apply")
	}
}

func (w *World) applyConflict(t *T) {
	name := w.Name("conflict")
	w.mustApply(t, "alice", w.NewClaim(name, "a", "1"), metav1.ApplyOptions{})
	_, err := w.apply(t, "bob", w.part(name, "a", "2"), metav1.ApplyOptions{})
	if !apierrors.IsConflict(err) {
		t.Fatalf("no conflict: %v", err)
	}
	status := err.(apierrors.APIStatus).Status()
	t.Equal(len(status.Details.Causes), 1, "causes")
	cause := status.Details.Causes[0]
	t.Equal(fmt.Sprint(cause.Type, " ", cause.Message, " ", cause.Field), `FieldManagerConflict conflict with "alice" .metadata.labels.a`, "the cause")
	taken := w.mustApply(t, "bob", w.part(name, "a", "2"), metav1.ApplyOptions{Force: true})
	t.Equal(taken.GetLabels()["a"], "2", "after force")
	t.Equal(fmt.Sprint(owns(taken, "bob", "Apply", `"f:a"`), owns(taken, "alice", "Apply", `"f:a"`)), "true false", "owners after force")
}

func (w *World) applyShared(t *T) {
	name := w.Name("shared")
	w.mustApply(t, "alice", w.NewClaim(name, "a", "1"), metav1.ApplyOptions{})
	both := w.mustApply(t, "bob", w.part(name, "a", "1"), metav1.ApplyOptions{})
	t.Equal(fmt.Sprint(owns(both, "bob", "Apply", `"f:a"`), owns(both, "alice", "Apply", `"f:a"`)), "true true", "owners of the same value")
	one := w.mustApply(t, "alice", w.NewClaim(name), metav1.ApplyOptions{})
	t.Equal(one.GetLabels()["a"], "1", "the label after alice stops applying it")
	none := w.mustApply(t, "bob", w.part(name, "b", "1"), metav1.ApplyOptions{})
	t.Equal(none.GetLabels(), "map[b:1]", "labels after both stop applying a")
}

func (w *World) applyPrune(t *T) {
	claim := w.NewClaim(w.Name("prune"), "a", "1", "b", "2")
	claim.Object["spec"].(map[string]any)["reclaimPolicy"] = "Retain"
	w.mustApply(t, "alice", claim, metav1.ApplyOptions{})
	w.Label(t, claim.GetName(), "foreign", "yes")
	pruned := w.mustApply(t, "alice", w.NewClaim(claim.GetName(), "a", "1"), metav1.ApplyOptions{})
	t.Equal(pruned.GetLabels(), "map[a:1 foreign:yes]", "labels")
	t.Equal(field(t, pruned, "spec", "reclaimPolicy"), "Delete", "a pruned field has its default")
}

func (w *World) applyAfterUpdate(t *T) {
	name := w.Name("update")
	made := w.mustApply(t, "alice", w.NewClaim(name, "a", "1"), metav1.ApplyOptions{})
	made.SetLabels(map[string]string{"a": "2"})
	updated, err := w.Claims().Update(t.Ctx, made, metav1.UpdateOptions{FieldManager: "carol"})
	t.NoError(err, "updating")
	t.Equal(fmt.Sprint(owns(updated, "carol", "Update", `"f:a"`), owns(updated, "alice", "Apply", `"f:a"`)), "true false", "owners after an update")
	_, err = w.apply(t, "alice", w.NewClaim(name, "a", "1"), metav1.ApplyOptions{})
	t.Equal(apierrors.IsConflict(err) && strings.Contains(err.Error(), `conflict with "carol" using `+APIVersion), true, fmt.Sprintf("a conflict (%v)", err))
}

func (w *World) applyDryRun(t *T) {
	all := metav1.ApplyOptions{DryRun: []string{metav1.DryRunAll}}
	name := w.Name("dryapply")
	ghost := w.mustApply(t, "alice", w.NewClaim(name, "a", "1"), all)
	t.Equal(ghost.GetResourceVersion(), "", "resourceVersion of a dry run")
	made := w.mustApply(t, "alice", w.NewClaim(name, "a", "1"), metav1.ApplyOptions{})
	dry := w.mustApply(t, "alice", w.NewClaim(name, "a", "2"), all)
	t.Equal(dry.GetLabels()["a"], "2", "labels in the dry run")
	now, err := w.Claims().Get(t.Ctx, name, metav1.GetOptions{})
	t.NoError(err, "getting")
	t.Equal(now.Object, fmt.Sprint(made.Object), "the object after the dry run")
}

func (w *World) applyStatus(t *T) {
	claim := w.mustApply(t, "alice", w.NewClaim(w.Name("applystatus")), metav1.ApplyOptions{})
	status := w.part(claim.GetName())
	status.Object["status"] = map[string]any{"conditions": []any{map[string]any{
		"type": "Seen", "status": "True", "reason": "Conformance", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
	}}}
	changed, err := w.Claims().ApplyStatus(t.Ctx, claim.GetName(), status, metav1.ApplyOptions{FieldManager: "controller"})
	t.NoError(err, "applying the status")
	conditions, _, _ := unstructured.NestedSlice(changed.Object, "status", "conditions")
	if !strings.Contains(fmt.Sprint(conditions), "Seen") || !strings.Contains(fmt.Sprint(conditions), "Ready") {
		t.Errorf("conditions: %v", conditions)
	}
	if !strings.Contains(fmt.Sprint(managers(changed)), "controller:Apply:status") {
		t.Errorf("managers: %v", managers(changed))
	}
}

func (w *World) applyRefusals(t *T) {
	claim := w.mustApply(t, "alice", w.NewClaim(w.Name("refusals")), metav1.ApplyOptions{})
	// Apply of the client rejects this itself, so Patch is used.
	_, err := w.Claims().Patch(t.Ctx, claim.GetName(), types.ApplyPatchType, w.marshalled(claim), metav1.PatchOptions{FieldManager: "alice"})
	t.Equal(err != nil && strings.Contains(err.Error(), "metadata.managedFields must be nil"), true, fmt.Sprintf("managedFields (%v)", err))
	other := w.NewClaim(claim.GetName())
	other.SetAPIVersion(Group + "/v9")
	_, err = w.apply(t, "alice", other, metav1.ApplyOptions{})
	t.Equal(apierrors.IsBadRequest(err), true, fmt.Sprintf("another version (%v)", err))
	_, err = w.Claims().Patch(t.Ctx, claim.GetName(), types.ApplyPatchType, w.marshalled(w.NewClaim(claim.GetName())), metav1.PatchOptions{})
	t.Equal(err != nil && strings.Contains(err.Error(), "fieldManager"), true, fmt.Sprintf("no manager (%v)", err))
	stale := w.NewClaim(claim.GetName(), "a", "b")
	stale.SetResourceVersion("1")
	_, err = w.apply(t, "alice", stale, metav1.ApplyOptions{})
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("an old version (%v)", err))
}

func (w *World) applyYAML(t *T) {
	name := w.Name("yaml")
	text := fmt.Sprintf("apiVersion: %s\nkind: IPClaim\nmetadata:\n  name: %s\n  labels: {a: \"1\"}\nspec:\n  poolRef:\n    name: %s\n  prefixLength: 32\n", APIVersion, name, w.Pool)
	made, err := w.Claims().Patch(t.Ctx, name, types.ApplyPatchType, []byte(text), metav1.PatchOptions{FieldManager: "alice"})
	ApplyIsServed(t, err)
	t.NoError(err, "applying YAML")
	t.Equal(fmt.Sprint(made.GetLabels(), managers(made)), "map[a:1] [alice:Apply]", "labels and managers")
}

func (w *World) upgrade(t *T) {
	claim := w.clientSide(w.NewClaim(w.Name("upgrade"), "a", "1", "b", "2"))
	made, err := w.Claims().Create(t.Ctx, claim, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
	t.NoError(err, "creating")
	upgraded := w.upgraded(t, made, "alice")
	if found := fmt.Sprint(managers(upgraded)); !strings.Contains(found, "alice:Apply") || strings.Contains(found, "kubectl-client-side-apply") {
		t.Fatalf("managers after the upgrade: %s", found)
	}
	pruned := w.mustApply(t, "alice", w.NewClaim(claim.GetName(), "a", "1"), metav1.ApplyOptions{})
	t.Equal(pruned.GetLabels(), "map[a:1]", "labels of client-side apply are removed")
	_, has := pruned.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]
	t.Equal(has, false, "the annotation is there")
}

// clientSide adds the annotation of client-side apply.
func (w *World) clientSide(object *unstructured.Unstructured) *unstructured.Unstructured {
	last := string(w.marshalled(object)) + "\n"
	object.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": last})
	return object
}

// upgraded moves the fields of client-side apply to a manager with operation Apply. Without such fields it changes nothing.
func (w *World) upgraded(t *T, object *unstructured.Unstructured, manager string) *unstructured.Unstructured {
	change, err := csaupgrade.UpgradeManagedFieldsPatch(object, sets.New("kubectl-client-side-apply"), manager)
	t.NoError(err, "computing the upgrade")
	if change == nil {
		if len(object.GetManagedFields()) == 0 {
			if os.Getenv("IPAM_EXPECT_APPLY") == "1" {
				t.Fatalf("a created object has no managedFields")
			}
			t.Skip("server-side apply is not served")
		}
		return object
	}
	changed, err := w.Claims().Patch(t.Ctx, object.GetName(), types.JSONPatchType, change, metav1.PatchOptions{})
	t.NoError(err, "upgrading by "+string(change))
	return changed
}
