#!/usr/bin/env bash
# Writes go.mod and go.sum of this directory for one version of Kubernetes: `./module.sh 1.37.2 3.7.3`.
#
# k8s.io/kubernetes asks for its staging modules at v0.0.0, which exist only inside its own repository. From outside, each of them
# has to be replaced with the release that was tagged together with it: v1.X.Y of the whole is v0.X.Y of every part.
set -euo pipefail
cd "$(dirname "$0")"

kubernetes=${1:?the version of Kubernetes, such as 1.37.2}
etcd=${2:?the version of etcd, such as 3.7.3}
staging=v0.${kubernetes#1.}

its_module=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
{
    echo '// What is built here is not ours: kube-apiserver and etcd, to compare with. Written by module.sh.'
    echo 'module ipam.miloapis.com/conformance/oracle'
    echo
    sed -n 's/^go .*/&/p' "$its_module"
    echo
    echo "require ("
    printf '\t%s\n' "go.etcd.io/etcd/server/v3 v$etcd" "k8s.io/kubernetes v$kubernetes"
    echo ")"
    echo
    echo 'replace ('
    sed -n "s|^\t\(k8s.io/[a-z-]*\) => \./staging/src/.*|\t\1 => \1 $staging|p" "$its_module"
    echo ')'
    sed -n 's/^godebug \(.*\)/\ngodebug \1/p' "$its_module"
} >go.mod
rm -f go.sum
go mod tidy
