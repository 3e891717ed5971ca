package listen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve accepts on a loopback socket and hands each connection to handle.
func serve(t *testing.T, o Options, handle func(net.Conn)) string {
	t.Helper()
	inner, err := Open(t.Context(), Socket{Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, o)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// greet says what a server would know of its client, then what it read.
func greet(conn net.Conn) {
	_, _ = io.WriteString(conn, conn.RemoteAddr().String()+" "+conn.LocalAddr().String()+"\n")
	buf := make([]byte, 512)
	n, _ := conn.Read(buf)
	_, _ = conn.Write(buf[:n])
}

// dial sends and gives what comes back, and its own address.
func dial(t *testing.T, address, send string) (got, local string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	all, _ := io.ReadAll(conn) // a reset is as good as an end
	return string(all), conn.LocalAddr().String()
}

func networks(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

const v2signature = "\r\n\r\n\x00\r\nQUIT\n"

// A header is believed from trusted networks only, and there it must be whole
// and right (fault 90).
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	trusted := Options{ProxyFrom: networks("127.0.0.0/8")}
	v4 := "\xc0\x00\x02\x07\xc6\x33\x64\x01\x04\xd2\x00\x6e" // 192.0.2.7:1234 → 198.51.100.1:110
	closed := ""
	for _, c := range []struct {
		name, send, want string
		options          Options
	}{
		{"v1", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\nUSER x\r\n", "192.0.2.7:1234 198.51.100.1:110\nUSER x\r\n", trusted},
		{"v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 1234 110\r\nX", "[2001:db8::7]:1234 [2001:db8::1]:110\nX", trusted},
		{"v2", v2signature + "\x21\x11\x00\x0c" + v4 + "USER x\r\n", "192.0.2.7:1234 198.51.100.1:110\nUSER x\r\n", trusted},
		{"v2 with more", v2signature + "\x21\x11\x00\x10" + v4 + "\x04\x00\x01zX", "192.0.2.7:1234 198.51.100.1:110\nX", trusted},
		{"v1 unknown is not the proxy", "PROXY UNKNOWN\r\nX", "0.0.0.0:PORT SERVER\nX", trusted},
		{"v1 unknown with addresses", "PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 2\r\nX", "0.0.0.0:PORT SERVER\nX", trusted},
		{"v1 unknown is not allowed", "PROXY UNKNOWN\r\nX", closed, Options{ProxyFrom: networks("127.0.0.0/8"), Allow: networks("127.0.0.0/8")}},
		{"v2 unknown", v2signature + "\x21\x00\x00\x00X", closed, trusted},
		{"v2 local is the proxy", v2signature + "\x20\x00\x00\x00X", "CLIENT SERVER\nX", trusted},
		{"none", "USER x\r\n", closed, trusted},
		{"end of stream", "", closed, trusted},
		{"v1 bad address", "PROXY TCP4 192.0.2.777 198.51.100.1 1234 110\r\n", closed, trusted},
		{"v1 bad port", "PROXY TCP4 192.0.2.7 198.51.100.1 99999 110\r\n", closed, trusted},
		{"v1 other family", "PROXY TCP4 2001:db8::7 2001:db8::1 1234 110\r\n", closed, trusted},
		{"v1 no CR", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\n", closed, trusted},
		{"v1 too long", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110" + strings.Repeat(" ", 100) + "\r\n", closed, trusted},
		{"v1 cut", "PROXY TCP4 192.0.2.7", closed, trusted},
		{"v2 cut", v2signature + "\x21\x11\x00\x0c" + v4[:7], closed, trusted},
		{"v2 bad version", v2signature + "\x31\x11\x00\x0c" + v4, closed, trusted},
		{"v2 short", v2signature + "\x21\x11\x00\x04\xc0\x00\x02\x07", closed, trusted},
		{"v2 datagram", v2signature + "\x21\x12\x00\x0c" + v4, closed, trusted},
		{"v2 Unix socket", v2signature + "\x21\x31\x00\xd8" + strings.Repeat("a", 216), closed, trusted},
		{"untrusted v1 is what the client says", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\n",
			"CLIENT SERVER\nPROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\n", Options{ProxyFrom: networks("10.0.0.0/8")}},
		{"untrusted v2 is what the client says", v2signature + "\x21\x11\x00\x0c" + v4,
			"CLIENT SERVER\n" + v2signature + "\x21\x11\x00\x0c" + v4, Options{}},
		{"client allowed", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\nX", "192.0.2.7:1234 198.51.100.1:110\nX",
			Options{ProxyFrom: networks("127.0.0.0/8"), Allow: networks("192.0.2.0/24")}},
		{"client not allowed", "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\nX", closed,
			Options{ProxyFrom: networks("127.0.0.0/8"), Allow: networks("127.0.0.0/8", "203.0.113.0/24")}},
		{"not allowed", "X", closed, Options{Allow: networks("10.0.0.0/8")}},
		{"allowed", "X", "CLIENT SERVER\nX", Options{Allow: networks("127.0.0.0/8")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var refused []error
			c.options.Refused = func(_ net.Addr, why error) {
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, why)
			}
			address := serve(t, c.options, greet)
			got, local := dial(t, address, c.send)
			_, port, _ := net.SplitHostPort(local)
			want := strings.NewReplacer("CLIENT", local, "SERVER", address, "PORT", port).Replace(c.want)
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			if told := len(refused) == 1 && errors.Is(refused[0], ErrNotAllowed); told != (c.name == "not allowed") {
				t.Errorf("told of refusals: %v", refused)
			}
		})
	}
}

// A proxy that says nothing keeps nobody else waiting.
func TestAcceptDoesNotWaitForHeaders(t *testing.T) {
	t.Parallel()
	address := serve(t, Options{ProxyFrom: networks("127.0.0.0/8")}, greet)
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if got, _ := dial(t, address, "PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\n"); !strings.HasPrefix(got, "192.0.2.7:1234") {
		t.Errorf("got %q", got)
	}
}

// Clients behind a proxy are counted by their own addresses.
func TestLimitPerAddress(t *testing.T) {
	t.Parallel()
	limiter := NewLimiter(Limits{Total: 100, PerAddress: 2, Evict: true})
	release := make(chan struct{})
	defer close(release)
	address := serve(t, Options{ProxyFrom: networks("127.0.0.0/8"), Limiter: limiter}, func(conn net.Conn) {
		if _, err := io.WriteString(conn, "hello"); err == nil {
			<-release
		}
	})
	greeted := func(client string) bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		family := "TCP4 " + client + " 198.51.100.1"
		if strings.Contains(client, ":") {
			family = "TCP6 " + client + " 2001:db8::1"
		}
		_, _ = io.WriteString(conn, "PROXY "+family+" 1234 110\r\n")
		got := make([]byte, 5)
		_, err = io.ReadFull(conn, got)
		return err == nil && bytes.Equal(got, []byte("hello"))
	}
	for i, c := range []struct {
		client string
		want   bool
	}{
		{"192.0.2.1", true},
		{"192.0.2.2", true},
		{"192.0.2.1", true},
		{"192.0.2.1", false},
		{"2001:db8:1:1::1", true},
		{"2001:db8:1:1:ffff::2", true},
		{"2001:db8:1:1::3", false}, // the same /64
		{"2001:db8:1:2::1", true},
		{"127.0.0.1", true},
		{"127.0.0.1", true},
		{"127.0.0.1", true}, // not counted
	} {
		if got := greeted(c.client); got != c.want {
			t.Errorf("%d: %s: %v", i, c.client, got)
		}
	}
}

// fake is a connection that knows whether it was closed.
type fake struct {
	net.Conn
	closed bool
}

func (f *fake) Close() error { f.closed = true; return nil }

func ends(client string) pair {
	return pair{netip.MustParseAddrPort(client), netip.MustParseAddrPort("198.51.100.1:110")}
}

// Where all places are taken a new connection of the same network gets that of
// the oldest that has not signed in, and of no other (fault 64).
func TestLimiterEvicts(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 3, Evict: true})
	var conns [5]fake
	var tickets [5]*ticket
	enter := func(i int) error {
		var err error
		tickets[i], err = l.enter(&conns[i], ends(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1)).String()))
		return err
	}
	for i := range 3 {
		if err := enter(i); err != nil {
			t.Fatal(err)
		}
	}
	signIn := func(i int) { l.SignedIn(tickets[i].ends.remote, tickets[i].ends.local) }
	signIn(0)
	if err := enter(3); err != nil || conns[0].closed || !conns[1].closed || conns[2].closed {
		t.Fatalf("%v %+v", err, conns)
	}
	signIn(2)
	signIn(3)
	if err := enter(4); !errors.Is(err, ErrTooMany) {
		t.Fatalf("got %v", err)
	}
	tickets[1].leave() // the evicted one gives nothing back
	if err := enter(4); !errors.Is(err, ErrTooMany) {
		t.Fatalf("got %v", err)
	}
	tickets[0].leave()
	tickets[0].leave()
	if err := enter(4); err != nil {
		t.Fatal(err)
	}
	if err := enter(1); err != nil || !conns[4].closed { // 4 has not signed in
		t.Fatalf("%v %+v", err, conns)
	}
	for _, i := range []int{1, 2, 3} {
		tickets[i].leave()
	}
	if l.open != 0 || len(l.byAddress) != 0 || len(l.byEnds) != 0 || len(l.waiting.byNetwork)+len(l.waiting.bySize) != 0 {
		t.Errorf("left over: %d %v %v %v", l.open, l.byAddress, l.byEnds, l.waiting)
	}
}

// Without Evict nobody is cut off.
func TestLimiterRefuses(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 1})
	var a, b fake
	if _, err := l.enter(&a, pair{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.enter(&b, pair{}); !errors.Is(err, ErrTooMany) || a.closed {
		t.Errorf("%v, closed %v", err, a.closed)
	}
}

// A failed entry leaves no trace.
func TestLimiterLeak(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Total: 1, PerAddress: 5})
	var c fake
	first, err := l.enter(&c, ends("192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := l.enter(&c, ends("192.0.2.9:1")); !errors.Is(err, ErrTooMany) {
			t.Fatalf("got %v", err)
		}
	}
	first.leave()
	if len(l.byAddress) != 0 || len(l.byEnds) != 0 {
		t.Errorf("left over: %v %v", l.byAddress, l.byEnds)
	}
}
