package main

import (
	"context"
	"fmt"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

const (
	applicationName = "addresses"
	// applyManager is the field manager of Argo CD.
	applyManager = "argocd-controller"
	// trackingAnnotation names the Application that an object belongs to.
	trackingAnnotation = "argocd.argoproj.io/tracking-id"
	// destination is the namespace of the Application's destination.
	destination = metav1.NamespaceDefault
	// stepInterval is the pause between two steps of a synchronization; Argo CD waits for a change in its cache.
	stepInterval = 50 * time.Millisecond
)

// cluster is what Argo CD has of one server for all Applications.
type cluster struct {
	config  *rest.Config
	cache   cache.ClusterCache
	kubectl kube.Kubectl
}

// application is an Application of Argo CD.
type application struct {
	cluster *cluster
	// by says how it applies.
	by         string
	serverSide bool
}

// operation is how a synchronization ended.
type operation struct {
	phase   common.OperationPhase
	message string
	results []common.ResourceSyncResult
	// waves are those that were applied, in their order.
	waves []int
}

func newCluster(config *rest.Config) *cluster {
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	// A resource in the cache has the name of its Application, and its manifest if it has one.
	info := func(object *unstructured.Unstructured, _ bool) (any, bool) {
		_, tracked := object.GetAnnotations()[trackingAnnotation]
		return tracked, tracked
	}
	live := cache.NewClusterCache(config, cache.SetLogr(logr.Discard()), cache.SetKubectl(kubectl), cache.SetPopulateResourceInfoHandler(info))
	return &cluster{config, live, kubectl}
}

// track marks the objects as Argo CD does by default: with an annotation.
func track(objects []*unstructured.Unstructured) {
	for _, object := range objects {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[trackingAnnotation] = fmt.Sprintf("%s:%s/%s:%s/%s",
			applicationName, object.GroupVersionKind().Group, object.GetKind(), destination, object.GetName())
		object.SetAnnotations(annotations)
	}
}

// compare pairs the objects of the repository with live ones, and says which pairs differ.
func (a *application) compare(wanted []*unstructured.Unstructured) (sync.ReconciliationResult, *diff.DiffResultList, error) {
	tracked := func(resource *cache.Resource) bool { return resource.Info == true }
	live, err := a.cluster.cache.GetManagedLiveObjs(wanted, tracked)
	if err != nil {
		return sync.ReconciliationResult{}, nil, err
	}
	pairs := sync.Reconcile(wanted, live, destination, a.cluster.cache)
	differences, err := diff.DiffArray(pairs.Target, pairs.Live, a.diffOptions()...)
	return pairs, differences, err
}

func (a *application) diffOptions() []diff.Option {
	return []diff.Option{
		diff.WithLogr(logr.Discard()), diff.WithManager(applyManager),
		diff.WithStructuredMergeDiff(a.serverSide), diff.WithGVKParser(a.cluster.cache.GetGVKParser()),
	}
}

// predict compares by dry runs of the server, which Argo CD does with the option ServerSideDiff=true.
func (a *application) predict(pairs sync.ReconciliationResult) (*diff.DiffResultList, error) {
	applier, cleanup, err := a.cluster.kubectl.ManageServerSideDiffDryRuns(a.cluster.config)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	options := append(a.diffOptions(), diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)))
	return diff.DiffArray(pairs.Target, pairs.Live, options...)
}

// sync applies and prunes, wave by wave. Each step compares again, and takes the state of the operation from the one before.
func (a *application) sync(ctx context.Context, wanted []*unstructured.Unstructured) (done operation, err error) {
	began := metav1.Now()
	for {
		pairs, _, err := a.compare(wanted)
		if err != nil {
			return done, err
		}
		step, cleanup, err := sync.NewSyncContext("main", pairs, a.cluster.config, a.cluster.config, a.cluster.kubectl, destination,
			sync.WithLogr(logr.Discard()),
			sync.WithInitialState(done.phase, done.message, done.results, began),
			sync.WithOperationSettings(false, true, false, false),
			sync.WithServerSideApply(a.serverSide),
			sync.WithServerSideApplyManager(applyManager),
			sync.WithSyncWaveHook(func(_ common.SyncPhase, wave int, _ bool) error {
				done.waves = append(done.waves, wave)
				return nil
			}),
		)
		if err != nil {
			return done, err
		}
		step.Sync()
		done.phase, done.message, done.results = step.GetState()
		cleanup()
		if done.phase.Completed() {
			return done, nil
		}
		select {
		case <-ctx.Done():
			return done, fmt.Errorf("the synchronization does not end: %s: %w", done.message, ctx.Err())
		case <-time.After(stepInterval):
		}
	}
}
