// Argo CD's gitops-engine, called as Argo CD calls it, against the server of KUBECONFIG, which has no pools of examples/gitops:
// its cache, its comparison, and its synchronization of the manifests there, by client-side and by server-side apply.
package main

import (
	"fmt"
	"os"

	"conformance/suite"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// world is the server, the repository, and what Argo CD has of each.
type world struct {
	*suite.World
	cluster    *cluster
	repository string
}

func main() {
	klog.SetLogger(logr.Discard())
	base, err := suite.NewWorld()
	if err != nil {
		fmt.Printf("not ok 1 - a world to check in: %v\n", err)
		os.Exit(1)
	}
	w := &world{World: base, cluster: newCluster(base.Config), repository: os.Getenv("CONFORMANCE_REPOSITORY")}
	checks := suite.Open("argocd, gitops-engine " + suite.VersionOf("github.com/argoproj/argo-cd/gitops-engine"))
	checks.Run(suite.Check{Name: "the cache lists and watches every kind", Run: w.caches})
	for _, apply := range []*application{
		{cluster: w.cluster, by: "client-side apply"},
		{cluster: w.cluster, by: "server-side apply", serverSide: true},
	} {
		for _, check := range w.applicationChecks(apply) {
			checks.Run(check)
		}
	}
	checks.Run(suite.Check{Name: "a pool that kubectl applied first is taken over by server-side apply", Run: w.takeOver})
	checks.Run(suite.Check{Name: "the cache goes on after a restart of the server", Run: w.restart})
	w.takeAway()
	w.Close()
	checks.Close()
}
