package suite

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"sort"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// event is a call of a handler.
type event struct {
	kind     string
	name     string
	revision uint64
}

// diary is a handler that records all events.
type diary struct {
	sync.Mutex
	events []event
}

func (d *diary) note(kind string, object any) {
	if tombstone, is := object.(cache.DeletedFinalStateUnknown); is {
		object, kind = tombstone.Obj, "DELETED UNSEEN"
	}
	about := object.(metav1.Object)
	d.Lock()
	defer d.Unlock()
	d.events = append(d.events, event{kind, about.GetName(), revisionOf(about)})
}

func revisionOf(object metav1.Object) (revision uint64) {
	if _, err := fmt.Sscan(object.GetResourceVersion(), &revision); err != nil {
		return math.MaxUint64
	}
	return revision
}

// handler returns the handler in a form that all versions of client-go accept.
func (d *diary) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { d.note("ADDED", object) },
		UpdateFunc: func(_, object any) { d.note("MODIFIED", object) },
		DeleteFunc: func(object any) { d.note("DELETED", object) },
	}
}

// of returns the kinds of the events of an object, in order.
func (d *diary) of(name string) (kinds []string) {
	d.Lock()
	defer d.Unlock()
	for _, e := range d.events {
		if e.name == name {
			kinds = append(kinds, e.kind)
		}
	}
	return kinds
}

// Informers checks the informers, with streaming lists if KUBE_FEATURE_WatchListClient is true.
func Informers(w *World) []Check {
	streams := os.Getenv("KUBE_FEATURE_WatchListClient") == "true"
	// The detector compares a streamed object, whose kind client-go drops, with a listed one, whose kind client-go keeps in JSON.
	// For metadata it works only with servers that support protobuf.
	detects := os.Getenv("KUBE_WATCHLIST_INCONSISTENCY_DETECTOR") == "true"
	way := "list and watch"
	if streams {
		way = "watch-list"
	}
	dynamicOf := func() (cache.SharedIndexInformer, func() map[string]string) {
		informer := dynamicinformer.NewFilteredDynamicInformer(w.Dynamic, Claims, w.Namespace, 0, cache.Indexers{}, nil).Informer()
		return informer, func() map[string]string { return stored(informer) }
	}
	metadataOf := func() (cache.SharedIndexInformer, func() map[string]string) {
		informer := metadatainformer.NewFilteredMetadataInformer(w.Metadata, Claims, w.Namespace, 0, cache.Indexers{}, nil).Informer()
		return informer, func() map[string]string { return stored(informer) }
	}
	return []Check{
		{"dynamic informer follows all changes, by " + way, func(t *T) { w.informer(t, dynamicOf, streams) }},
		{"metadata informer follows all changes, by " + way, func(t *T) {
			if detects {
				t.Skip("the inconsistency detector does not support metadata in JSON")
			}
			w.informer(t, metadataOf, streams)
		}},
		{"dynamic informer over an empty collection syncs, by " + way, func(t *T) { w.emptyInformer(t) }},
		{"three informers of three kinds in one factory, by " + way, func(t *T) { w.factory(t) }},
	}
}

// stored returns the names and versions in an informer's store.
func stored(informer cache.SharedIndexInformer) map[string]string {
	found := map[string]string{}
	for _, object := range informer.GetStore().List() {
		about := object.(metav1.Object)
		found[about.GetNamespace()+"/"+about.GetName()] = about.GetResourceVersion()
	}
	return found
}

