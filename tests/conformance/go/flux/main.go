// Flux's library github.com/fluxcd/pkg/ssa, called as kustomize-controller calls it, against the server of KUBECONFIG, which has
// no pools: the examples, the Kustomizations of examples/gitops/flux.yaml, and the refusals that all suites share.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"conformance/suite"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// world is the server and the repository that Flux reads.
type world struct {
	*controller
	// repository is the folder that holds examples/.
	repository string
	// pools and claims are the Kustomizations of the repository.
	pools, claims *tracked
}

func main() {
	ctrl.SetLogger(logr.Discard())
	klog.SetOutput(io.Discard)
	w, err := newWorld()
	if err != nil {
		fmt.Printf("not ok 1 - a world to check in: %v\n", err)
		os.Exit(1)
	}
	checks := suite.Open("flux " + suite.VersionOf("github.com/fluxcd/pkg/ssa"))
	for _, check := range append(w.examplesChecks(), w.kustomizationChecks()...) {
		checks.Run(check)
	}
	w.takeAway(context.Background())
	w.runInSpace(checks)
	checks.Close()
}

func newWorld() (*world, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 2000, 2000
	config.WarningHandler = rest.NoWarnings{}
	w := &world{repository: os.Getenv("CONFORMANCE_REPOSITORY")}
	w.controller, err = newController(config)
	return w, err
}

// runInSpace runs what needs no empty server, in the address space of this program.
func (w *world) runInSpace(checks *suite.Suite) {
	base, err := suite.NewWorld()
	if err != nil {
		checks.Run(suite.Check{Name: "a namespace and a pool", Run: func(t *suite.T) { t.NoError(err, "making them") }})
		return
	}
	defer base.Close()
	for _, check := range append(w.refusals(base), w.restartChecks(base)...) {
		checks.Run(check)
	}
}
