package pop3client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// wire is the connection with the client's patience: every Read and Write has
// a deadline, and the end of a context ends both at once.
type wire struct {
	raw     net.Conn // the socket
	conn    net.Conn // raw, or TLS on it
	timeout time.Duration
	least   int // octets that must come in a ratePeriod of waiting

	allowed time.Duration // for the step
	limit   time.Time     // of the step; zero until it waits for the first time
	flowing bool          // a message or listing: timeout is for each part of it
	came    int           // octets in this period
	waited  time.Duration

	mu   sync.Mutex
	done <-chan struct{} // of the context that is watched; nil: none
	stop func() bool
	cut  error // of that context, once it has ended
}

// aLongTimeAgo is a deadline that has passed.
var aLongTimeAgo = time.Unix(1, 0)

// noDeadline takes a deadline away.
var noDeadline time.Time

// watch makes the end of ctx end all waiting until the next watch. It is cheap
// for the context that is watched already.
func (w *wire) watch(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	if done == w.done {
		return nil
	}
	w.forget()
	if done != nil {
		w.done = done
		w.stop = context.AfterFunc(ctx, func() { w.interrupt(done, ctx.Err()) })
	}
	return nil
}

// release ends the watch. A context that ended too late to stop anything
// leaves no trace.
func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget()
}

func (w *wire) forget() {
	if w.stop != nil {
		w.stop()
	}
	w.done, w.stop, w.cut = nil, nil, nil
}

func (w *wire) interrupt(done <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == done {
		w.cut = err
		w.raw.SetDeadline(aLongTimeAgo)
	}
}

// arm sets a deadline, unless the context has ended.
func (w *wire) arm(set func(time.Time) error, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut != nil {
		return w.cut
	}
	return set(at)
}

// begin begins a step: its reply may take the whole timeout.
func (w *wire) begin() { w.allowed, w.limit, w.flowing = w.timeout, time.Time{}, false }

// flow begins a message or listing, which may take long if it keeps coming.
func (w *wire) flow() { w.allowed, w.flowing, w.came, w.waited = w.timeout, true, 0, 0 }

// Read waits for input within the patience of the step.
func (w *wire) Read(p []byte) (int, error) {
	began := time.Now()
	limit, slow := began.Add(w.allowed), false
	if w.flowing {
		if left := ratePeriod - w.waited; left < w.allowed {
			limit, slow = began.Add(left), true
		}
	} else if w.limit.IsZero() {
		w.limit = limit
	} else {
		limit = w.limit
	}
	if err := w.arm(w.raw.SetReadDeadline, limit); err != nil {
		return 0, err
	}
	n, err := w.conn.Read(p)
	if w.flowing {
		w.came += n
		if w.waited += time.Since(began); w.came >= w.least {
			w.came, w.waited = 0, 0
		}
	}
	if err != nil {
		err = w.explain(err, slow)
	}
	return n, err
}

// Write sends p within the timeout.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.arm(w.raw.SetWriteDeadline, time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	n, err := w.conn.Write(p)
	if err != nil {
		err = w.explain(err, false)
	}
	return n, err
}

// explain makes of an error of the connection what its reader wants to know.
func (w *wire) explain(err error, slow bool) error {
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	switch {
	case cut != nil:
		return cut
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return errHangUp
	case errors.Is(err, os.ErrDeadlineExceeded) && slow:
		return fmt.Errorf("fewer than %d octets came in %v: %w", w.least, ratePeriod, os.ErrDeadlineExceeded)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing more came for %v: %w", w.allowed, os.ErrDeadlineExceeded)
	}
	return err
}

// errHangUp is never io.EOF, which is the good end of a message.
var errHangUp = fmt.Errorf("server closed the connection: %w", io.ErrUnexpectedEOF)
