//go:build linux

package rig

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// echo serves connections that send back what they get, and gives its port.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c) // ends with the connection
				c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func newLink(t *testing.T, roundTrip time.Duration) *Link {
	t.Helper()
	k, err := NewLink("127.0.0.1", echo(t), roundTrip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// exchange sends data and reads what comes back until the end.
func exchange(t *testing.T, k *Link, data []byte) (got []byte, err error) {
	t.Helper()
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", k.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.Write(data) // cut or not, the reader sees what comes of it
		c.(*net.TCPConn).CloseWrite()
	}()
	return io.ReadAll(c)
}

// A cut link passes exactly what comes in front of the cut; the next connection
// passes everything.
func TestLinkCut(t *testing.T) {
	t.Parallel()
	k := newLink(t, 0)
	data := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	for _, side := range []Direction{Up, Down} {
		for _, after := range []int64{0, 1, 7, 4096, pieceSize - 1, pieceSize, pieceSize + 1, int64(len(data)) - 1} {
			k.Cut(side, after)
			got, _ := exchange(t, k, data)
			if k.Passed(side) != after || !bytes.HasPrefix(data, got) || int64(len(got)) > after {
				t.Errorf("direction %d, cut after %d: %d passed, %d came back", side, after, k.Passed(side), len(got))
			}
			if !k.Disarm() {
				t.Errorf("direction %d, cut after %d: no cut", side, after)
			}
			if got, err := exchange(t, k, data); err != nil || !bytes.Equal(got, data) {
				t.Errorf("the next connection: %d octets came back, %v", len(got), err)
			}
		}
	}
	k.Cut(Down, int64(len(data)))
	if got, err := exchange(t, k, data); err != nil || !bytes.Equal(got, data) || k.Disarm() {
		t.Errorf("a cut behind the end: %d octets came back, %v", len(got), err)
	}
}

// A long link is late and not slow: many octets come hardly later than one.
func TestLinkDelay(t *testing.T) {
	t.Parallel()
	const roundTrip = 100 * time.Millisecond
	k := newLink(t, roundTrip)
	for _, n := range []int{1, 4 << 20} {
		data := bytes.Repeat([]byte("x"), n)
		begin := time.Now()
		got, err := exchange(t, k, data)
		took := time.Since(begin)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d octets came back, %v", len(got), n, err)
		}
		if took < roundTrip || took > 20*roundTrip {
			t.Errorf("%d octets took %v", n, took)
		}
	}
}

// A narrow link takes its time for many octets, and not for few.
func TestLinkNarrow(t *testing.T) {
	t.Parallel()
	k := newLink(t, 0)
	k.Narrow(1 << 20)
	for n, least := range map[int]time.Duration{1: 0, 512 << 10: time.Second / 2} {
		data := bytes.Repeat([]byte("x"), n)
		begin := time.Now()
		got, err := exchange(t, k, data)
		took := time.Since(begin)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d octets came back, %v", len(got), n, err)
		}
		if took < least || took > least+5*time.Second {
			t.Errorf("%d octets took %v, at least %v were wanted", n, took, least)
		}
	}
}
