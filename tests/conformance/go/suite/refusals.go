package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// refusalTable is tests/conformance/refusals.json, which every suite reads from the path in CONFORMANCE_REFUSALS.
type refusalTable struct {
	Before   []map[string]any
	Deleted  []string
	Refusals []refusal
}

type refusal struct {
	What, Reason string
	Code         int32
	Says, Causes []string
	Object       map[string]any
}

// Refusals checks that each refused create comes back as an error with our code, message and causes.
func Refusals(w *World) []Check {
	table, err := w.refusalTable()
	prepare := func(t *T) {
		t.NoError(err, "reading the table")
		for _, object := range table.Before {
			_, err := w.createAny(t, object)
			t.NoError(err, "creating what the refusals need")
		}
		for _, name := range table.Deleted {
			w.Delete(t, name)
		}
	}
	checks := []Check{{"what the refusals need", prepare}}
	for _, wanted := range table.Refusals {
		checks = append(checks, Check{"refused: " + wanted.What, func(t *T) { w.refused(t, wanted) }})
	}
	return checks
}

func (w *World) refusalTable() (table refusalTable, err error) {
	bytes, err := os.ReadFile(os.Getenv("CONFORMANCE_REFUSALS"))
	if err != nil {
		return table, err
	}
	text := strings.NewReplacer("$NET", w.Net, "$RUN", w.Pool, "$NS", w.Namespace).Replace(string(bytes))
	err = json.Unmarshal([]byte(text), &table)
	return table, err
}

func (w *World) createAny(t *T, fields map[string]any) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{Object: fields}
	resources := map[string]schema.GroupVersionResource{"IPPool": Pools, "IPClaim": Claims, "IPAllocation": Allocations}
	resource := w.Dynamic.Resource(resources[object.GetKind()])
	var place dynamic.ResourceInterface = resource
	if namespace := object.GetNamespace(); namespace != "" {
		place = resource.Namespace(namespace)
	}
	return place.Create(t.Ctx, object, metav1.CreateOptions{})
}

func (w *World) refused(t *T, wanted refusal) {
	_, err := w.createAny(t, wanted.Object)
	var refusal apierrors.APIStatus
	if !errors.As(err, &refusal) {
		t.Fatalf("is no refusal: %v", err)
	}
	status := refusal.Status()
	t.Equal(fmt.Sprint(status.Code, status.Reason), fmt.Sprint(wanted.Code, wanted.Reason), err.Error())
	for _, text := range wanted.Says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("does not say %s: %v", text, err)
		}
	}
	causes := map[string]bool{}
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			causes[string(cause.Type)+"@"+cause.Field] = true
		}
	}
	for _, cause := range wanted.Causes {
		if !causes[cause] {
			t.Errorf("has no cause %s: %v", cause, causes)
		}
	}
}
