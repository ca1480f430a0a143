#!/usr/bin/env bash
# Checks dependencies with cargo-deny and deny.toml. If cargo-deny is not installed, prints a message and succeeds.
#
# Advisories are downloaded from a repository. If it cannot be reached, only the other checks run.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
    echo "deny: SKIPPED: cargo-deny is not installed; cargo install --locked cargo-deny"
    exit 0
fi
cargo deny --log-level error --locked check bans licenses sources
if cargo deny --log-level off --locked fetch db >/dev/null 2>&1; then
    cargo deny --log-level error --locked check advisories
else
    echo "deny: SKIPPED: advisories; their repository cannot be reached"
fi
