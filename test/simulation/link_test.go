package simulation

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

var errCut = errors.New("simulation: the link was cut")

// weather is what becomes of one connection, as seen from the client.
type weather struct {
	cut     int           // octets, either way, after which the client knows that it is cut; 0: never
	silent  int           // octets after which nothing arrives any more and nobody knows; 0: never
	segment int           // the most that one Read or Write carries; 0: everything
	delay   time.Duration // of each of those
}

func newWeather(r *rand.Rand) weather {
	var w weather
	switch r.IntN(6) {
	case 0:
		w.cut = 1 + r.IntN(4000)
	case 1:
		w.silent = 1 + r.IntN(4000)
	case 2:
		w.delay = time.Duration(r.IntN(3000)) * time.Millisecond
		w.segment = 1 + r.IntN(2000)
	case 3:
		w.segment = 1 + r.IntN(9)
	}
	return w
}

// link is the client's end of a connection in some weather.
type link struct {
	net.Conn
	weather
	carried atomic.Int64
}

func (l *link) lost() bool { return l.silent > 0 && l.carried.Load() >= int64(l.silent) }
func (l *link) torn() bool { return l.cut > 0 && l.carried.Load() >= int64(l.cut) }

// part is how much of n octets the next step carries.
func (l *link) part(n int) int {
	if l.segment > 0 {
		n = min(n, l.segment)
	}
	for _, limit := range []int{l.cut, l.silent} {
		if left := int64(limit) - l.carried.Load(); limit > 0 && left > 0 {
			n = min(n, int(left))
		}
	}
	return n
}

func (l *link) Read(p []byte) (int, error) {
	for {
		if l.torn() {
			return 0, errors.Join(errCut, l.Conn.Close())
		}
		time.Sleep(l.delay)
		n, err := l.Conn.Read(p[:l.part(len(p))])
		if !l.lost() {
			l.carried.Add(int64(n))
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
}

func (l *link) Write(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case l.torn():
			return n, errors.Join(errCut, l.Conn.Close())
		case l.lost():
			return len(p), nil
		}
		time.Sleep(l.delay)
		m, err := l.Conn.Write(p[n : n+l.part(len(p)-n)])
		l.carried.Add(int64(m))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close says nothing to the other end if the link is silent: the client is gone
// like a machine whose plug was pulled.
func (l *link) Close() error {
	if l.lost() {
		return nil
	}
	return l.Conn.Close()
}
