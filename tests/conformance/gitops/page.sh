# shellcheck shell=bash
# Running what docs/operating/gitops.md has its readers type: to be sourced, not run, in the root of the tree.
PAGE=$PWD/docs/operating/gitops.md

# shown COMMAND: runs the command, which is on the page.
shown() {
    if ! grep -qxF -- "\$ $1" "$PAGE"; then
        echo "the page does not show: $1"
        return 1
    fi
    bash -o pipefail -c "$1"
}
