package listen

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// proxied is a connection on which a proxy has said everything.
type proxied struct {
	net.Conn
	in io.Reader
}

func (c proxied) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (proxied) Close() error                      { return nil }
func (proxied) RemoteAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000} }
func (proxied) LocalAddr() net.Addr               { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 110} }
func (proxied) SetReadDeadline(_ time.Time) error { return nil }

// Whatever stands where a PROXY header should, the client is somebody whom it
// names in full, who may connect, and what is behind it is what the proxy sent
// last; or nothing can be read.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.0.2.7 198.51.100.1 1234 110\r\nCAPA\r\n",
		"PROXY TCP6 2001:db8::7 2001:db8::1 1234 110\r\nCAPA\r\n",
		"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1234 110\r\n",
		"PROXY UNKNOWN\r\nCAPA\r\n", "PROXY TCP4 203.0.113.5 198.51.100.1 1 2\r\n", "CAPA\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x04\xd2\x00\x6eCAPA\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00CAPA\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + string(make([]byte, 216)),
		"\r\n\r\n\x00\r\nQUIT\n\x21\x21\xff\xff",
	} {
		f.Add([]byte(s))
	}
	o := Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Allow: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/32"),
	}}
	f.Fuzz(func(t *testing.T, said []byte) {
		conn, err := o.admitProxied(proxied{in: bytes.NewReader(said)})
		if err != nil {
			t.Fatal(err) // it is not read yet
		}
		defer conn.Close()
		rest, err := io.ReadAll(conn)
		if err != nil {
			if len(rest) > 0 {
				t.Errorf("%q: %q was read, and then %v", said, rest, err)
			}
			return
		}
		if len(rest) >= len(said) || !bytes.HasSuffix(said, rest) {
			t.Errorf("%q: %q was read", said, rest)
		}
		if remote := addrPort(conn.RemoteAddr()); !remote.IsValid() || !o.allows(remote.Addr()) {
			t.Errorf("%q: the client is %v", said, conn.RemoteAddr())
		}
	})
}
