package pop3server

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// wire is the socket below TLS. Its Write gives up only when the client has
// taken nothing for a while: a TLS connection could not go on after an
// interrupted write, so the patience has to be down here.
type wire struct {
	net.Conn
	stall time.Duration // how long a Write may stand still
	limit time.Time     // when every Write ends; zero: never
}

func (w *wire) Write(p []byte) (sent int, err error) {
	for {
		deadline := time.Now().Add(w.stall)
		if !w.limit.IsZero() && w.limit.Before(deadline) {
			deadline = w.limit
		}
		if err := w.Conn.SetWriteDeadline(deadline); err != nil {
			return sent, err
		}
		n, err := w.Conn.Write(p[sent:])
		sent += n
		if sent == len(p) || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || deadline.Equal(w.limit) {
			return sent, err
		}
	}
}

// linger lets the client read a last reply although it is still sending: to
// close a socket with unread input would throw the reply away.
func (w *wire) linger() {
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if w.Conn.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		io.CopyN(io.Discard, w.Conn, 256<<10)
	}
}
