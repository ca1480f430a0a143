package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	fieldManager = "kustomize-controller"
	fluxGroup    = "kustomize.toolkit.fluxcd.io"
	// pollInterval is shorter than Flux's 5 s: nothing here takes that long.
	pollInterval = 100 * time.Millisecond
	// waitTimeout bounds a health check.
	waitTimeout = 15 * time.Second
	// applyConcurrency is kustomize-controller's default.
	applyConcurrency = 4
)

// kustomization is what of a Kustomization decides what is applied.
type kustomization struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Path               string
		Prune, Wait, Force bool
		DependsOn          []dependency
	}
}

type dependency struct{ Name string }

// tracked is a Kustomization with what the controller has in its status.
type tracked struct {
	kustomization
	// inventory is what was applied last, and what could not be pruned since.
	inventory []*unstructured.Unstructured
}

// controller does with a Kustomization what kustomize-controller does.
type controller struct {
	client  client.Client
	manager *ssa.ResourceManager
}

func newController(config *rest.Config) (*controller, error) {
	kube, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(kube, kube.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(kube, poller, ssa.Owner{Field: fieldManager, Group: fluxGroup})
	manager.SetConcurrency(applyConcurrency)
	return &controller{kube, manager}, nil
}

// build is the output of kustomize for the folder of a Kustomization.
func (k *tracked) build(repository string) ([]*unstructured.Unstructured, error) {
	files := filesys.MakeFsOnDisk()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, filepath.Join(repository, k.Spec.Path))
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return readObjects(text)
}

// reconcile applies the objects, prunes what the inventory has beside them, and waits until they are ready.
func (c *controller) reconcile(ctx context.Context, k *tracked, objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
	c.manager.SetOwnerLabels(objects, k.Metadata.Name, k.Metadata.Namespace)
	if err := normalize.UnstructuredList(objects); err != nil {
		return nil, err
	}
	changes, err := c.manager.ApplyAllStaged(ctx, objects, applyOptions(k.Spec.Force))
	if err != nil {
		return changes, err
	}
	pruned, err := c.prune(ctx, k, objects)
	changes.Append(pruned.Entries)
	if err != nil || !k.Spec.Wait {
		return changes, err
	}
	set := object.UnstructuredSetToObjMetadataSet(objects)
	return changes, c.manager.WaitForSetWithContext(ctx, set, ssa.WaitOptions{Interval: pollInterval, Timeout: waitTimeout})
}

func applyOptions(force bool) ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.Force = force
	options.WaitInterval = pollInterval
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fieldManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return options
}

// prune deletes what the inventory has and the objects have not; what is not deleted stays in the inventory.
func (c *controller) prune(ctx context.Context, k *tracked, objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
	wanted := object.UnstructuredSetToObjMetadataSet(objects)
	stale := slices.DeleteFunc(slices.Clone(k.inventory), func(o *unstructured.Unstructured) bool {
		return wanted.Contains(object.UnstructuredToObjMetadata(o))
	})
	k.inventory = slices.Clone(objects)
	if !k.Spec.Prune || len(stale) == 0 {
		return ssa.NewChangeSet(), nil
	}
	options := ssa.DefaultDeleteOptions()
	options.Inclusions = c.manager.GetOwnerLabels(k.Metadata.Name, k.Metadata.Namespace)
	changes, err := c.manager.DeleteAll(ctx, stale, options)
	actions := changes.ToMap()
	for _, o := range stale {
		if actions[utils.FmtUnstructured(o)] != ssa.DeletedAction {
			k.inventory = append(k.inventory, o)
		}
	}
	return changes, err
}

// inOrder sorts Kustomizations so that each comes after those that it depends on.
func inOrder(all []*tracked) ([]*tracked, error) {
	var sorted []*tracked
	ready := map[string]bool{}
	for len(sorted) < len(all) {
		next := slices.IndexFunc(all, func(k *tracked) bool {
			waits := slices.ContainsFunc(k.Spec.DependsOn, func(other dependency) bool { return !ready[other.Name] })
			return !ready[k.Metadata.Name] && !waits
		})
		if next < 0 {
			return nil, fmt.Errorf("after %d of %d Kustomizations, each of the others depends on one that is not ready", len(sorted), len(all))
		}
		ready[all[next].Metadata.Name] = true
		sorted = append(sorted, all[next])
	}
	return sorted, nil
}

func readFile(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return readObjects(text)
}
