package swarm

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is connections whose clients have all the time in the world.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
}

// doors is how many of a crowd come at the same time.
const doors = 32

// entrance is where a part of a crowd comes in.
type entrance struct {
	name    string
	address string
	config  *tls.Config // nil: in clear
	most    int64       // octets of memory that a connection may take
}

// come connects n clients from as many addresses of loopback as there are, and
// reads their greetings.
func (c *crowd) come(ctx context.Context, n int, e entrance, random *rand.Rand) error {
	from := make(chan net.IP)
	go func() {
		defer close(from)
		for range n {
			select {
			case from <- loopback(random):
			case <-ctx.Done():
				return
			}
		}
	}()
	var all sync.WaitGroup
	failed := make([]error, doors)
	for i := range doors {
		all.Go(func() {
			for ip := range from {
				conn, err := arrive(ctx, ip, e.address, e.config)
				if err != nil {
					failed[i] = errors.Join(failed[i], err)
					continue
				}
				c.mu.Lock()
				c.conns = append(c.conns, conn)
				c.mu.Unlock()
			}
		})
	}
	all.Wait()
	return errors.Join(append(failed, ctx.Err())...)
}

// loopback is an address that only this machine has. Those that begin as
// servers' do are left out.
func loopback(random *rand.Rand) net.IP {
	n := random.Uint32()
	return net.IPv4(127, byte(1+n>>16%250), byte(n>>8), byte(1+n%250))
}

// arrive connects and reads the greeting.
func arrive(ctx context.Context, from net.IP, address string, config *tls.Config) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Minute}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	greeting, err := bufio.NewReaderSize(conn, 512).ReadString('\n')
	if err != nil || !strings.HasPrefix(greeting, "+OK") {
		conn.Close()
		return nil, fmt.Errorf("swarm: greeting %.80q: %w", greeting, err)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// dawdle has every fourth client write one octet of a command now and then. The
// others say nothing.
func (c *crowd) dawdle(ctx context.Context) {
	turn := time.NewTicker(10 * time.Millisecond)
	defer turn.Stop()
	for i := 0; ; i = (i + 4) % max(1, len(c.conns)) {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
			_ = c.conns[i].SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.conns[i].Write([]byte("C")) // the server may have made room for others
		}
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn()
		}
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // or its port waits for a minute
		}
		_ = conn.Close()
	}
}

// flood is clients who ask for one handshake after the other.
type flood struct {
	address string
	config  *tls.Config
	made    atomic.Int64
}

func (f *flood) run(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		conn, err := arrive(ctx, loopback(random), f.address, f.config)
		if err != nil {
			continue // the server may turn away a flood
		}
		f.made.Add(1)
		_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// sockets is how many a process has.
func sockets(pid int) (n int, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n, nil
}
