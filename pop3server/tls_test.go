package pop3server_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3server"
)

// stls begins TLS on a fresh connection from elsewhere.
func (r *rig) stls() *tls.Conn {
	r.t.Helper()
	c := r.dial(remote)
	r.send(c, "STLS\r\n")
	r.expect(c, "++")
	t := tls.Client(c, r.client)
	if err := t.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return t
}

// Row 74: octets behind STLS, wherever the segments are cut, are never read as
// commands inside TLS.
func TestSTLSInjection(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"STLS\r\nUSER mallory\r\n", "STLS\r\nC", "STLS\r\n\r\n", "STLS\r\n\x00", "CAPA\r\nSTLS\r\n" + login} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.withTLS() })
			got := r.talk(script)
			if !strings.HasSuffix(got, "-ERR Not possible now\r\n") || strings.Contains(got, "Begin TLS") {
				t.Errorf("%q: %q", script, got)
			}
			if s := r.lastEnd(); s.Reason != pop3server.ReasonInjection {
				t.Errorf("%q: %+v", script, s)
			}
		})
	}
	// Later octets reach the handshake, which they break.
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS() })
		c := r.dial(loopback)
		r.send(c, "STLS\r\n")
		r.expect(c, "++")
		r.send(c, "CAPA\r\nUSER mallory\r\n")
		rest, _ := io.ReadAll(c)
		if strings.Contains(string(rest), "+OK") {
			t.Errorf("got %q", rest)
		}
		if s := r.lastEnd(); s.Reason != pop3server.ReasonHandshake {
			t.Errorf("summary %+v", s)
		}
	})
}

// Row 75: nothing that was said in clear is known inside TLS.
func TestSTLSForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS(); r.opt.StrictUTF8 = true })
		r.deliver("alice", "Subject: größe\n\n")
		c := r.dial(loopback)
		r.send(c, "USER alice\r\nUTF8\r\nLANG fr\r\nSTLS\r\n")
		r.expect(c, "+++++")
		s := tls.Client(c, r.client)
		got := talk(t, s, "PASS secret\r\n"+login+"RETR 1\r\nQUIT\r\n")
		if signs(got) != "-++-+" || !strings.Contains(got, "USER must come first") || !strings.Contains(got, "[UTF8]") {
			t.Errorf("got %q", got)
		}
	})
}

// Row 77: from elsewhere no password is taken in clear, and inside TLS it is.
func TestClearTextPolicy(t *testing.T) {
	t.Parallel()
	unix := &net.UnixAddr{Name: "@", Net: "unix"}
	six := &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 1}
	for name, c := range map[string]struct {
		from     net.Addr
		insecure bool
		want     string
	}{
		"loopback":         {loopback, false, "++++"},
		"mapped loopback":  {six, false, "++++"},
		"unix":             {unix, false, "++++"},
		"remote":           {remote, false, "+--+"},
		"remote, insecure": {remote, true, "++++"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.opt.InsecureAuth = c.insecure })
			if got := talk(t, r.dial(c.from), login+"QUIT\r\n"); signs(got) != c.want {
				t.Errorf("%s: %q", name, got)
			}
			if c.want == "+--+" && len(r.logins) > 0 {
				t.Errorf("%s: the password was tried", name)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS() })
		if got := talk(t, r.stls(), login+"QUIT\r\n"); signs(got) != "+++" {
			t.Errorf("inside TLS: %q", got)
		}
		if l := r.logins[0]; !l.TLS || l.User != "alice" || l.Err != nil {
			t.Errorf("login %+v", l)
		}
	})
}

