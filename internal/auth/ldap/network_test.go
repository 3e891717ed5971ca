package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/sasl"
)

func rightLogin() sasl.Login { return sasl.Login{User: "alice", Password: userPassword} }

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	d := &directory{entries: people()}
	s := open(t, d, searching())
	for range 5 {
		if _, err := s.Authenticate(t.Context(), rightLogin()); err != nil {
			t.Fatal(err)
		}
	}
	if d.dials != 2 {
		t.Errorf("%d connections, not one to search and one to bind", d.dials)
	}
	services := slices.DeleteFunc(d.asked(), func(s string) bool { return s != "bind "+serviceDN })
	if len(services) != 1 {
		t.Errorf("the service signed in %d times", len(services))
	}
}

func TestServerBegunAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{entries: people()}
		s := open(t, d, searching())
		check := func(want string) {
			t.Helper()
			_, err := s.Authenticate(t.Context(), rightLogin())
			if kindOf(err) != want {
				t.Errorf("%v, not %s", err, want)
			}
			_, err = s.Authenticate(t.Context(), sasl.Login{User: "alice", Password: wrongPassword})
			if want == fine && kindOf(err) != refused || want == outage && kindOf(err) != outage {
				t.Errorf("wrong password: %v", err)
			}
		}
		check(fine)
		d.stop(false) // between two questions
		check(fine)
		d.stop(true)
		check(outage)
		before := d.dials
		check(outage)
		if d.dials != before {
			t.Error("a server that has just failed was asked again at once")
		}
		d.stop(false)
		time.Sleep(maxRest + time.Millisecond)
		check(fine)
	})
}

// The rest grows, and is short all the same.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		for _, want := range []time.Duration{firstRest, 2 * firstRest, 4 * firstRest, 8 * firstRest, maxRest, maxRest, maxRest, maxRest, maxRest, maxRest} {
			s.failed(errDown)
			s.failed(errDown) // somebody else's
			time.Sleep(want)
			if s.resting() == nil {
				t.Errorf("rests less than %v", want)
			}
			time.Sleep(time.Millisecond)
			if s.resting() != nil {
				t.Errorf("rests more than %v", want)
			}
		}
		s.answered()
		s.failed(errDown)
		time.Sleep(firstRest + time.Millisecond)
		if s.resting() != nil {
			t.Error("an answer does not count")
		}
	})
}

// pair is two servers.
type pair struct{ first, second *directory }

func (p pair) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if strings.HasPrefix(addr, "/first") {
		return p.first.dial(ctx, network, addr)
	}
	return p.second.dial(ctx, network, addr)
}

func TestSecondServer(t *testing.T) {
	t.Parallel()
	busy := func(op *ber.Packet) []byte {
		if op.Tag == ldap.ApplicationBindRequest {
			return nil
		}
		return message(2, outcome(ldap.ApplicationSearchResultDone, ldap.LDAPResultBusy))
	}
	for about, spoil := range map[string]func(*directory){
		"down":    func(d *directory) { d.down = true },
		"hanging": func(d *directory) { d.answer = func(*ber.Packet) []byte { return []byte("\x30") } },
		"busy":    func(d *directory) { d.answer = busy },
		"hangs up": func(d *directory) {
			d.answer = func(*ber.Packet) []byte { return []byte{} }
		},
		"garbage": func(d *directory) { d.answer = func(*ber.Packet) []byte { return []byte("HTTP/1.1 400 Bad\r\n\r\n") } },
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pair{&directory{}, &directory{entries: people()}}
				spoil(p.first)
				o := searching()
				o.URLs = []string{"ldapi:///first", "ldapi:///second"}
				s, err := newSource(o, p.dial)
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				account, err := s.Authenticate(t.Context(), rightLogin())
				if account != "alice" || err != nil {
					t.Errorf("%q, %v", account, err)
				}
				if took := time.Since(begin); took > s.o.Timeout {
					t.Errorf("took %v", took)
				}
				s.Close()
				p.first.stop(true)
				p.second.stop(true)
			})
		})
	}
}

