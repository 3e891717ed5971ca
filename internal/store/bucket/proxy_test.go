//go:build bucket

package bucket

import (
	"bytes"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// network is the way of one server to the object store, which is a bad one.
type network struct {
	url  string
	mu   sync.Mutex
	odds int           // out of how many requests about ten go wrong; 0: none does
	open chan struct{} // closed: requests pass
	did  map[string]int
}

func newNetwork(t testing.TB, store string) *network {
	t.Helper()
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{odds: fair, open: make(chan struct{}), did: map[string]int{}}
	close(n.open)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Header.Get("X-Fault") == "cut" && r.ContentLength > 1 {
				r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2))
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	server := httptest.NewUnstartedServer(n.spoil(proxy))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	n.url = server.URL
	return n
}

// freeze holds all requests until thaw lets them go on to the store, late.
func (n *network) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = make(chan struct{})
}

func (n *network) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.open)
}

// Odds of a network that works on the whole, and of one that does not.
const (
	fair = 100
	poor = 14
)

// worsen changes the odds.
func (n *network) worsen(odds int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.odds = odds
}

// repair makes a good network of it.
func (n *network) repair() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.odds = 0
}

// pick decides what becomes of a request.
func (n *network) pick(method string) (what string, open chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.odds > 0 {
		switch p := rand.IntN(n.odds); {
		case p < 3:
			what = "answer lost"
		case p < 5:
			what = "503"
		case p < 6:
			what = "500"
		case p < 7 && method == http.MethodPut:
			what = "409"
		case p < 10 && method == http.MethodGet:
			what = "cut"
		}
		n.did[what]++
	}
	return what, n.open
}

func (n *network) spoil(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what, open := n.pick(r.Method)
		// The store gets what was sent, even if the server that sent it does not
		// wait for it any more.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		<-open
		late := r.Clone(r.Context())
		late.Body = io.NopCloser(bytes.NewReader(body))
		if status, err := strconv.Atoi(what); err == nil {
			codes := map[int]string{409: "ConditionalRequestConflict", 500: "InternalError", 503: "SlowDown"}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>"+codes[status]+"</Code><Message>made up</Message></Error>")
			return
		}
		if what == "answer lost" {
			store.ServeHTTP(httptest.NewRecorder(), late)
			panic(http.ErrAbortHandler)
		}
		late.Header.Set("X-Fault", what)
		store.ServeHTTP(w, late)
	})
}

// hold is how long a frozen network holds requests: longer than a lease lives.
const hold = 5 * clusterTTL / 2

// clusterTTL is the life of a lease in these tests.
const clusterTTL = time.Second
