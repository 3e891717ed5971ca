package acme

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// safe is a buffer for several writers.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// rig is a manager and its authority.
type rig struct {
	*Manager
	zone   string
	ca     *authority
	o      Options
	log    *safe
	events chan string
}

func newRig(t *testing.T, c Challenge, change func(*Options, *authority)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The library keeps the challenges of a process by host: no two tests have
	// the same ones.
	zone := fmt.Sprintf("p%d.example.org", l.Addr().(*net.TCPAddr).Port)
	r := &rig{zone: zone, ca: newAuthority(t, l.Addr().String()), log: &safe{}, events: make(chan string, 100)}
	r.o = Options{
		Hosts: []string{"mail." + zone, "pop." + zone}, Email: "postmaster@example.org", Agree: true,
		Directory: r.ca.URL + "/directory", Roots: r.ca.roots(), Challenge: c, Listener: l, Dir: filepath.Join(t.TempDir(), "acme"),
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Report: func(host string, err error) {
			if err != nil {
				r.events <- "failed " + host
				return
			}
			r.events <- host
		},
	}
	if change != nil {
		change(&r.o, r.ca)
	}
	r.start(t)
	return r
}

func (r *rig) start(t *testing.T) {
	t.Helper()
	m, err := New(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Manager = m
	t.Cleanup(func() { _ = m.Close() })
	if err := m.Manage(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// wait waits for events in any order.
func (r *rig) wait(t *testing.T, want ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, w := range want {
		missing[w] = true
	}
	for late := time.After(30 * time.Second); len(missing) > 0; {
		select {
		case e := <-r.events:
			if !missing[e] {
				t.Fatalf("unexpected: %s\n%s", e, r.log)
			}
			delete(missing, e)
		case <-late:
			t.Fatalf("missing: %v; %v\n%s", missing, r.ca.why, r.log)
		}
	}
}

// shown is the certificate that a client gets, or nil.
func (r *rig) shown(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		_ = tls.Server(b, &tls.Config{GetCertificate: r.GetCertificate}).Handshake()
		_ = b.Close()
	}()
	client := tls.Client(a, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if client.Handshake() != nil {
		return nil
	}
	return client.ConnectionState().PeerCertificates[0]
}

func TestManage(t *testing.T) {
	t.Parallel()
	for _, c := range []Challenge{TLSALPN, HTTP} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c, nil)
			r.wait(t, r.o.Hosts...)
			for name, want := range map[string]string{
				"mail." + r.zone: r.o.Hosts[0], "POP." + r.zone: r.o.Hosts[1], "": r.o.Hosts[0], "x." + r.zone: "",
			} {
				cert := r.shown(t, name)
				if want == "" != (cert == nil) || cert != nil && cert.Subject.CommonName != want {
					t.Errorf("%q: got %v", name, cert)
				}
			}
			first := r.shown(t, "mail."+r.zone)
			checkModes(t, r.o.Dir)
			// What is in the directory is not asked for again.
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r.ca.Close()
			r.o.Listener = relisten(t, r.ca.address)
			r.start(t)
			r.wait(t, r.o.Hosts...)
			if again := r.shown(t, "mail."+r.zone); again == nil || !again.Equal(first) {
				t.Error("after a restart there is another certificate")
			}
		})
	}
}

func relisten(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// checkModes makes sure that others can read nothing.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return nil
	})
	if err != nil || keys < 3 { // two hosts and the account
		t.Errorf("%d keys, %v", keys, err)
	}
}

