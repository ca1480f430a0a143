package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The group and its version.
const (
	Group      = "ipam.miloapis.com"
	APIVersion = Group + "/v1alpha1"
)

// The resources.
var (
	Version     = schema.GroupVersion{Group: Group, Version: "v1alpha1"}
	Pools       = Version.WithResource("ippools")
	Claims      = Version.WithResource("ipclaims")
	Allocations = Version.WithResource("ipallocations")
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// World is the test environment: clients of the server, and a namespace and a pool that only this program uses.
type World struct {
	Config    *rest.Config
	Dynamic   dynamic.Interface
	Metadata  metadata.Interface
	Discovery *discovery.DiscoveryClient
	// Namespace contains the claims; Pool is a root pool of a /16 without bounds; both have the name of the run.
	Namespace, Pool, Net string
	names                atomic.Int64
	requests             requestLog
}

// VersionOf returns the version of a module in this program.
func VersionOf(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}

// NewWorld connects to the server of KUBECONFIG and creates a namespace and a pool. CONFORMANCE_NET (two octets) is the
// address space of this program. With CONFORMANCE_NAME the pool has this name and the namespace is `default`.
func NewWorld() (*World, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 2000, 2000
	w := &World{Config: config, Net: os.Getenv("CONFORMANCE_NET")}
	if w.Net == "" {
		w.Net = "10.99"
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &recorder{next, &w.requests} })
	config.WarningHandler = rest.NoWarnings{}
	if w.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if w.Metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	if w.Discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if w.Pool = os.Getenv("CONFORMANCE_NAME"); w.Pool != "" {
		w.Namespace = metav1.NamespaceDefault
	} else {
		w.Pool = "conformance-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		w.Namespace = w.Pool
		if err = w.openNamespace(ctx); err != nil {
			return nil, err
		}
	}
	_, err = w.Dynamic.Resource(Pools).Create(ctx, NewPool(w.Pool, map[string]any{"cidr": w.Net + ".0.0/16"}), metav1.CreateOptions{})
	return w, err
}

// A server without namespace objects accepts every valid name.
func (w *World) openNamespace(ctx context.Context) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": w.Namespace},
	}}
	_, err := w.Dynamic.Resource(namespaces).Create(ctx, namespace, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return err
}

// Close deletes the objects of this program.
func (w *World) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = w.Claims().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	_ = w.Dynamic.Resource(Allocations).Namespace(w.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	for range 3 {
		_ = w.Dynamic.Resource(Pools).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "conformance=" + w.Pool})
	}
	for _, end := range []string{"-full", "-bounded"} {
		_ = w.Dynamic.Resource(Pools).Delete(ctx, w.Pool+end, metav1.DeleteOptions{})
	}
	_ = w.Dynamic.Resource(Pools).Delete(ctx, w.Pool, metav1.DeleteOptions{})
	if w.Namespace != metav1.NamespaceDefault {
		_ = w.Dynamic.Resource(namespaces).Delete(ctx, w.Namespace, metav1.DeleteOptions{})
	}
}

// Claims returns the claims of this program's namespace.
func (w *World) Claims() dynamic.ResourceInterface {
	return w.Dynamic.Resource(Claims).Namespace(w.Namespace)
}

// Name returns a unique name.
func (w *World) Name(stem string) string { return fmt.Sprintf("%s-%d", stem, w.names.Add(1)) }

// NewPool returns a pool to create.
func NewPool(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": APIVersion, "kind": "IPPool", "metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

// NewClaim returns a claim of one address to create. The labels are pairs of key and value.
func (w *World) NewClaim(name string, labels ...string) *unstructured.Unstructured {
	claim := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": APIVersion, "kind": "IPClaim",
		"metadata": map[string]any{"name": name, "namespace": w.Namespace},
		"spec":     map[string]any{"poolRef": map[string]any{"name": w.Pool}, "prefixLength": int64(32)},
	}}
	if len(labels) > 0 {
		set := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			set[labels[i]] = labels[i+1]
		}
		claim.SetLabels(set)
	}
	return claim
}

// Claim creates a claim.
func (w *World) Claim(t *T, name string, labels ...string) *unstructured.Unstructured {
	made, err := w.Claims().Create(t.Ctx, w.NewClaim(name, labels...), metav1.CreateOptions{})
	t.NoError(err, "creating claim "+name)
	return made
}

// Label sets a label with a merge patch.
func (w *World) Label(t *T, name, key, value string) *unstructured.Unstructured {
	change, _ := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{key: value}}})
	made, err := w.Claims().Patch(t.Ctx, name, types.MergePatchType, change, metav1.PatchOptions{})
	t.NoError(err, "labeling claim "+name)
	return made
}

// Delete deletes a claim.
func (w *World) Delete(t *T, name string) {
	t.NoError(w.Claims().Delete(t.Ctx, name, metav1.DeleteOptions{}), "deleting claim "+name)
}

// Revision returns the resourceVersion as a number.
func Revision(t *T, object metav1.Object) uint64 {
	revision, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	t.NoError(err, "the resourceVersion of "+object.GetName())
	return revision
}

// versions returns the names and versions of the objects in a list.
func versions[O metav1.Object](objects []O) map[string]string {
	found := map[string]string{}
	for _, object := range objects {
		found[object.GetNamespace()+"/"+object.GetName()] = object.GetResourceVersion()
	}
	return found
}

func pointers(list *unstructured.UnstructuredList) []*unstructured.Unstructured {
	found := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		found[i] = &list.Items[i]
	}
	return found
}

// requestLog records the requests of a client.
type requestLog struct {
	sync.Mutex
	all []*http.Request
}

func (l *requestLog) since(mark int) []*http.Request {
	l.Lock()
	defer l.Unlock()
	return append([]*http.Request(nil), l.all[mark:]...)
}

func (l *requestLog) mark() int { l.Lock(); defer l.Unlock(); return len(l.all) }

type recorder struct {
	next http.RoundTripper
	log  *requestLog
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.log.Lock()
	r.log.all = append(r.log.all, request)
	r.log.Unlock()
	return r.next.RoundTrip(request)
}
