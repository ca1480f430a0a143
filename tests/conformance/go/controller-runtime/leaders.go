package main

import (
	"context"
	"fmt"
	"time"

	"conformance/suite"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// candidate is a manager with leader election.
type candidate struct {
	manager.Manager
	ended chan error
	stop  context.CancelFunc
}

func (w *world) candidate(t *suite.T, lease string) *candidate {
	duration := func(d time.Duration) *time.Duration { return &d }
	m, err := ctrl.NewManager(w.Config, ctrl.Options{
		Scheme:                        scheme.Scheme,
		Metrics:                       server.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              lease,
		LeaderElectionNamespace:       w.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 duration(3 * time.Second),
		RenewDeadline:                 duration(2 * time.Second),
		RetryPeriod:                   duration(100 * time.Millisecond),
	})
	t.NoError(err, "a manager")
	ctx, stop := context.WithCancel(t.Ctx)
	c := &candidate{Manager: m, ended: make(chan error, 1), stop: stop}
	go func() { c.ended <- m.Start(ctx) }()
	return c
}

func (c *candidate) isLeader() bool {
	select {
	case <-c.Elected():
		return true
	default:
		return false
	}
}

// end stops the manager and waits until it has ended.
func (c *candidate) end(t *suite.T) {
	c.stop()
	select {
	case err := <-c.ended:
		t.NoError(err, "stopping the manager")
	case <-time.After(suite.Soon):
		t.Errorf("the manager does not stop")
	}
}

// typed returns a client of Kubernetes' built-in kinds, which sends protobuf.
func (w *world) typed(t *suite.T) client.Client {
	typed, err := client.New(w.Config, client.Options{Scheme: scheme.Scheme})
	t.NoError(err, "a client")
	return typed
}

func (w *world) leaders(t *suite.T) {
	name := w.Name("leader")
	typed := w.typed(t)
	holder := func() string {
		lease := &coordinationv1.Lease{}
		t.NoError(typed.Get(t.Ctx, w.key(name), lease), "the lease")
		if lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	leads := func(c *candidate) func() string {
		return func() string {
			if !c.isLeader() {
				return "it does not lead"
			}
			return ""
		}
	}
	first := w.candidate(t, name)
	t.Eventually("the first manager leads", leads(first))
	held := holder()
	second := w.candidate(t, name)
	renewed := func() metav1.MicroTime {
		lease := &coordinationv1.Lease{}
		t.NoError(typed.Get(t.Ctx, w.key(name), lease), "the lease")
		return *lease.Spec.RenewTime
	}
	before := renewed()
	t.Eventually("the lease is renewed", func() string {
		if !renewed().After(before.Time) {
			return "it is not renewed"
		}
		return ""
	})
	t.Equal(second.isLeader(), false, "the second manager leads")
	t.Equal(holder(), held, "the holder")
	first.end(t)
	t.Eventually("the second manager leads after the first has stopped", leads(second))
	t.Equal(holder() != held, true, "another holder")
	second.end(t)

	mine := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name + "-typed", Namespace: w.Namespace}}
	seconds, now := int32(15), metav1.NowMicro()
	mine.Spec.LeaseDurationSeconds, mine.Spec.RenewTime = &seconds, &now
	t.NoError(typed.Create(t.Ctx, mine), "creating a lease in protobuf")
	t.Equal(mine.Spec.RenewTime.UnixMicro(), now.UnixMicro(), "renewTime")
	stale := mine.DeepCopy()
	t.NoError(typed.Update(t.Ctx, mine), "updating it")
	*mine.Spec.LeaseDurationSeconds = 16
	t.NoError(typed.Update(t.Ctx, mine), "updating it again")
	err := typed.Update(t.Ctx, stale)
	t.Equal(apierrors.IsConflict(err), true, fmt.Sprintf("a stale update is a conflict (%v)", err))
	t.NoError(typed.Delete(t.Ctx, mine), "deleting it")
}

func (w *world) recorders(t *suite.T) {
	claim := w.made(t, "told")
	m, err := ctrl.NewManager(w.Config, ctrl.Options{Scheme: scheme.Scheme, Metrics: server.Options{BindAddress: "0"}})
	t.NoError(err, "a manager")
	ctx, stop := context.WithCancel(t.Ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	older := m.GetEventRecorderFor("older") //nolint:staticcheck // deprecated and still in use
	newer := m.GetEventRecorder("newer")
	for range 2 {
		older.Event(claim, corev1.EventTypeWarning, "Older", "by the older recorder")
		newer.Eventf(claim, nil, corev1.EventTypeNormal, "Newer", "Tell", "by the %s recorder", "newer")
	}
	typed := w.typed(t)
	t.Eventually("both events have a count of two in the older version", func() string {
		list := &corev1.EventList{}
		t.NoError(typed.List(t.Ctx, list, client.InNamespace(w.Namespace), client.MatchingFields{"involvedObject.uid": string(claim.GetUID())}), "listing")
		seen := map[string]int32{}
		for _, event := range list.Items {
			seen[event.Reason+": "+event.Message] = event.Count
			if event.Series != nil {
				seen[event.Reason+": "+event.Message] = event.Series.Count
			}
		}
		if got := fmt.Sprint(seen); got != "map[Newer: by the newer recorder:2 Older: by the older recorder:2]" {
			return got
		}
		return ""
	})
	list := &eventsv1.EventList{}
	t.NoError(typed.List(t.Ctx, list, client.InNamespace(w.Namespace), client.MatchingFields{"regarding.name": claim.GetName(), "type": "Warning"}), "listing the newer version")
	t.Equal(len(list.Items), 1, "selected")
	t.Equal(list.Items[0].Note, "by the older recorder", "note")
	t.Equal(list.Items[0].DeprecatedSource.Component, "older", "source")

	mine := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{GenerateName: "typed-", Namespace: w.Namespace},
		EventTime:           metav1.NowMicro(),
		ReportingController: "example.com/typed", ReportingInstance: "typed-1", Action: "Tell", Reason: "Typed", Type: corev1.EventTypeNormal,
		Regarding: corev1.ObjectReference{Kind: "IPClaim", Namespace: w.Namespace, Name: claim.GetName()},
		Note:      "in protobuf",
	}
	t.NoError(typed.Create(t.Ctx, mine), "creating an event in protobuf")
	found := &corev1.Event{}
	t.NoError(typed.Get(t.Ctx, w.key(mine.Name), found), "getting it in the older version")
	t.Equal(found.Message+" "+found.EventTime.String(), "in protobuf "+mine.EventTime.String(), "the event")
	old := found.DeepCopy()
	found.Labels = map[string]string{"a": "b"}
	t.NoError(typed.Patch(t.Ctx, found, client.StrategicMergeFrom(old)), "patching it")
	t.NoError(typed.DeleteAllOf(t.Ctx, &eventsv1.Event{}, client.InNamespace(w.Namespace)), "deleting all")
	stop()
	select {
	case err := <-ended:
		t.NoError(err, "stopping the manager")
	case <-time.After(suite.Soon):
		t.Errorf("the manager does not stop")
	}
}
