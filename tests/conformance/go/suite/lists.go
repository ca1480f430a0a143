package suite

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	watchtools "k8s.io/client-go/tools/watch"
)

// Lists checks paged lists and watches from a version.
func Lists(w *World) []Check {
	return []Check{
		{"a pager gets one snapshot of 50 objects during concurrent writes", w.pages},
		{"metadata lists in pages", w.metadataPages},
		{"a watch from an old version replays later events", w.watchFromThePast},
		{"a watch sends the events of many writers once and in order", w.watchWriters},
		{"a watch with a selector sends DELETED for an object that stops matching", w.watchWithSelector},
		{"a retrying watcher continues when its stream ends", w.retryingWatcher},
		{"a watch from before the history gets 410", w.watchExpired},
		{"lists with Exact and NotOlderThan return the correct objects", w.listVersions},
	}
}

func (w *World) pages(t *T) {
	stem := w.Name("page")
	mine := metav1.ListOptions{LabelSelector: "page=" + stem}
	var wanted []string
	for n := range 50 {
		name := fmt.Sprintf("%s-%02d", stem, n)
		w.Claim(t, name, "page", stem)
		wanted = append(wanted, name)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				name := fmt.Sprintf("%s-other%d", stem, n)
				w.Claim(t, name)
				w.Delete(t, name)
			}
		}
	}()
	calls, versionsSeen := 0, map[string]bool{}
	list := func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		page, err := w.Claims().List(ctx, options)
		if err != nil {
			return nil, err
		}
		calls++
		versionsSeen[page.GetResourceVersion()] = true
		if len(page.Items) > 7 {
			t.Errorf("page %d has %d objects", calls, len(page.Items))
		}
		// Delete, create and change an object after and before the current page.
		if calls <= 6 {
			w.Delete(t, fmt.Sprintf("%s-%02d", stem, 50-calls))
			w.Claim(t, fmt.Sprintf("%s-%02d-late", stem, 7*calls), "page", stem)
			w.Label(t, fmt.Sprintf("%s-%02d", stem, 43-calls), "changed", "yes")
		}
		return page, nil
	}
	p := pager.New(list)
	p.PageSize, p.FullListIfExpired, p.PageBufferSize = 7, false, 0
	var got []string
	err := p.EachListItem(t.Ctx, mine, func(object runtime.Object) error {
		claim := object.(*unstructured.Unstructured)
		got = append(got, claim.GetName())
		if claim.GetLabels()["changed"] != "" {
			t.Errorf("%s shows a later change", claim.GetName())
		}
		return nil
	})
	close(stop)
	writer.Wait()
	t.NoError(err, "paging")
	t.Equal(got, fmt.Sprint(wanted), "names over all pages")
	t.Equal(fmt.Sprint(calls, len(versionsSeen)), "8 1", "pages and resourceVersions")
	whole, paged, err := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return w.Claims().List(ctx, options)
	}).List(t.Ctx, mine)
	t.NoError(err, "listing whole")
	t.Equal(fmt.Sprint(meta.LenList(whole), paged), "50 false", "a list in one page")
	t.NoError(w.Claims().DeleteCollection(t.Ctx, metav1.DeleteOptions{}, mine), "clearing")
}