// Row 79: a client of another protocol is turned away in the handshake, and
// HTTP inside TLS without a word.
func TestALPN(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		offer []string
		want  string // part of the error; empty: none
	}{
		"pop3":         {[]string{"pop3"}, ""},
		"none":         {nil, ""},
		"among others": {[]string{"imap", "pop3"}, ""},
		"http":         {[]string{"http/1.1"}, "no application protocol"},
		"h2":           {[]string{"h2", "http/1.1"}, "no application protocol"},
		"ftp and smtp": {[]string{"ftp", "smtp"}, "no application protocol"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Implicit = true })
			r.client.NextProtos = c.offer
			s := tls.Client(r.dial(remote), r.client)
			defer s.Close()
			err := s.Handshake()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Implicit = true })
		r.client.NextProtos = nil
		s := tls.Client(r.dial(remote), r.client)
		got := talk(t, s, "GET /zZqQ HTTP/1.1\r\nHost: zZqQ\r\n\r\n")
		if signs(got) != "+" || strings.Contains(got, "zZqQ") {
			t.Errorf("got %q", got)
		}
	})
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Implicit = true })
			r.client.MinVersion, r.client.MaxVersion = version, version
			s := tls.Client(r.dial(remote), r.client)
			defer s.Close()
			err := s.Handshake()
			if version < tls.VersionTLS12 {
				if err == nil {
					t.Errorf("TLS version %x was taken", version)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := talk(t, s, "STLS\r\n"+login+"QUIT\r\n"); signs(got) != "+-+++" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Row 65: a handshake has a deadline of its own.
func TestHandshakeDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS() })
		c := r.dial(remote)
		r.send(c, "STLS\r\n")
		r.expect(c, "++")
		began := time.Now()
		io.Copy(io.Discard, c)
		if d := time.Since(began).Round(time.Second); d != 15*time.Second {
			t.Errorf("the handshake lasted %v", d)
		}
	})
}

// Row 54: certificates change while the server runs, by either callback, and
// what the site gives is hardened all the same.
func TestCertificateSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[tls.Config]
		pools := make(map[string]*tls.Config)
		for _, name := range []string{"old.example.org", "new.example.org"} {
			certificate, pool := testkit.Certificate(t, name)
			pools[name] = &tls.Config{RootCAs: pool, ServerName: name, NextProtos: []string{"pop3"}}
			current.Store(&tls.Config{Certificates: []tls.Certificate{certificate}})
		}
		swapped := current.Load()
		r := newRig(t, func(r *rig) {
			certificate, pool := testkit.Certificate(t, "old.example.org")
			pools["old.example.org"].RootCAs = pool
			current.Store(&tls.Config{Certificates: []tls.Certificate{certificate}})
			r.opt.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil }}
			r.opt.Implicit = true
		})
		for _, name := range []string{"old.example.org", "old.example.org", "new.example.org", "new.example.org"} {
			if name == "new.example.org" {
				current.Store(swapped)
			}
			s := tls.Client(r.dial(remote), pools[name])
			if got := talk(t, s, "QUIT\r\n"); signs(got) != "++" {
				t.Errorf("%s: %q", name, got)
			}
			if s.ConnectionState().NegotiatedProtocol != "pop3" {
				t.Errorf("%s: ALPN is not answered", name)
			}
		}
	})
}

// Row 66: names that the server does not know get its certificate, and absurd
// ones an error; a client that wants to renegotiate gets none.
func TestServerNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Implicit = true })
		want := r.opt.TLS.Certificates[0].Leaf
		for i := range 100 {
			name := strings.Repeat("x", i*2) + ".example.net"
			c := &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Renegotiation: tls.RenegotiateFreelyAsClient}
			s := tls.Client(r.dial(remote), c)
			if err := s.Handshake(); err != nil {
				t.Fatalf("%d octets of name: %v", len(name), err)
			}
			if got := s.ConnectionState().PeerCertificates[0]; !got.Equal(want) {
				t.Errorf("%d octets of name: another certificate", len(name))
			}
			if got := talk(t, s, "QUIT\r\n"); signs(got) != "++" {
				t.Errorf("%d octets of name: %q", len(name), got)
			}
		}
	})
}

// A session that was resumed is served as any other.
func TestResumption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS(); r.opt.Implicit = true })
		r.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 2 {
			s := tls.Client(r.dial(remote), r.client)
			if got := talk(t, s, login+"QUIT\r\n"); signs(got) != "++++" {
				t.Errorf("got %q", got)
			}
			if resumed := s.ConnectionState().DidResume; resumed != (i == 1) {
				t.Errorf("connection %d: resumed %v", i, resumed)
			}
		}
	})
}

// The end of a session inside TLS is told, so that a client can tell it from a cut.
func TestCloseNotify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.withTLS() })
		s := r.stls()
		defer s.Close()
		r.send(s, "QUIT\r\n")
		in := bufio.NewReader(s)
		if line, err := in.ReadString('\n'); err != nil || line != "+OK Goodbye\r\n" {
			t.Errorf("got %q, %v", line, err)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("the connection ends in %v, not in close_notify", err)
		}
	})
}
