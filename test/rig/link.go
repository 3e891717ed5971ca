//go:build linux

package rig

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is a direction of a [Link].
type Direction int

const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
)

const (
	// pieceSize and pieces bound what is under way in one direction of one
	// connection: 8 MiB if every piece is full.
	pieceSize = 16 << 10
	pieces    = 512
)

// Link is a stretch of network between a client and a server of loopback. It
// is as long as it is made, and can be cut at any octet.
type Link struct {
	Port  int // where clients connect
	delay time.Duration
	to    string
	l     net.Listener
	wg    sync.WaitGroup
	rate  atomic.Int64 // octets a second in each direction of a connection; 0: as many as come

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	passed [2]int64 // octets since the link was made or armed
	armed  bool
	side   Direction
	after  int64
}

// NewLink lays a link from an address of loopback to a port of 127.0.0.1. What
// comes in at one end leaves the other half of roundTrip later; it is not slower
// for that.
func NewLink(from string, port int, roundTrip time.Duration) (*Link, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(from, "0"))
	if err != nil {
		return nil, err
	}
	k := &Link{
		Port: l.Addr().(*net.TCPAddr).Port, delay: roundTrip / 2, to: fmt.Sprintf("127.0.0.1:%d", port),
		l: l, open: map[net.Conn]struct{}{},
	}
	k.wg.Go(k.accept)
	return k, nil
}

// Cut arms the link: the connection that carries the octet with the number
// after in the given direction, counted over all connections from now on, ends
// in front of it. Later connections are whole.
func (k *Link) Cut(side Direction, after int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.passed, k.armed, k.side, k.after = [2]int64{}, true, side, after
}

// Narrow lets each connection pass no more than rate octets a second in either
// direction from now on.
func (k *Link) Narrow(rate int64) { k.rate.Store(rate) }

// Disarm takes back a cut that has not come, and reports whether it has.
func (k *Link) Disarm() (cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cut = !k.armed
	k.armed = false
	return cut
}

// Passed says how many octets have gone in a direction since the link was made
// or armed last.
func (k *Link) Passed(side Direction) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.passed[side]
}

// Close ends all connections and waits until nothing runs any more.
func (k *Link) Close() error {
	k.mu.Lock()
	k.closed = true
	for c := range k.open {
		c.Close()
	}
	k.mu.Unlock()
	err := k.l.Close()
	k.wg.Wait()
	return err
}

func (k *Link) accept() {
	for {
		near, err := k.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp4", k.to)
		if err != nil {
			near.Close()
			continue
		}
		k.wg.Go(func() { k.carry(near.(*net.TCPConn), far.(*net.TCPConn)) })
	}
}

// carry serves one connection until both directions have ended.
func (k *Link) carry(near, far *net.TCPConn) {
	if !k.add(near, far) {
		return
	}
	cut := func() {
		near.Close()
		far.Close()
	}
	var both sync.WaitGroup
	both.Go(func() { k.pump(Up, far, near, cut) })
	both.Go(func() { k.pump(Down, near, far, cut) })
	both.Wait()
	cut()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, near)
	delete(k.open, far)
}

// add notes the two ends of a connection, unless the link is closed.
func (k *Link) add(ends ...net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range ends {
		if k.closed {
			c.Close()
		} else {
			k.open[c] = struct{}{}
		}
	}
	return !k.closed
}

// piece is what one read has brought, and when it arrives at the far end.
type piece struct {
	due  time.Time
	data []byte
}

// pump moves one direction of one connection. An end is passed on like data.
func (k *Link) pump(side Direction, to, from *net.TCPConn, cut func()) {
	queue, spare := make(chan piece, pieces), make(chan []byte, pieces+2)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(queue)
		for {
			buf := buffer(spare)
			n, err := from.Read(buf)
			if n > 0 {
				queue <- piece{time.Now().Add(k.delay), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	defer reader.Wait()
	err := k.deliver(side, to, queue, spare)
	if err != nil {
		cut()
		for range queue { // until the reader has noticed
		}
		return
	}
	to.CloseWrite() // its failure means that the other end has gone already
}

func buffer(spare <-chan []byte) []byte {
	select {
	case buf := <-spare:
		return buf[:pieceSize]
	default:
		return make([]byte, pieceSize)
	}
}

// errCut says that the link has been cut.
var errCut = errors.New("rig: the link is cut")

func (k *Link) deliver(side Direction, to io.Writer, queue <-chan piece, spare chan<- []byte) error {
	clock := time.NewTimer(0)
	defer clock.Stop()
	var free time.Time // when the last piece has left the narrow
	for p := range queue {
		if rate := k.rate.Load(); rate > 0 {
			if free.Before(p.due) {
				free = p.due
			}
			free = free.Add(time.Duration(len(p.data)) * time.Second / time.Duration(rate))
			p.due = free
		}
		if wait := time.Until(p.due); wait > 0 {
			clock.Reset(wait)
			<-clock.C
		}
		n, whole := k.pass(side, len(p.data))
		if _, err := to.Write(p.data[:n]); err != nil {
			return err
		}
		if !whole {
			return errCut
		}
		spare <- p.data
	}
	return nil
}

// pass counts n octets, or as many as may still go before the cut.
func (k *Link) pass(side Direction, n int) (allowed int, whole bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.armed && k.side == side && k.passed[side]+int64(n) > k.after {
		n = int(k.after - k.passed[side])
		k.passed[side] += int64(n)
		k.armed = false
		return n, false
	}
	k.passed[side] += int64(n)
	return n, true
}