func TestReconfigure(t *testing.T) {
	t.Parallel()
	r := newRig(t, HTTP, func(o *Options, _ *authority) { o.RSA = true })
	r.wait(t, r.o.Hosts...)
	stays := r.shown(t, "pop."+r.zone)
	if _, ok := stays.PublicKey.(*rsa.PublicKey); !ok {
		t.Errorf("the key is a %T", stays.PublicKey)
	}
	if err := r.Reconfigure(context.Background(), []string{"*.example.org"}); err == nil {
		t.Error("a wildcard is taken")
	}
	if r.shown(t, "mail."+r.zone) == nil {
		t.Error("after an error something has changed")
	}
	if err := r.Reconfigure(context.Background(), []string{"new." + r.zone, r.o.Hosts[1]}); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "new."+r.zone)
	if r.shown(t, "mail."+r.zone) != nil || r.shown(t, "").Subject.CommonName != "new."+r.zone || !r.shown(t, "pop."+r.zone).Equal(stays) {
		t.Error("the hosts are not those of the configuration")
	}
}

// An authority that cannot find us gives nothing, and is told so once and again.
func TestFailedChallenge(t *testing.T) {
	t.Parallel()
	r := newRig(t, TLSALPN, func(o *Options, a *authority) {
		o.Hosts = o.Hosts[:1]
		a.address = "127.0.0.1:1"
	})
	r.wait(t, "failed mail."+r.zone)
	if r.shown(t, "mail."+r.zone) != nil {
		t.Error("there is a certificate")
	}
	if !strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("the log: %s", r.log)
	}
}

// The account is bound to the one that the authority knows; its key is in no
// log.
func TestExternalAccount(t *testing.T) {
	t.Parallel()
	const canary = "Q0FOQVJZLUNBTkFSWS1DQU5BUlk"
	r := newRig(t, HTTP, func(o *Options, a *authority) {
		o.Hosts = o.Hosts[:1]
		o.EAB = &EAB{KeyID: "kid-1", Key: canary}
		a.wantEAB = true
	})
	r.wait(t, "mail."+r.zone)
	r.ca.mu.Lock()
	defer r.ca.mu.Unlock()
	if r.ca.eab != "kid-1" {
		t.Errorf("bound to %q", r.ca.eab)
	}
	for _, text := range []string{r.log.String(), fmt.Sprintf("%v %+v %#v %v", *r.o.EAB, *r.o.EAB, *r.o.EAB, r.o.EAB)} {
		if strings.Contains(text, canary) || strings.Contains(text, "PRIVATE KEY") {
			t.Error("a key is told")
		}
	}
	if !strings.Contains(r.log.String(), "certificate obtained") {
		t.Errorf("the log: %s", r.log)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	l := relisten(t, "127.0.0.1:0")
	defer l.Close()
	good := Options{Hosts: []string{"mail.example.org"}, Agree: true, Challenge: HTTP, Listener: l, Dir: filepath.Join(t.TempDir(), "acme"), Log: slog.New(slog.DiscardHandler)}
	for want, change := range map[string]func(*Options){
		"hosts: 0":    func(o *Options) { o.Hosts = nil },
		"wildcard":    func(o *Options) { o.Hosts = []string{"*.example.org"} },
		"address":     func(o *Options) { o.Hosts = []string{"192.0.2.1"} },
		"full host":   func(o *Options) { o.Hosts = []string{"localhost"} },
		"xn--":        func(o *Options) { o.Hosts = []string{"bücher.example"} },
		"small":       func(o *Options) { o.Hosts = []string{"Mail.example.org"} },
		"no host":     func(o *Options) { o.Hosts = []string{"mail..example.org"} },
		"hyphens":     func(o *Options) { o.Hosts = []string{"mail/../.example.org"} },
		"twice":       func(o *Options) { o.Hosts = []string{"a.example", "a.example"} },
		"agree":       func(o *Options) { o.Agree = false },
		"challenge":   func(o *Options) { o.Challenge = "dns-01" },
		"https URL":   func(o *Options) { o.Directory = "http://ca.example.org/" },
		"eab":         func(o *Options) { o.EAB = &EAB{KeyID: "x"} },
		"a directory": func(o *Options) { o.Dir = "" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	open := good
	open.Dir = filepath.Join(t.TempDir(), "open")
	if err := os.MkdirAll(open.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(open); err == nil || !strings.Contains(err.Error(), "chmod 0700 "+open.Dir) {
		t.Errorf("an open directory: %v", err)
	}
	m, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
