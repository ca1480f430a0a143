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

// Create creates an object by the verb of one client.
type Create func(*T, *unstructured.Unstructured) error

// Refusals checks that each rejected create returns an error with the expected code, message and causes.
func Refusals(w *World) []Check { return RefusalsBy(w, w.createAny, nil) }

// RefusalsBy checks the same with another verb. For the objects in `instead`, the server's message is the one given there.
func RefusalsBy(w *World, create Create, instead map[string]string) []Check {
	table, err := w.refusalTable()
	prepare := func(t *T) {
		t.NoError(err, "reading the table")
		for _, object := range table.Before {
			t.NoError(create(t, &unstructured.Unstructured{Object: object}), "creating the objects for the rejected creates")
		}
		for _, name := range table.Deleted {
			w.Delete(t, name)
		}
	}
	checks := []Check{{"objects for the rejected creates", prepare}}
	for _, wanted := range table.Refusals {
		if text, is := instead[wanted.What]; is {
			wanted.Says = []string{text}
		}
		checks = append(checks, Check{"rejected: " + wanted.What, func(t *T) { refused(t, wanted, create) }})
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

func (w *World) createAny(t *T, object *unstructured.Unstructured) error {
	resources := map[string]schema.GroupVersionResource{"IPPool": Pools, "IPClaim": Claims, "IPAllocation": Allocations}
	resource := w.Dynamic.Resource(resources[object.GetKind()])
	var place dynamic.ResourceInterface = resource
	if namespace := object.GetNamespace(); namespace != "" {
		place = resource.Namespace(namespace)
	}
	_, err := place.Create(t.Ctx, object, metav1.CreateOptions{})
	return err
}

func refused(t *T, wanted refusal, create Create) {
	err := create(t, &unstructured.Unstructured{Object: wanted.Object})
	var refusal apierrors.APIStatus
	if !errors.As(err, &refusal) {
		t.Fatalf("not an API error: %v", err)
	}
	status := refusal.Status()
	t.Equal(fmt.Sprint(status.Code, status.Reason), fmt.Sprint(wanted.Code, wanted.Reason), err.Error())
	for _, text := range wanted.Says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the message lacks %s: %v", text, err)
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
			t.Errorf("the causes lack %s: %v", cause, causes)
		}
	}
}
