//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// limit is what the machine itself can do: no server can be faster.
type limit struct {
	name, value string
}

func measureLimits(dir string) ([]limit, error) {
	trip, err := roundTrip()
	if err != nil {
		return nil, err
	}
	connect, err := connectAndClose()
	if err != nil {
		return nil, err
	}
	one, err := syncRate(dir, 1)
	if err != nil {
		return nil, err
	}
	many, err := syncRate(dir, 16)
	if err != nil {
		return nil, err
	}
	return []limit{
		{"one octet over loopback and back", fmt.Sprintf("%.0f µs", trip)},
		{"connect, accept, close", fmt.Sprintf("%.0f µs", connect)},
		{"new file of 8 KiB, synced, one at a time", fmt.Sprintf("%.0f /s", one)},
		{"new file of 8 KiB, synced, 16 at a time", fmt.Sprintf("%.0f /s", many)},
	}, nil
}

// roundTrip is the time in µs that one octet takes over loopback and back.
func roundTrip() (float64, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			io.Copy(c, c) // ends when the other end closes
		}
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	const n = 20000
	buf := make([]byte, 1)
	begin := time.Now()
	for range n {
		if _, err := c.Write(buf); err != nil {
			return 0, err
		}
		if _, err := c.Read(buf); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(begin).Microseconds()) / n, nil
}

// connectAndClose is the time in µs of a connection that does nothing.
func connectAndClose() (float64, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	const n = 2000
	begin := time.Now()
	for range n {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			return 0, err
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			return 0, fmt.Errorf("an end was expected, not %v", err)
		}
		c.Close()
	}
	return float64(time.Since(begin).Microseconds()) / n, nil
}

// syncRate is how many new files a second reach the disk, each synced before
// its writer goes on.
func syncRate(dir string, workers int) (float64, error) {
	dir, err := os.MkdirTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	data := make([]byte, 8<<10)
	n := 100 * workers
	begin := time.Now()
	err = inParallel(workers, n, func(i int) error {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			return err
		}
		return f.Sync()
	})
	return float64(n) / time.Since(begin).Seconds(), err
}
