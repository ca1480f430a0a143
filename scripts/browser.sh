#!/usr/bin/env bash
# Tests cross-origin protection with a real Chromium that has the administrator's certificate: a page of another site must not
# change anything, and may watch only with a token.
#
# Needs root to write the Chromium policy that selects the certificate without a prompt; the policy is removed afterwards.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/server.sh
. scripts/server.sh

POLICY=/etc/chromium/policies/managed/ipam-test.json
PAGES_PID=
BROWSER_PID=
BROWSER_SECONDS=120
passed=0
failed=0

if [ "$(id -u)" -ne 0 ]; then
    echo "browser: SKIPPED: it needs root to write the Chromium policy"
    exit 0
fi
TOKENS=$(mktemp)

finish() {
    local status=$?
    trap - EXIT
    rm -f "$POLICY" "$TOKENS"
    if [ -n "$PAGES_PID" ]; then kill "$PAGES_PID" 2>/dev/null || true; fi
    if [ -n "$BROWSER_PID" ]; then
        kill "$BROWSER_PID" 2>/dev/null || true
        wait "$BROWSER_PID" 2>/dev/null || true
    fi
    server_stop || status=1
    exit "$status"
}

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok %d - %s\n' "$((passed + failed))" "$name"
    else
        failed=$((failed + 1))
        printf 'not ok %d - %s\n' "$((passed + failed))" "$name"
    fi
}

# Adds the administrator's certificate and the server's CA to Chromium's certificate store.
give_certificate() {
    local store=sql:$SERVER_DIR/home/.pki/nssdb pki=$SERVER_DIR/data/pki
    mkdir -p "$SERVER_DIR/home/.pki/nssdb" "$(dirname "$POLICY")"
    certutil -d "$store" -N --empty-password
    certutil -d "$store" -A -t C,, -n authority -i "$pki/ca.crt"
    openssl pkcs12 -export -in "$pki/admin.crt" -inkey "$pki/admin.key" -name admin -passout pass: -out "$SERVER_DIR/admin.p12"
    pk12util -d "$store" -i "$SERVER_DIR/admin.p12" -W '' >/dev/null
    printf '{"AutoSelectCertificateForUrls": ["{\\"pattern\\": \\"%s\\", \\"filter\\": {}}"]}\n' "$URL" >"$POLICY"
}

# Serves another site with two pages. One sends a claim without a content type, which needs no CORS preflight. The other opens
# one WebSocket without and one with a token, and reports the results to its own site.
serve_pages() {
    mkdir "$SERVER_DIR/site"
    cat >"$SERVER_DIR/site/page.html" <<PAGE
<!doctype html><body><script>
const claim = { apiVersion: "ipam.miloapis.com/v1alpha1", kind: "IPClaim", metadata: { name: "from-another-site" },
    spec: { poolRef: { name: "root" }, prefixLength: 28 } };
const request = { method: "POST", mode: "no-cors", credentials: "include", body: new Blob([JSON.stringify(claim)]) };
fetch("$URL$CLAIMS", request).then(() => "an answer", error => String(error)).then(text => document.body.append("got " + text));
</script></body>
PAGE
    cat >"$SERVER_DIR/site/watch.html" <<PAGE
<!doctype html><body><script>
const tell = text => fetch("/told?" + text.replaceAll(" ", "+"));
const watch = (name, protocols) => {
    const socket = new WebSocket("${URL/https:/wss:}/apis/ipam.miloapis.com/v1alpha1/ippools?watch=true", protocols);
    socket.onopen = () => tell(name + " opened " + socket.protocol);
    socket.onclose = event => tell(name + " closed " + event.code);
    socket.onmessage = message => {
        const event = JSON.parse(message.data);
        tell(name + " " + event.type + " " + event.object.metadata.name);
    };
};
// With this request the browser has shown the certificate to the server. It may not read the answer.
fetch("$URL/version", { mode: "no-cors", credentials: "include" }).catch(() => {}).then(() => {
    watch("bare", []);
    watch("token", ["base64url.bearer.authorization.k8s.io.$(base64url s3cret)", "v1.watch"]);
});
</script></body>
PAGE
    PYTHONUNBUFFERED=1 python3 -m http.server 0 --bind 127.0.0.1 --directory "$SERVER_DIR/site" >"$SERVER_DIR/pages.log" 2>&1 &
    PAGES_PID=$!
    until grep -q ' port [0-9]' "$SERVER_DIR/pages.log"; do sleep 0.1; done
    PAGES=http://localhost:$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$SERVER_DIR/pages.log")
}

# Prints the DOM of a page after its script has finished.
browse() {
    HOME=$SERVER_DIR/home timeout "$BROWSER_SECONDS" chromium --headless=new --no-sandbox --disable-gpu \
        --user-data-dir="$SERVER_DIR/profile" --virtual-time-budget=20000 --dump-dom "$1" 2>"$SERVER_DIR/chromium.log"
}

base64url() { printf %s "$1" | base64 -w 0 | tr '+/' '-_' | tr -d '='; }

# Opens a page in a browser that keeps running.
stay_on() {
    HOME=$SERVER_DIR/home chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$SERVER_DIR/profile" \
        "$1" >"$SERVER_DIR/chromium.log" 2>&1 &
    BROWSER_PID=$!
}

# told TEXT: waits until the page has reported TEXT to its site.
told() {
    local deadline=$((SECONDS + BROWSER_SECONDS))
    until grep -F "GET /told?${1// /+} " "$SERVER_DIR/pages.log" >/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

make_pool() {
    ask -f -o /dev/null -H 'content-type: application/json' "$URL/apis/ipam.miloapis.com/v1alpha1/ippools" \
        -d '{"apiVersion":"ipam.miloapis.com/v1alpha1","kind":"IPPool","metadata":{"name":"'"$1"'"},"spec":{"cidr":"'"$2"'"}}'
}

ask() {
    curl -sS --cacert "$SERVER_DIR/data/pki/ca.crt" --cert "$SERVER_DIR/data/pki/admin.crt" --key "$SERVER_DIR/data/pki/admin.key" "$@"
}

shows_pools() { browse "$URL/apis/ipam.miloapis.com/v1alpha1/ippools" | grep '"root"' >/dev/null; }
page_runs() { browse "$PAGES/page.html" | grep 'got TypeError: Failed to fetch' >/dev/null; }
was_asked() { ask "$URL/metrics" | grep "apiserver_request_total{verb=\"OTHER\".*code=\"403\"} $1" >/dev/null; }
sees_new_pool() { make_pool later 192.168.0.0/16 && told "token ADDED later"; }
has_no_claim() { [ "$(ask -o /dev/null -w '%{http_code}' "$URL$CLAIMS/from-another-site")" = 404 ]; }

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo 's3cret,jane,1,"system:masters"' >"$TOKENS"
export IPAM_TOKEN_AUTH_FILE=$TOKENS
server_start
URL=$(sed -n 's/^ *server: //p' "$SERVER_KUBECONFIG")
CLAIMS=/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims
make_pool root 10.0.0.0/8
give_certificate
serve_pages
check "the browser shows the administrator's certificate" shows_pools
check "a page of another site sends a claim, and may not read the answer" page_runs
check "the server refused the request" was_asked 1
check "there is no claim" has_no_claim
stay_on "$PAGES/watch.html"
check "a page of another site cannot open a WebSocket with the certificate" told "bare closed 1006"
check "the server refused the handshake" was_asked 2
check "with a token it can, and is told which other subprotocol was chosen" told "token opened v1.watch"
check "it sees what there is" told "token ADDED root"
check "it sees what comes" sees_new_pool
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
