package pop3server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

var errOutage = errors.New("the account source is down")

// accounts is an account source: everybody's password is "secret", that of bob
// " two  words ", and that of jörg "pässword".
type accounts struct{}

func (accounts) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	want := "secret"
	switch l.User {
	case "down":
		return "", errOutage
	case "busy":
		return "", sasl.ErrBusy
	case "panic":
		panic("an account source that fails")
	case "nobody":
		return "", sasl.ErrRefused
	case "bob":
		want = " two  words "
	case "jörg":
		want = "pässword"
	}
	if l.Password != want {
		return "", fmt.Errorf("accounts: %w", sasl.ErrRefused)
	}
	return l.User, nil
}

// site is a Backend whose parts a test can change.
type site struct {
	pop3server.Backend
	extra  []sasl.Mechanism
	before pop3server.Policy
	after  pop3server.Policy
	open   func(ctx context.Context, account string) (maildrop.Box, error) // nil: the Backend's own
	failed error                                                           // of NewSession
}

type siteSession struct {
	pop3server.Session
	site *site
}

func (s *site) NewSession(ctx context.Context, p pop3server.Peer) (pop3server.Session, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	inner, err := s.Backend.NewSession(ctx, p)
	return siteSession{inner, s}, err
}

func (s siteSession) Mechanisms() []sasl.Mechanism {
	return append(append([]sasl.Mechanism(nil), s.Session.Mechanisms()...), s.site.extra...)
}

func (s siteSession) Policy() pop3server.Policy { return s.site.before }

func (s siteSession) Open(ctx context.Context, account string) (maildrop.Box, pop3server.Policy, error) {
	if s.site.open != nil {
		box, err := s.site.open(ctx, account)
		return box, s.site.after, err
	}
	box, _, err := s.Session.Open(ctx, account)
	return box, s.site.after, err
}

// rig is a server on a network in memory, with what it has told its Trace.
type rig struct {
	t      testing.TB
	store  *memdrop.Store
	site   *site
	opt    pop3server.Options
	srv    *pop3server.Server
	lis    *testkit.Listener
	client *tls.Config
	served chan error

	mu     sync.Mutex
	ends   []pop3server.Summary
	logins []pop3server.Login
	faults []error
	sizes  []string
	panics int
}

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000}

// newRig starts a server that change may have changed. It ends with the test.
func newRig(t testing.TB, change func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, store: memdrop.New(), lis: testkit.Listen(), served: make(chan error, 1)}
	r.site = &site{Backend: pop3server.New(accounts{}, r.store)}
	r.opt = pop3server.Options{Backend: r.site, Hostname: "mail.example.org", Trace: r.trace()}
	if change != nil {
		change(r)
	}
	r.srv = pop3server.NewServer(r.opt)
	go func() { r.served <- r.srv.Serve(r.lis) }()
	t.Cleanup(func() {
		r.srv.Close()
		r.srv.Shutdown(context.Background())
		if err := <-r.served; err != pop3server.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return r
}

// withTLS gives the server a certificate, and the test a client's configuration.
func (r *rig) withTLS() {
	certificate, pool := testkit.Certificate(r.t)
	r.opt.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	r.client = &tls.Config{RootCAs: pool, ServerName: "mail.example.org", NextProtos: []string{"pop3"}}
}

func (r *rig) trace() pop3server.Trace {
	locked := func(f func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
	}
	return pop3server.Trace{
		Login:      func(_ pop3server.Peer, l pop3server.Login) { locked(func() { r.logins = append(r.logins, l) }) },
		SessionEnd: func(s pop3server.Summary) { locked(func() { r.ends = append(r.ends, s) }) },
		Fault:      func(_ pop3server.Peer, _ string, err error) { locked(func() { r.faults = append(r.faults, err) }) },
		Panic:      func(pop3server.Peer, any, []byte) { locked(func() { r.panics++ }) },
		SizeMismatch: func(account, uid string, announced, sent int64) {
			locked(func() { r.sizes = append(r.sizes, fmt.Sprint(account, " ", uid, " ", announced, " ", sent)) })
		},
	}
}

// lastEnd is the summary of the session that ended last, once nothing moves.
func (r *rig) lastEnd() pop3server.Summary {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) == 0 {
		return pop3server.Summary{}
	}
	return r.ends[len(r.ends)-1]
}

// deliver puts messages into the maildrop of account, with UIDs u1, u2 and so on.
func (r *rig) deliver(account string, messages ...string) {
	r.t.Helper()
	for i, m := range messages {
		in := maildrop.Incoming{UID: fmt.Sprintf("u%d", i+1)}
		if err := r.store.Deliver(context.Background(), account, in, strings.NewReader(m)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// left are the UIDs in the maildrop of account.
func (r *rig) left(account string) string {
	r.t.Helper()
	box, err := r.store.Open(context.Background(), account)
	if err != nil {
		r.t.Fatalf("opening the maildrop after the session: %v", err)
	}
	defer box.Close()
	var uids []string
	for _, m := range box.Messages() {
		uids = append(uids, m.UID)
	}
	return strings.Join(uids, " ")
}

// dial connects from the address.
func (r *rig) dial(from net.Addr) net.Conn {
	client, server := testkit.Pipe()
	server.From(from)
	r.lis.Give(server)
	return client
}

// talk sends script from loopback in one write and returns everything that
// comes back until the server closes the connection.
func (r *rig) talk(script string) string {
	r.t.Helper()
	return talk(r.t, r.dial(loopback), script)
}

func talk(t testing.TB, c net.Conn, script string) string {
	t.Helper()
	defer c.Close()
	go io.WriteString(c, script)
	all, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%.60q: %v", script, err)
	}
	return string(all)
}

// signs are the status lines of a dialogue without multi-line replies, as + and -.
func signs(replies string) string {
	var b strings.Builder
	for line := range strings.Lines(replies) {
		b.WriteByte(line[0])
	}
	return b.String()
}

const login = "USER alice\r\nPASS secret\r\n"

// duration parses what transcripts say, with d for days.
func duration(t testing.TB, s string) time.Duration {
	t.Helper()
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if err != nil {
			t.Fatal(err)
		}
		return 24 * d
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
