package suite

import (
	"fmt"
	"os"
)

// Main runs everything against the server of KUBECONFIG; with the argument `informers` only the informers, for a second
// run with another way to fill them.
func Main() {
	w, err := NewWorld()
	if err != nil {
		fmt.Printf("not ok 1 - a world to check in: %v\n", err)
		os.Exit(1)
	}
	name := "client-go " + ClientVersion()
	checks := Informers(w)
	if len(os.Args) > 1 && os.Args[1] == "informers" {
		name += " with WatchList"
		if os.Getenv("KUBE_WATCHLIST_INCONSISTENCY_DETECTOR") == "true" {
			name += " and its inconsistency detector"
		}
	} else {
		for _, more := range [][]Check{Discoveries(w), Lists(w), Writes(w), Applies(w), Loops(w)} {
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
