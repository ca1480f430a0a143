#!/usr/bin/env bash
# What may be linked into the program: deny.toml, by cargo-deny. Without cargo-deny it says so and does nothing.
#
# The advisories come from a repository on the network. Where that cannot be reached, the rest is checked all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
    echo "deny: SKIPPED: no cargo-deny here; cargo install --locked cargo-deny"
    exit 0
fi
cargo deny --log-level error --locked check bans licenses sources
if cargo deny --log-level off --locked fetch db >/dev/null 2>&1; then
    cargo deny --log-level error --locked check advisories
else
    echo "deny: SKIPPED: advisories; their repository cannot be reached from here"
fi
