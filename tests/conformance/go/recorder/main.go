// recorder is a proxy that records the requests of a client to the server of KUBECONFIG. It writes a kubeconfig for the client to the
// first argument, and one JSON object for each request to the second.
//
// Data that differs between runs or identifies the machine is not recorded: credentials, hosts, lengths.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// entry is a request and its response.
type entry struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query,omitempty"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body,omitempty"`
	Answer  answer            `json:"answer"`
}

// answer is the part of a response that is the same in every run.
type answer struct {
	Status      int    `json:"status"`
	ContentType string `json:"contentType,omitempty"`
	APIVersion  string `json:"apiVersion,omitempty"`
	Kind        string `json:"kind,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// The headers that a server may evaluate, without those of compression.
var kept = []string{"Accept", "Content-Type", "Impersonate-User", "User-Agent"}

// uids differ between runs, and are removed.
var uid = regexp.MustCompile(`,\s*"uid":\s*"[0-9a-f-]{36}"|"uid":\s*"[0-9a-f-]{36}"(,\s*)?`)

// The hash of a schema changes with the schema; the document is the same without it.
var hash = regexp.MustCompile(`&?hash=[^&]*`)

// Documents that clients request repeatedly. Equal requests are recorded once.
var document = regexp.MustCompile(`^/(apis?|openapi|version)(/v[23]|/[^/]+/v[^/]+)?$`)

type entryKey struct{}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: recorder KUBECONFIG-TO-WRITE RECORD")
	}
	upstream, client := upstream(os.Getenv("KUBECONFIG"))
	record, err := os.Create(os.Args[2])
	check(err)
	certificate, authority := certificate()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	check(err)
	check(os.WriteFile(os.Args[1], kubeconfig(listener.Addr().String(), authority), 0o600))
	var lock sync.Mutex
	known := map[string]bool{}
	note := func(e *entry) error {
		// A path that is not served, and a response from the client's cache, need not stay the same.
		if e.Answer.Status == http.StatusNotFound && e.Answer.Kind == "" || e.Answer.Status == http.StatusNotModified {
			return nil
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			return err
		}
		line := strings.TrimSuffix(text.String(), "\n")
		lock.Lock()
		defer lock.Unlock()
		if known[line] && e.Method == "GET" && document.MatchString(e.Path) {
			return nil
		}
		known[line] = true
		_, err := fmt.Fprintf(record, "%s\n", line)
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			// The client's credential is for this program, which authenticates with its certificate.
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(response *http.Response) error {
			e := response.Request.Context().Value(entryKey{}).(*entry)
			e.Answer = answer{Status: response.StatusCode, ContentType: response.Header.Get("Content-Type")}
			// A watch is recorded at its start, other requests at their end.
			if !strings.Contains(e.Query, "watch=") {
				body, err := io.ReadAll(response.Body)
				if err != nil {
					return err
				}
				response.Body = io.NopCloser(bytes.NewReader(body))
				var shape struct{ APIVersion, Kind, Reason string }
				if json.Unmarshal(body, &shape) == nil {
					e.Answer.APIVersion, e.Answer.Kind, e.Answer.Reason = shape.APIVersion, shape.Kind, shape.Reason
				}
			}
			return note(e)
		},
		Transport:     client,
		FlushInterval: -1,
	}
	check(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		e := &entry{Method: r.Method, Path: r.URL.EscapedPath(), Query: hash.ReplaceAllString(r.URL.RawQuery, ""), Headers: map[string]string{}, Body: uid.ReplaceAllString(string(body), "")}
		for _, name := range kept {
			if value := strings.Join(r.Header.Values(name), ","); value != "" {
				e.Headers[strings.ToLower(name)] = value
			}
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, e)))
	})))
}

// upstream reads the server and credentials from a kubeconfig with one cluster and one user.
func upstream(path string) (*url.URL, *http.Transport) {
	text, err := os.ReadFile(path)
	check(err)
	field := func(name string) string {
		found := regexp.MustCompile(`(?m)^\s*"?` + name + `"?:\s*"?([^"\s,]+)`).FindSubmatch(text)
		if found == nil {
			log.Fatalf("%s has no %s", path, name)
		}
		return string(found[1])
	}
	data := func(name string) []byte {
		decoded, err := base64.StdEncoding.DecodeString(field(name))
		check(err)
		return decoded
	}
	server, err := url.Parse(field("server"))
	check(err)
	pair, err := tls.X509KeyPair(data("client-certificate-data"), data("client-key-data"))
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data("certificate-authority-data"))
	return server, &http.Transport{
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
	}
}

func certificate() (tls.Certificate, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func kubeconfig(address string, authority []byte) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: recorder, cluster: {server: "https://%s", certificate-authority-data: %s}}]
users: [{name: recorder, user: {token: recorder}}]
contexts: [{name: recorder, context: {cluster: recorder, user: recorder}}]
current-context: recorder
`, address, base64.StdEncoding.EncodeToString(authority))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
