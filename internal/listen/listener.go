// Package listen opens sockets and decorates listeners: systemd's sockets,
// PROXY headers, limits for each address, and certificates that can be
// exchanged while they are in use.
package listen

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// Reasons why a connection is refused.
var (
	ErrNotAllowed = errors.New("listen: address is not allowed here")
	ErrTooMany    = errors.New("listen: too many connections")
	ErrAddress    = errors.New("listen: too many connections from this address")
)

// headerTimeout is how long a proxy may take for its header, in all.
const headerTimeout = 10 * time.Second

// Options say who may connect.
type Options struct {
	// ProxyFrom holds the networks whose connections begin with a PROXY
	// header (version 1 or 2). Without one they are closed. What others send
	// is never taken for a header.
	ProxyFrom []netip.Prefix
	// Allow holds the networks of the clients that may connect; nil means
	// everybody. Of a proxied connection the client's address is what counts.
	Allow []netip.Prefix
	// Limiter bounds the connections. Listeners may share one. Nil: no bound.
	Limiter *Limiter
	// Refused is told of connections that Accept has closed, and why. It must
	// not block. Nil: nobody is told. Whom a PROXY header names Accept does not
	// know: there the first use of the connection fails with the reason.
	Refused func(remote net.Addr, why error)
}

// Listener is a listener whose connections keep to Options.
//
// A PROXY header is read when a connection is first used, its addresses
// included, so that Accept never waits for a peer.
type Listener struct {
	net.Listener
	options atomic.Pointer[Options]
}

// New decorates l.
func New(l net.Listener, o Options) *Listener {
	d := &Listener{Listener: l}
	d.Configure(o)
	return d
}

// Configure changes the options for connections that are accepted from now on.
func (l *Listener) Configure(o Options) { l.options.Store(&o) }

// Accept waits for the next connection that is allowed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		o := l.options.Load()
		decorated, err := o.admit(conn)
		if err == nil {
			return decorated, nil
		}
		o.refuse(conn.RemoteAddr(), err)
		_ = conn.Close()
	}
}

func (o *Options) refuse(remote net.Addr, why error) {
	if o.Refused != nil {
		o.Refused(remote, why)
	}
}

// admit decorates a new connection.
func (o *Options) admit(conn net.Conn) (net.Conn, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		ticket, err := o.Limiter.enter(conn, pair{})
		if err != nil {
			return nil, err
		}
		return &otherConn{conn, ticket}, nil
	}
	ends := pair{addrPort(tcp.RemoteAddr()), addrPort(tcp.LocalAddr())}
	if len(o.ProxyFrom) > 0 && contains(o.ProxyFrom, ends.remote.Addr()) {
		return o.admitProxied(tcp)
	}
	if !o.allows(ends.remote.Addr()) {
		return nil, ErrNotAllowed
	}
	ticket, err := o.Limiter.enter(tcp, ends)
	if err != nil {
		return nil, err
	}
	return &tcpConn{tcp, ticket}, nil
}

// admitProxied takes a place for a connection whose client is not known yet.
func (o *Options) admitProxied(proxy net.Conn) (net.Conn, error) {
	ticket, err := o.Limiter.enter(proxy, pair{})
	if err != nil {
		return nil, err
	}
	conn := proxyproto.NewConn(proxy,
		proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.SetReadHeaderTimeout(headerTimeout),
		proxyproto.ValidateHeader(func(h *proxyproto.Header) error { return o.identify(ticket, proxy, h) }))
	return &proxiedConn{conn, ticket}, nil
}

// identify checks the client that a header names.
func (o *Options) identify(ticket *ticket, proxy net.Conn, h *proxyproto.Header) error {
	if h.Version == 1 && h.TransportProtocol == proxyproto.UNSPEC {
		h.Command, h.SourceAddr, h.DestinationAddr = proxyproto.PROXY, nobody(proxy.RemoteAddr()), proxy.LocalAddr()
	}
	source, destination := h.SourceAddr, h.DestinationAddr
	if h.Command.IsLocal() { // the proxy itself, as for its health checks
		source, destination = proxy.RemoteAddr(), proxy.LocalAddr()
	}
	ends := pair{addrPort(source), addrPort(destination)}
	if !ends.remote.IsValid() || !ends.local.IsValid() {
		return errors.New("listen: PROXY header without TCP addresses")
	}
	if !o.allows(ends.remote.Addr()) {
		return ErrNotAllowed
	}
	return o.Limiter.identify(ticket, ends)
}

// nobody is the address of a client that a proxy does not know ("PROXY
// UNKNOWN"): it may be anybody, and must not have what the proxy at a has, such
// as passwords in clear text on loopback. The port tells such clients apart.
func nobody(a net.Addr) net.Addr {
	return &net.TCPAddr{IP: net.IPv4zero, Port: int(addrPort(a).Port())}
}

func (o *Options) allows(ip netip.Addr) bool { return o.Allow == nil || contains(o.Allow, ip) }

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// addrPort gives the address of a TCP end, and the zero value for others.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// tcpConn keeps all that a *net.TCPConn can do and gives its place back.
type tcpConn struct {
	*net.TCPConn
	ticket *ticket
}

func (c *tcpConn) Close() error {
	c.ticket.leave()
	return c.TCPConn.Close()
}

// otherConn is a connection that has no address.
type otherConn struct {
	net.Conn
	ticket *ticket
}

func (c *otherConn) Close() error {
	c.ticket.leave()
	return c.Conn.Close()
}

// proxiedConn is a connection that begins with a PROXY header. Where that is
// missing, wrong, or names somebody who may not connect, every use of the
// connection fails.
type proxiedConn struct {
	*proxyproto.Conn
	ticket *ticket
}

func (c *proxiedConn) Close() error {
	c.ticket.leave()
	return c.Conn.Close()
}
