package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// How long a server that has failed is left alone: at first, and at most.
const (
	firstRest = 250 * time.Millisecond
	maxRest   = 4 * time.Second
)

// dialFunc connects to a server.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func dialer(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// server is one of Options.URLs.
type server struct {
	url           string
	network, addr string
	tls           *tls.Config // nil: none
	start         bool        // TLS begins by StartTLS
	dial          dialFunc

	mu    sync.Mutex
	fails int // in a row
	until time.Time
	err   error // why it was left alone last
}

// servers reads the URLs.
func (o *Options) servers(dial dialFunc) ([]*server, error) {
	var list []*server
	for _, u := range o.URLs {
		s, err := o.server(u)
		if err != nil {
			return nil, fmt.Errorf("ldap: URL %q: %w", u, err)
		}
		s.dial = dial
		list = append(list, s)
	}
	return list, nil
}

func (o *Options) server(text string) (*server, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme == "ldapi" {
		path, err := url.PathUnescape(rest)
		if err != nil || !strings.HasPrefix(path, "/") {
			return nil, errors.New("it is not ldapi:// and the path of a Unix socket")
		}
		return &server{url: text, network: "unix", addr: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("it is not ldaps:// or ldap://, a host, and perhaps a port")
	}
	s := &server{url: text, network: "tcp"}
	port := "389"
	switch {
	case scheme == "ldaps":
		port, s.tls = "636", o.clientTLS(u.Hostname())
	case scheme == "ldap" && !o.Plaintext:
		s.tls, s.start = o.clientTLS(u.Hostname()), true
	case scheme != "ldap":
		return nil, errors.New("it is neither ldaps, ldap nor ldapi")
	}
	s.addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	return s, nil
}

func (o *Options) clientTLS(host string) *tls.Config {
	c := o.TLS.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.ServerName = cmp.Or(c.ServerName, host)
	return c
}

// connect makes a connection with TLS where it belongs.
func (s *server) connect(ctx context.Context) (*conn, error) {
	raw, err := s.dial(ctx, s.network, s.addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	secured, err := s.secure(ctx, raw)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	b := &bounded{Conn: secured}
	b.left.Store(maxAnswer)
	c := &conn{raw: raw, answer: b, ldap: ldap.NewConn(b, s.tls != nil), server: s}
	c.ldap.Start()
	return c, nil
}

func (s *server) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s.tls == nil {
		return raw, nil
	}
	if s.start {
		if err := startTLS(raw); err != nil {
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	c := tls.Client(raw, s.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}

// resting gives the error of the last failure if the server is to be left
// alone still.
func (s *server) resting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || time.Now().After(s.until) {
		return nil
	}
	return s.err
}

func (s *server) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.until) { // else somebody else has noticed the same
		s.until = now.Add(min(firstRest<<min(s.fails, 8), maxRest))
		s.fails++
	}
	s.err = err
}

// lastError is why the server was left alone, unless it has answered since.
func (s *server) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *server) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.err, s.until = 0, nil, time.Time{}
}
