// Package acme gets certificates from an authority that speaks ACME (RFC 8555),
// such as Let's Encrypt, and renews them before they expire.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// LetsEncrypt is the directory that is used where none is named.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// Challenge is how the authority is shown who has a name.
type Challenge string

// The challenges. The authority comes to port 443 of the name for the first and
// to port 80 for the second, whatever port is served here.
const (
	TLSALPN Challenge = "tls-alpn-01" // RFC 8737
	HTTP    Challenge = "http-01"     // RFC 8555 §8.3
)

// EAB ties the account to one that the authority knows already (RFC 8555
// §7.3.4).
type EAB struct {
	KeyID string
	Key   string // base64url, as the authority gives it
}

// String does not give the key away.
func (e EAB) String() string { return "EAB of " + e.KeyID }

// GoString does not either.
func (e EAB) GoString() string { return e.String() }

// Options says which certificates there are to be.
type Options struct {
	// Hosts are the names to have certificates for, one for each. A client that
	// asks for no name gets the first one's.
	Hosts []string
	// Email is where the authority may write to about the account. It may be
	// empty.
	Email string
	// Directory is the URL of the authority. Empty: LetsEncrypt.
	Directory string
	// Agree says that the operator agrees to the authority's terms. It is
	// required.
	Agree bool
	// Challenge is TLSALPN or HTTP.
	Challenge Challenge
	// Listener is where the authority comes to. New takes it, Close closes it.
	// Nothing else is served there.
	Listener net.Listener
	// Dir keeps the account, the keys and the certificates. It is made with
	// mode 0700, and must have no more where it is there.
	Dir string
	// Roots are the authorities whose certificates Directory may have; for
	// those of tests and of companies. Nil: the system's.
	Roots *x509.CertPool
	// EAB: nil where the authority wants none.
	EAB *EAB
	// RSA makes RSA keys of 2048 bits, for old clients, and not ECDSA P-256.
	RSA bool
	// Log is told what happens.
	Log *slog.Logger
	// Report is told of each certificate that is in use from now on, and of each
	// that could not be got or renewed, which is tried again after a growing
	// while. It must not block. Nil: nobody is told.
	Report func(host string, err error)
}

// Manager keeps certificates.
type Manager struct {
	options Options
	cache   *certmagic.Cache
	magic   *certmagic.Config
	door    *door

	cancel  context.CancelFunc
	closing sync.Once

	mu    sync.RWMutex
	hosts []string
	stop  map[string]context.CancelFunc // by host
}

// New makes a manager that has done nothing yet. Its errors are about options.
func New(o Options) (*Manager, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := private(o.Dir); err != nil {
		return nil, err
	}
	host, port, err := splitAddr(o.Listener.Addr())
	if err != nil {
		return nil, err
	}
	m := &Manager{options: o, hosts: slices.Clone(o.Hosts), stop: make(map[string]context.CancelFunc)}
	log := zap.New(core{o.Log})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		Logger:           log,
	})
	kind := certmagic.P256
	if o.RSA {
		kind = certmagic.RSA2048
	}
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage:   &certmagic.FileStorage{Path: o.Dir},
		KeySource: certmagic.StandardKeyGenerator{KeyType: kind},
		Logger:    log,
		OnEvent:   m.event,
	})
	template := certmagic.ACMEIssuer{
		CA: o.Directory, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: log,
		DisableHTTPChallenge: o.Challenge != HTTP, DisableTLSALPNChallenge: o.Challenge != TLSALPN,
		// Where it finds the port taken it leaves the answers to who has it,
		// which is the door: its own servers have no deadlines.
		ListenHost: host, AltHTTPPort: port, AltTLSALPNPort: port,
	}
	if template.CA == "" {
		template.CA = LetsEncrypt
	}
	if o.EAB != nil {
		template.ExternalAccount = &acme.EAB{KeyID: o.EAB.KeyID, MACKey: o.EAB.Key}
	}
	issuer := certmagic.NewACMEIssuer(m.magic, template)
	m.magic.Issuers = []certmagic.Issuer{issuer}
	m.door = newDoor(o, m.magic, issuer)
	return m, nil
}