func (w *World) metadataPages(t *T) {
	stem := w.Name("meta")
	for n := range 10 {
		w.Claim(t, fmt.Sprintf("%s-%d", stem, n), "page", stem)
	}
	client := w.Metadata.Resource(Claims).Namespace(w.Namespace)
	options := metav1.ListOptions{LabelSelector: "page=" + stem, Limit: 4}
	var sizes []int
	for {
		page, err := client.List(t.Ctx, options)
		t.NoError(err, "listing metadata")
		sizes = append(sizes, len(page.Items))
		for _, item := range page.Items {
			if item.Name == "" || item.UID == "" || item.Labels["page"] != stem {
				t.Errorf("incomplete metadata: %v", item)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	t.Equal(sizes, "[4 4 2]", "page sizes")
	one, err := client.Get(t.Ctx, stem+"-0", metav1.GetOptions{})
	t.NoError(err, "getting metadata")
	t.Equal(one.Name, stem+"-0", "its name")
	t.NoError(client.Delete(t.Ctx, stem+"-0", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &one.UID}}), "deleting through metadata")
	_, err = client.Get(t.Ctx, stem+"-0", metav1.GetOptions{})
	t.Equal(apierrors.IsNotFound(err), true, fmt.Sprintf("gone (%v)", err))
	t.NoError(client.DeleteCollection(t.Ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page=" + stem}), "clearing")
}

// follow reads as many events as wanted, and compares them.
func follow(t *T, watcher watch.Interface, wanted ...string) {
	defer watcher.Stop()
	var got []string
	last := uint64(0)
	for len(got) < len(wanted) {
		select {
		case e, open := <-watcher.ResultChan():
			if !open {
				t.Fatalf("the watch ended after %v", got)
			}
			if e.Type == watch.Bookmark {
				continue
			}
			about, is := e.Object.(metav1.Object)
			if !is {
				t.Fatalf("unexpected %s: %v", e.Type, e.Object)
			}
			got = append(got, fmt.Sprint(e.Type, " ", about.GetName()))
			if revision := Revision(t, about); revision <= last {
				t.Errorf("%s at %d after %d", got[len(got)-1], revision, last)
			} else {
				last = revision
			}
		case <-time.After(Soon):
			t.Fatalf("no more events after %v", got)
		}
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got:    %v\nwanted: %v", got, wanted)
	}
}

func (w *World) watchFromThePast(t *T) {
	a, b := w.Name("past"), w.Name("past")
	from, err := w.Claims().List(t.Ctx, metav1.ListOptions{})
	t.NoError(err, "listing")
	w.Claim(t, a)
	w.Claim(t, b)
	w.Label(t, a, "x", "y")
	w.Delete(t, b)
	watcher, err := w.Claims().Watch(t.Ctx, metav1.ListOptions{ResourceVersion: from.GetResourceVersion()})
	t.NoError(err, "watching")
	follow(t, watcher, "ADDED "+a, "ADDED "+b, "MODIFIED "+a, "DELETED "+b)
	partial, err := w.Metadata.Resource(Claims).Namespace(w.Namespace).Watch(t.Ctx, metav1.ListOptions{ResourceVersion: from.GetResourceVersion()})
	t.NoError(err, "watching metadata")
	follow(t, partial, "ADDED "+a, "ADDED "+b, "MODIFIED "+a, "DELETED "+b)
}

func (w *World) watchWriters(t *T) {
	stem := w.Name("writers")
	from, err := w.Claims().List(t.Ctx, metav1.ListOptions{})
	t.NoError(err, "listing")
	watcher, err := w.Claims().Watch(t.Ctx, metav1.ListOptions{ResourceVersion: from.GetResourceVersion()})
	t.NoError(err, "watching")
	defer watcher.Stop()
	const writers, claims = 5, 10
	for writer := range writers {
		go func() {
			for n := range claims {
				name := fmt.Sprintf("%s-%d-%d", stem, writer, n)
				w.Claim(t, name)
				w.Label(t, name, "x", "y")
				w.Delete(t, name)
			}
		}()
	}
	lives, last := map[string]string{}, uint64(0)
	for range 3 * writers * claims {
		select {
		case e, open := <-watcher.ResultChan():
			if !open {
				t.Fatalf("the watch ended after %d", last)
			}
			about := e.Object.(metav1.Object)
			if revision := Revision(t, about); revision <= last {
				t.Errorf("%s of %s at %d comes after %d", e.Type, about.GetName(), revision, last)
			} else {
				last = revision
			}
			lives[about.GetName()] += string(e.Type) + " "
		case <-time.After(Soon):
			t.Fatalf("no more events after %d", last)
		}
	}
	t.Equal(len(lives), writers*claims, "claims seen")
	for name, life := range lives {
		t.Equal(life, "ADDED MODIFIED DELETED ", "the events of "+name)
	}
}

func (w *World) watchWithSelector(t *T) {
	stem := w.Name("leave")
	watcher, err := w.Claims().Watch(t.Ctx, metav1.ListOptions{LabelSelector: "leave=" + stem})
	t.NoError(err, "watching")
	w.Claim(t, stem)
	w.Label(t, stem, "leave", stem)
	w.Label(t, stem, "other", "x")
	w.Label(t, stem, "leave", "no")
	follow(t, watcher, "ADDED "+stem, "MODIFIED "+stem, "DELETED "+stem)
}

func (w *World) retryingWatcher(t *T) {
	stem := w.Name("retry")
	from, err := w.Claims().List(t.Ctx, metav1.ListOptions{})
	t.NoError(err, "listing")
	opened := 0
	one := int64(1)
	watcher, err := watchtools.NewRetryWatcher(from.GetResourceVersion(), &cache.ListWatch{
		WatchFunc: func(options metav1.ListOptions) (watch.Interface, error) {
			opened++
			// Each stream ends after one second, so that the next one must resume.
			options.TimeoutSeconds = &one
			return w.Claims().Watch(t.Ctx, options)
		},
	})
	t.NoError(err, "watching")
	var wanted []string
	go func() {
		for n := range 8 {
			w.Claim(t, fmt.Sprintf("%s-%d", stem, n))
			time.Sleep(400 * time.Millisecond)
		}
	}()
	for n := range 8 {
		wanted = append(wanted, fmt.Sprintf("ADDED %s-%d", stem, n))
	}
	follow(t, watcher, wanted...)
	if opened < 2 {
		t.Errorf("only %d stream was opened", opened)
	}
}

func (w *World) watchExpired(t *T) {
	watcher, err := w.Claims().Watch(t.Ctx, metav1.ListOptions{ResourceVersion: "1"})
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		t.Fatalf("an expired version must be an event in the stream, not an HTTP error: %v", err)
	}
	t.NoError(err, "watching")
	defer watcher.Stop()
	// A server that still has all of its history replays it; otherwise it sends an error.
	select {
	case e := <-watcher.ResultChan():
		if e.Type == watch.Error {
			if err := apierrors.FromObject(e.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				t.Errorf("unexpected error: %v", err)
			}
		}
	case <-time.After(Soon):
		t.Errorf("neither an event nor an error")
	}
}

func (w *World) listVersions(t *T) {
	stem := w.Name("exact")
	w.Claim(t, stem+"-a", "exact", stem)
	options := metav1.ListOptions{LabelSelector: "exact=" + stem}
	then, err := w.Claims().List(t.Ctx, options)
	t.NoError(err, "listing")
	w.Claim(t, stem+"-b", "exact", stem)
	names := func(options metav1.ListOptions) (found []string) {
		list, err := w.Claims().List(t.Ctx, options)
		t.NoError(err, "listing")
		for _, item := range list.Items {
			found = append(found, item.GetName())
		}
		sort.Strings(found)
		return found
	}
	options.ResourceVersion, options.ResourceVersionMatch = then.GetResourceVersion(), metav1.ResourceVersionMatchExact
	t.Equal(names(options), fmt.Sprintf("[%s-a]", stem), "an exact list")
	options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	if found := names(options); len(found) == 0 {
		t.Errorf("a list with NotOlderThan is empty")
	}
	// Without retries, because the response requests ten retries after four seconds each.
	err = w.Discovery.RESTClient().Get().AbsPath("/apis", Group, Version.Version, "namespaces", w.Namespace, "ipclaims").
		Param("resourceVersion", "999999999999").MaxRetries(0).Do(t.Ctx).Error()
	if !apierrors.IsTimeout(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("a future version: %v", err)
	}
}
