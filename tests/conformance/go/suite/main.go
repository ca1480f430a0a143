package suite

import (
	"fmt"
	"os"
)

// Main runs everything against the server of KUBECONFIG; with the argument `informers` only the informers, for a second
// run with another way to fill them; with `record` what asks the same, in the same order, in every run.
func Main() {
	w, err := NewWorld()
	if err != nil {
		fmt.Printf("not ok 1 - a world to check in: %v\n", err)
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

// inOrder is what sends its requests one after the other and has no name or version of the moment in them.
func (w *World) inOrder() []Check {
	checks := []Check{
		{"create", w.create}, {"merge patch", w.mergePatch}, {"JSON patch", w.jsonPatch}, {"strategic merge patch", w.strategicPatch},
		{"empty patch", w.emptyPatch}, {"status", w.status}, {"dry run", w.dryRun}, {"field validation", w.fieldValidation},
		{"finalizers", w.finalizers}, {"errors", w.errors}, {"pages of metadata", w.metadataPages},
		{"a watch from the past", w.watchFromThePast}, {"an empty informer", w.emptyInformer},
	}
	return append(checks, Applies(w)...)
}
