#!/usr/bin/env bash
# Compares our server with a real kube-apiserver: `scripts/oracle.sh [--seed N] [--operations N] [--kinds generic,pools,access] [--apply false]`.
#
# kube-apiserver and etcd are built from their Go modules, once per version, into ORACLE_CACHE; that takes about ten minutes on two
# cores. ORACLE_KUBE_APISERVER and ORACLE_ETCD name existing programs instead.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$PWD/tests/conformance/oracle
kubernetes=$(sed -n 's/^.*k8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$module/go.mod" | head -n 1)
etcd=$(sed -n 's/^.*go.etcd.io\/etcd\/server\/v3 v\([0-9.]*\).*/\1/p' "$module/go.mod" | head -n 1)
cache=${ORACLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ipam-oracle}/kubernetes-$kubernetes-etcd-$etcd

# build PROGRAM PACKAGE [LDFLAGS]
build() {
    if [ ! -x "$cache/$1" ]; then
        command -v go >/dev/null || {
            echo "$1 is built with Go, which is not installed: install Go, or set ORACLE_KUBE_APISERVER and ORACLE_ETCD to existing programs" >&2
            exit 2
        }
        echo "building $1 into $cache" >&2
        mkdir -p "$cache"
        (cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${3:-}" -o "$cache/$1.part" "$2")
        mv "$cache/$1.part" "$cache/$1"
    fi
}

if [ -z "${ORACLE_KUBE_APISERVER:-}" ]; then
    minor=${kubernetes#1.}
    version=k8s.io/component-base/version
    build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver \
        "-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
    ORACLE_KUBE_APISERVER=$cache/kube-apiserver
fi
if [ -z "${ORACLE_ETCD:-}" ]; then
    build etcd go.etcd.io/etcd/server/v3
    ORACLE_ETCD=$cache/etcd
fi
export ORACLE_KUBE_APISERVER ORACLE_ETCD
exec cargo test --locked -p ipamd --test oracle -- "$@"
