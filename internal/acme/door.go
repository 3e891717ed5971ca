package acme

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Bounds of what comes from the network: the authority looks from a handful of
// places, and is quick.
const (
	maxVisitors  = 64
	visitTimeout = 10 * time.Second
	maxHeader    = 8 << 10
	acceptPause  = 100 * time.Millisecond
)

// alpn is the protocol of the challenge (RFC 8737 §6.2).
const alpn = "acme-tls/1"

// door answers the authority at its listener, and nobody else.
type door struct {
	listener net.Listener
	serve    func(net.Listener)
	done     sync.WaitGroup
}

func newDoor(o Options, magic *certmagic.Config, issuer *certmagic.ACMEIssuer) *door {
	d := &door{listener: bound(o.Listener)}
	if o.Challenge == HTTP {
		d.serve = serveHTTP(issuer.HTTPChallengeHandler(http.NotFoundHandler()))
	} else {
		d.serve = serveTLS(challengeConfig(magic.GetCertificate))
	}
	return d
}

// open lets visitors in until ctx ends.
func (d *door) open(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = d.listener.Close() })
	d.done.Go(func() {
		defer stop()
		d.serve(d.listener)
	})
}

// close waits until the last visitor has gone.
func (d *door) close() error {
	err := d.listener.Close()
	d.done.Wait()
	return err
}

func serveHTTP(h http.Handler) func(net.Listener) {
	return func(l net.Listener) {
		s := &http.Server{
			Handler: h, ReadTimeout: visitTimeout, WriteTimeout: visitTimeout, IdleTimeout: visitTimeout,
			MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0),
		}
		s.SetKeepAlivesEnabled(false)
		_ = s.Serve(l) // ends when the listener is closed
	}
}

// challengeConfig answers hands that ask for the challenge's protocol alone.
func challengeConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpn}, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !slices.Equal(hello.SupportedProtos, []string{alpn}) {
				return nil, errNotOurs
			}
			return get(hello)
		},
	}
}

// serveTLS ends each connection with its handshake (RFC 8737 §3).
func serveTLS(c *tls.Config) func(net.Listener) {
	return func(l net.Listener) {
		var visitors sync.WaitGroup
		defer visitors.Wait()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			visitors.Go(func() {
				defer conn.Close()
				_ = tls.Server(conn, c).Handshake() // within the visit's deadline
			})
		}
	}
}

// bounded is a listener whose connections are few and short.
type bounded struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func bound(l net.Listener) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, maxVisitors), closed: make(chan struct{})}
}

// Accept closes visitors that are too many. It waits out what is over soon,
// such as a lack of descriptors.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			select {
			case <-b.closed:
				return nil, err
			case <-time.After(acceptPause):
				continue
			}
		}
		select {
		case b.places <- struct{}{}:
			_ = conn.SetDeadline(time.Now().Add(visitTimeout))
			return &visit{Conn: conn, of: b}, nil
		default:
			_ = conn.Close()
		}
	}
}

// Close may be called more than once.
func (b *bounded) Close() (err error) {
	b.once.Do(func() {
		close(b.closed)
		err = b.Listener.Close()
	})
	return err
}

// visit gives its place back when it is closed.
type visit struct {
	net.Conn
	of   *bounded
	gone sync.Once
}

// Close may be called more than once.
func (v *visit) Close() error {
	v.gone.Do(func() { <-v.of.places })
	return v.Conn.Close()
}
