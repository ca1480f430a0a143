package suite

import (
	"fmt"
	"os"
)

// Main runs all checks against the server of KUBECONFIG. With the argument `informers` it runs only the informers, for runs with
// other feature gates; with `record` it runs only checks that send the same requests in the same order in every run.
func Main() {
	w, err := NewWorld()
	if err != nil {
		fmt.Printf("not ok 1 - creating the test environment: %v\n", err)
		os.Exit(1)
	}
	name := "client-go " + VersionOf("k8s.io/client-go")
	checks := Informers(w)
	switch {
	case len(os.Args) > 1 && os.Args[1] == "record":
		checks = append(Discoveries(w), w.inOrder()...)
	case len(os.Args) > 1 && os.Args[1] == "informers":
		name += " with WatchList"
		if os.Getenv("KUBE_WATCHLIST_INCONSISTENCY_DETECTOR") == "true" {
			name += " and its inconsistency detector"
		}
	default:
		for _, more := range [][]Check{Discoveries(w), Lists(w), Writes(w), Applies(w), Loops(w), Refusals(w)} {
			checks = append(checks, more...)
		}
	}
	suite := Open(name)
	for _, check := range checks {
		suite.Run(check)
	}
	w.Close()
	suite.Close()
}

// inOrder returns the checks that send their requests sequentially and without names or versions that depend on time.
func (w *World) inOrder() []Check {
	checks := []Check{
		{"create", w.create}, {"merge patch", w.mergePatch}, {"JSON patch", w.jsonPatch}, {"strategic merge patch", w.strategicPatch},
		{"empty patch", w.emptyPatch}, {"status", w.status}, {"dry run", w.dryRun}, {"field validation", w.fieldValidation},
		{"finalizers", w.finalizers}, {"errors", w.errors}, {"pages of metadata", w.metadataPages},
		{"a watch from an old version", w.watchFromThePast}, {"an empty informer", w.emptyInformer},
	}
	return append(checks, Applies(w)...)
}
