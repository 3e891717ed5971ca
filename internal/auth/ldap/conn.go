package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// maxAnswer is how many octets a server may send on a connection for one
// question. The library builds nested messages with copies at every level, so
// it may need a thousand times as much for one that is made to hurt.
const maxAnswer = 64 << 10

// errSlow is the cause of a try that took too long.
var errSlow = errors.New("no answer in time")

// conn is a connection to a server, used by one goroutine at a time.
type conn struct {
	raw    net.Conn // below TLS: to close it waits for nobody
	answer *bounded
	ldap   *ldap.Conn
	server *server

	used bool      // it has answered before
	idle time.Time // since when
}

// run asks a question. When ctx ends, the connection is closed.
func (c *conn) run(ctx context.Context, ask func(*ldap.Conn) error) error {
	c.answer.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := ask(c.ldap)
	if !stop() && errors.Is(err, errBroken) {
		return context.Cause(ctx)
	}
	if errors.Is(err, errBroken) && c.answer.left.Load() <= 0 {
		return fmt.Errorf("answer of more than %d octets: %w", maxAnswer, err)
	}
	return err
}

// close ends the connection. The library would wait for a write that hangs.
func (c *conn) close() {
	c.raw.Close()
	c.ldap.Close()
}

// bounded is a connection that ends when its peer says too much.
type bounded struct {
	net.Conn
	left atomic.Int64
}

func (b *bounded) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, errors.New("answer is too long")
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.Add(-int64(n))
	return n, err
}