func (w *World) informer(t *T, open func() (cache.SharedIndexInformer, func() map[string]string), streams bool) {
	stem := w.Name("informer")
	name := func(part string, n int) string { return fmt.Sprintf("%s-%s%d", stem, part, n) }
	for n := range 20 {
		w.Claim(t, name("old", n))
	}
	mark := w.requests.mark()
	informer, store := open()
	notes := &diary{}
	_, err := informer.AddEventHandler(notes.handler())
	t.NoError(err, "adding a handler")
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Add(1)
	go func() { defer running.Done(); informer.Run(stop) }()
	defer func() { close(stop); running.Wait() }()
	// The first of these are created while the informer fills its store.
	for n := range 10 {
		w.Claim(t, name("early", n))
	}
	t.Eventually("the informer syncs", func() string {
		if informer.HasSynced() {
			return ""
		}
		return "not synced"
	})
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for n := writer; n < 40; n += 4 {
				w.Claim(t, name("new", n))
				w.Label(t, name("new", n), "seen", "yes")
				if n%2 == 0 {
					w.Delete(t, name("new", n))
				}
			}
		}()
	}
	for n := 0; n < 20; n += 2 {
		w.Delete(t, name("old", n))
	}
	writers.Wait()
	t.Eventually("the store equals a fresh list", func() string {
		list, err := w.Claims().List(t.Ctx, metav1.ListOptions{})
		t.NoError(err, "listing")
		wanted, got := versions(pointers(list)), store()
		if reflect.DeepEqual(got, wanted) {
			return ""
		}
		return fmt.Sprintf("store has %d, list has %d", len(got), len(wanted))
	})
	t.Eventually("the handler has caught up", func() string {
		if got := len(notes.of(name("new", 38))); got < 3 {
			return fmt.Sprintf("%d events about the last", got)
		}
		return ""
	})
	for n := range 40 {
		wanted := "[ADDED MODIFIED]"
		if n%2 == 0 {
			wanted = "[ADDED MODIFIED DELETED]"
		}
		t.Equal(notes.of(name("new", n)), wanted, "events of "+name("new", n))
	}
	for n := range 20 {
		wanted := "[ADDED]"
		if n%2 == 0 {
			wanted = "[ADDED DELETED]"
		}
		t.Equal(notes.of(name("old", n)), wanted, "events of "+name("old", n))
	}
	// The queue of an informer groups events by object, so only the events of one object are in order.
	notes.Lock()
	last := map[string]uint64{}
	for _, e := range notes.events {
		if e.revision <= last[e.name] {
			t.Errorf("%s of %s at %d comes after %d", e.kind, e.name, e.revision, last[e.name])
		}
		last[e.name] = e.revision
	}
	notes.Unlock()
	lists, streamed := 0, 0
	for _, request := range w.requests.since(mark) {
		query := request.URL.Query()
		if request.Method != "GET" || query.Get("allowWatchBookmarks") != "true" && query.Get("resourceVersion") != "0" {
			continue
		}
		if query.Get("sendInitialEvents") == "true" {
			streamed++
		} else if query.Get("watch") != "true" {
			lists++
		}
	}
	if streams {
		// The inconsistency detector requests one exact list, which is not counted here.
		t.Equal(fmt.Sprint(streamed > 0, lists), "true 0", "uses streams, and number of lists")
	} else {
		t.Equal(fmt.Sprint(streamed, lists > 0), "0 true", "number of streams, and uses lists")
	}
}

func (w *World) emptyInformer(t *T) {
	informer := dynamicinformer.NewFilteredDynamicInformer(w.Dynamic, Claims, w.Namespace+"-empty", 0, cache.Indexers{}, nil).Informer()
	stop := make(chan struct{})
	defer close(stop)
	go informer.Run(stop)
	t.Eventually("it syncs", func() string {
		if informer.HasSynced() {
			return ""
		}
		return "not synced"
	})
	t.Equal(len(informer.GetStore().List()), 0, "objects of an empty collection")
}

func (w *World) factory(t *T) {
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(w.Dynamic, time.Second, metav1.NamespaceAll, nil)
	for _, resource := range []string{"ippools", "ipclaims", "ipallocations"} {
		factory.ForResource(Version.WithResource(resource))
	}
	stop := make(chan struct{})
	factory.Start(stop)
	synced := factory.WaitForCacheSync(t.Ctx.Done())
	var names []string
	for resource, is := range synced {
		names = append(names, fmt.Sprint(resource.Resource, "=", is))
	}
	sort.Strings(names)
	t.Equal(names, "[ipallocations=true ipclaims=true ippools=true]", "synced informers")
	claim := w.Claim(t, w.Name("factory"))
	t.Eventually("the allocation arrives", func() string {
		for _, object := range factory.ForResource(Allocations).Informer().GetStore().List() {
			owners := object.(metav1.Object).GetOwnerReferences()
			if len(owners) == 1 && owners[0].UID == claim.GetUID() {
				return ""
			}
		}
		return "no allocation of the claim"
	})
	close(stop)
}
