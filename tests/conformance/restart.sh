#!/usr/bin/env bash
# Signals scripts/conformance.sh to restart the server, and waits until it is ready again.
set -euo pipefail
RESTART_SECONDS=90
before=$(cat "$CONFORMANCE_RESTARTS")
deadline=$((SECONDS + RESTART_SECONDS))
kill -USR1 "$CONFORMANCE_PID"
until [ "$(cat "$CONFORMANCE_RESTARTS")" != "$before" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "the server was not restarted within $RESTART_SECONDS s" >&2
        exit 1
    fi
    sleep 0.1
done
