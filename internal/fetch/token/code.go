package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// AuthorizeCode gets a grant by an authorization code with PKCE (RFC 6749 §4.1,
// RFC 7636, RFC 8252 §7.3): the owner signs in with a browser, which is then
// sent back to a port of this machine. It calls show, waits until that is done
// or ctx is, for fifteen minutes at most, and puts the grant into f.
func (c *Client) AuthorizeCode(ctx context.Context, f File, show func(Prompt) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conf, err := c.ready(ctx, f, c.Provider.AuthURL)
	if err != nil {
		return err
	}
	w, err := c.listen()
	if err != nil {
		return c.failed("waiting for the browser", err)
	}
	defer w.close()
	conf.RedirectURL = "http://" + w.host
	verifier := oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for name, value := range c.Provider.Params {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	until, _ := ctx.Deadline()
	if err := show(Prompt{URL: conf.AuthCodeURL(w.state, options...), Listen: w.listen, Until: until}); err != nil {
		return err
	}
	a, err := w.wait(ctx)
	switch {
	case err != nil:
		return c.failed("waiting for the browser", err)
	case a.forged:
		return c.authorize("the browser came back from another authorization than this one")
	case a.problem != nil:
		return c.explain("signing in", a.problem, w.state, verifier)
	}
	t, err := conf.Exchange(c.web(ctx), a.code, oauth2.VerifierOption(verifier))
	if err != nil {
		return c.explain("getting the grant", err, a.code, verifier, conf.ClientSecret)
	}
	return c.finish(ctx, f, t)
}

// waiter is a server on the loopback address that takes one redirect.
type waiter struct {
	listen string // host:port
	host   string // the same, as the redirect names it
	state  string // what the redirect must bring back
	server *http.Server
	once   sync.Once
	answer chan answer // of one element
}

// answer is what the browser brought (RFC 6749 §4.1.2).
type answer struct {
	code    string
	problem *oauth2.RetrieveError // instead of the code
	forged  bool                  // the state was not ours
}

const (
	callTime  = 10 * time.Second
	maxHeader = 16 << 10
)

func (c *Client) listen() (*waiter, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &waiter{listen: l.Addr().String(), state: oauth2.GenerateVerifier(), answer: make(chan answer, 1)}
	w.host = w.listen
	if name := c.Provider.RedirectHost; name != "" {
		w.host = name + strings.TrimPrefix(w.listen, "127.0.0.1")
	}
	w.server = &http.Server{
		Handler: w, ReadTimeout: callTime, WriteTimeout: callTime, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // a request has the code in it
	}
	w.server.SetKeepAlivesEnabled(false)
	go w.server.Serve(l)
	return w, nil
}

// wait waits for the answer.
func (w *waiter) wait(ctx context.Context) (answer, error) {
	select {
	case a := <-w.answer:
		return a, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return answer{}, fmt.Errorf("it did not come back in time: %w", ctx.Err())
		}
		return answer{}, ctx.Err()
	}
}

// close ends the server, but for a page that is being sent.
func (w *waiter) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		w.server.Close()
	}
}

// ServeHTTP takes the first redirect, whatever it brings. Browsers ask for
// other things too, and pages of strangers may try their luck under another
// host name (DNS rebinding); neither counts.
func (w *waiter) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != "/" || r.Host != w.host && r.Host != w.listen ||
		q.Get("code") == "" && q.Get("error") == "" {
		http.NotFound(out, r)
		return
	}
	a := answer{code: q.Get("code")}
	switch {
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(w.state)) != 1:
		a = answer{forged: true}
	case q.Get("error") != "":
		a = answer{problem: &oauth2.RetrieveError{ErrorCode: q.Get("error"), ErrorDescription: q.Get("error_description")}}
	}
	first := false
	w.once.Do(func() { first = true })
	if !first {
		http.NotFound(out, r)
		return
	}
	page(out, a.forged)
	w.answer <- a
}

// page tells the browser nothing that it brought.
func page(out http.ResponseWriter, forged bool) {
	h := out.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if forged {
		out.WriteHeader(http.StatusBadRequest)
	}
	io.WriteString(out, "Postwain has the answer. You can close this page and go on in the terminal.\n")
}