// splitAddr gives what a listener's address is made of.
func splitAddr(a net.Addr) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(a.String())
	if err == nil {
		port, err = strconv.Atoi(digits)
	}
	if err != nil {
		return "", 0, fmt.Errorf("acme: %s %s is no address that an authority can come to", a.Network(), a)
	}
	return host, port, nil
}

// private makes the directory, or makes sure that it is the server's alone.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("acme: %s is to hold private keys and others may enter it (mode %04o): chmod 0700 %[1]s", dir, info.Mode().Perm())
	}
	return nil
}

// Manage begins: it lets the authority in, loads what is in the directory, and
// gets what is not there or is about to expire. It does not wait for that; what
// fails is tried again, until ctx ends or Close is called. Call it once.
func (m *Manager) Manage(ctx context.Context) error {
	ctx, m.cancel = context.WithCancel(ctx)
	m.door.open(ctx)
	return m.manage(ctx, m.options.Hosts)
}

// Reconfigure changes the hosts; ctx is as for Manage, which must have been
// called. Hosts that stay are not disturbed. After an error nothing has changed.
func (m *Manager) Reconfigure(ctx context.Context, hosts []string) error {
	o := m.options
	o.Hosts = hosts
	if err := o.check(); err != nil {
		return err
	}
	m.mu.Lock()
	var gone []certmagic.SubjectIssuer
	for host, stop := range m.stop {
		if !slices.Contains(hosts, host) {
			stop()
			delete(m.stop, host)
			gone = append(gone, certmagic.SubjectIssuer{Subject: host})
		}
	}
	m.mu.Unlock()
	m.cache.RemoveManaged(gone)
	return m.manage(ctx, hosts)
}

// manage begins with those of the hosts that are new.
func (m *Manager) manage(ctx context.Context, hosts []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts = slices.Clone(hosts)
	for _, host := range hosts {
		if m.stop[host] != nil {
			continue
		}
		one, stop := context.WithCancel(ctx)
		m.stop[host] = stop
		if err := m.magic.ManageAsync(one, []string{host}); err != nil {
			return fmt.Errorf("acme: %w", err)
		}
	}
	return nil
}

// GetCertificate gives the certificate for the name that a client asks for, or
// for the first host if it asks for none. It fails for names that are not among
// the hosts, and where there is no certificate yet.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.RLock()
	hosts := m.hosts
	m.mu.RUnlock()
	asked := *hello
	asked.ServerName = lower(hello.ServerName)
	if asked.ServerName == "" {
		asked.ServerName = hosts[0]
	}
	if !slices.Contains(hosts, asked.ServerName) {
		return nil, errNotOurs
	}
	return m.magic.GetCertificate(&asked)
}

// errNotOurs is not for eyes: it makes the server show another certificate.
var errNotOurs = errors.New("acme: the name is not among the hosts")

// event is told what the library does.
func (m *Manager) event(_ context.Context, name string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	switch name {
	case "cert_obtained":
		m.options.Log.Info("acme", "event", "certificate obtained", "host", host)
		if renewal, _ := data["renewal"].(bool); renewal {
			m.report(host, nil)
		}
	case "cached_managed_cert":
		hosts, _ := data["sans"].([]string)
		for _, host := range hosts {
			m.report(host, nil)
		}
	case "cert_failed":
		err, _ := data["error"].(error) // the library logs it
		m.report(host, fmt.Errorf("acme: %s: %w", host, err))
	}
	return nil
}

func (m *Manager) report(host string, err error) {
	if m.options.Report != nil {
		m.options.Report(host, err)
	}
}

// Close lets the authority in no more and stops renewing. What is under way is
// given up. It may be called more than once.
func (m *Manager) Close() (err error) {
	m.closing.Do(func() {
		m.mu.Lock()
		for _, stop := range m.stop {
			stop()
		}
		m.mu.Unlock()
		if m.cancel != nil {
			m.cancel()
		}
		err = m.door.close()
		m.cache.Stop()
	})
	return err
}
