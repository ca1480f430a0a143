//go:build tools

// Package oracle names the two programs that the differential test is run against, so that go.mod keeps what they need.
package oracle

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
