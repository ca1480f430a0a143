//go:build tools

// Package oracle imports the two programs of the differential test, so that go.mod keeps their dependencies.
package oracle

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
