package storm

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// said is a connection whose other end has said everything already.
type said struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *said) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *said) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *said) Close() error                     { return nil }
func (c *said) LocalAddr() net.Addr              { return loopback() }
func (c *said) RemoteAddr() net.Addr             { return loopback() }
func (c *said) SetDeadline(time.Time) error      { return nil }
func (c *said) SetReadDeadline(time.Time) error  { return nil }
func (c *said) SetWriteDeadline(time.Time) error { return nil }

func loopback() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 110))
}

// taken keeps what is delivered to alice and to bob.
type taken struct {
	mu   sync.Mutex
	mail []string
}

func (t *taken) Resolve(_ context.Context, address string) (string, error) {
	if address == "alice" || address == "bob@example.org" {
		return address, nil
	}
	return "", maildrop.ErrNoDrop
}

func (t *taken) Deliver(_ context.Context, _ string, _ maildrop.Incoming, r io.Reader) error {
	m, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mail = append(t.mail, string(m))
	return nil
}