// A server that takes connections and says nothing is an outage in time, and
// nobody waits for longer than they want.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	for about, change := range map[string]func(*Options){
		"bind of the service": func(o *Options) {},
		"search":              func(o *Options) { o.BindDN = "" },
		"StartTLS":            func(o *Options) { o.URLs = []string{"ldap://mail.example.org"} },
		"TLS":                 func(o *Options) { o.URLs = []string{"ldaps://mail.example.org"} },
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := searching()
				change(&o)
				o.Timeout = 6 * time.Second
				var conns []net.Conn
				s, err := newSource(o, func(context.Context, string, string) (net.Conn, error) {
					c, server := testkit.Pipe()
					conns = append(conns, server)
					return c, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				_, err = s.Authenticate(t.Context(), rightLogin())
				if took := time.Since(begin); kindOf(err) != outage || took > o.Timeout {
					t.Errorf("%v after %v", err, took)
				}
				time.Sleep(maxRest + time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begin = time.Now()
				_, err = s.Lookup(ctx, "alice")
				if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
					t.Errorf("%v after %v", err, took)
				}
				if s.searches.servers[0].resting() != nil {
					t.Error("that a client went away counts against the server")
				}
				s.Close()
				for _, c := range conns {
					c.Close()
				}
			})
		})
	}
}

// More than there are connections wait, and not for ever.
func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{entries: people()}
		o := searching()
		o.Connections = 2
		s := open(t, d, o)
		gate := make(chan struct{})
		d.answer = func(*ber.Packet) []byte {
			<-gate
			return nil
		}
		var g sync.WaitGroup
		for range 10 {
			g.Go(func() {
				if _, err := s.Lookup(t.Context(), "alice"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if d.dials != 2 {
			t.Errorf("%d connections", d.dials)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Lookup(ctx, "alice"); !errors.Is(err, sasl.ErrBusy) {
			t.Error(err)
		}
		close(gate)
		g.Wait()
		if d.dials != 2 {
			t.Errorf("%d connections", d.dials)
		}
		s.Close()
		if _, err := s.Lookup(t.Context(), "alice"); !errors.Is(err, errClosed) {
			t.Error(err)
		}
	})
}

// One connection that is no good is enough to give up all that lie there.
func TestManyConnectionsAreNoGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{entries: people()}
		s := open(t, d, searching())
		gate := make(chan struct{})
		d.answer = func(*ber.Packet) []byte {
			<-gate
			return nil
		}
		var g sync.WaitGroup
		for range 5 {
			g.Go(func() { s.Lookup(t.Context(), "alice") })
		}
		synctest.Wait()
		close(gate)
		g.Wait()
		fresh := false
		d.mu.Lock()
		d.answer = func(op *ber.Packet) []byte {
			fresh = fresh || op.Tag == ldap.ApplicationBindRequest
			if !fresh {
				return []byte{}
			}
			return nil
		}
		d.mu.Unlock()
		if _, err := s.Lookup(t.Context(), "alice"); err != nil || d.dials != 6 {
			t.Errorf("%v, %d connections", err, d.dials)
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{entries: people()}
		s := open(t, d, searching())
		for i := range 3 {
			if _, err := s.Lookup(t.Context(), "alice"); err != nil || d.dials != i+1 {
				t.Errorf("%v, %d connections", err, d.dials)
			}
			time.Sleep(maxIdle)
		}
	})
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	certificate, pool := testkit.Certificate(t)
	serverTLS := &tls.Config{Certificates: []tls.Certificate{certificate}}
	o := searching()
	o.URLs = []string{"ldap://mail.example.org"}
	o.TLS = &tls.Config{RootCAs: pool}
	other := o
	other.TLS = nil
	plain := o
	plain.Plaintext = true
	ok := string(message(1, outcome(ldap.ApplicationExtendedResponse, 0)))
	for _, test := range []struct {
		about string
		o     Options
		d     *directory
		kind  string
		asked string
	}{
		{"good", o, &directory{tls: serverTLS}, fine, "starttls"},
		{"not trusted", other, &directory{tls: serverTLS}, outage, "starttls"},
		{"refused", o, &directory{}, outage, "starttls"},
		{"told otherwise", plain, &directory{}, fine, "bind " + serviceDN},
		{"octets behind the answer", o, &directory{answer: func(op *ber.Packet) []byte {
			return []byte(ok + string(message(2, outcome(ldap.ApplicationBindResponse, 0))))
		}}, outage, ""},
	} {
		t.Run(test.about, func(t *testing.T) {
			t.Parallel()
			test.d.entries = people()
			s := open(t, test.d, test.o)
			_, err := s.Authenticate(t.Context(), rightLogin())
			quiet(t, err)
			if kindOf(err) != test.kind {
				t.Error(err)
			}
			asked := test.d.asked()
			if test.asked != "" && (len(asked) == 0 || asked[0] != test.asked) {
				t.Errorf("asked %q first", asked)
			}
			if test.about == "refused" && !strings.Contains(err.Error(), "Unwilling") {
				t.Errorf("the server's refusal is lost: %v", err)
			}
			if test.kind == outage && slices.ContainsFunc(asked, func(s string) bool { return strings.HasPrefix(s, "bind") }) {
				t.Error("a password was sent")
			}
		})
	}
}
