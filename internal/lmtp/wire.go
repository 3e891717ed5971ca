package lmtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"time"
)

// After a refusal that ends the connection the client is heard out, that long
// and that far.
const (
	lingerTime   = 2 * time.Second
	lingerOctets = 1 << 20
)

var errAllowance = errors.New("lmtp: client sends more than a message may need")

// wire is the connection below the buffers. It sends the gathered replies
// before it waits for input, and bounds what is read.
type wire struct {
	conn    net.Conn
	out     *bufio.Writer
	left    int64         // octets that may still be read
	timeout time.Duration // for one write
}

func (w *wire) Read(p []byte) (int, error) {
	if err := w.out.Flush(); err != nil {
		return 0, err
	}
	if w.left <= 0 {
		return 0, errAllowance
	}
	n, err := w.conn.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

func (w *wire) write(p []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(p)
}

// hearOut says that nothing more will come and drops what the client is still
// sending. Hanging up on it at once could destroy the last replies on the way.
func (w *wire) hearOut() {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if w.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, w.conn, lingerOctets)
	}
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
