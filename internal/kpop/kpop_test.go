package kpop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/krb"
)

var (
	bob     = krb.Principal{Name: []string{"bob"}, Realm: "EXAMPLE.ORG"}
	service = krb.Service(Service, "mail.example.org", "EXAMPLE.ORG")
)

// site makes a server's acceptor, and the KDC that its clients come from.
func site(t testing.TB) (*krb.Acceptor, *krb.Issuer) {
	t.Helper()
	issuer, err := krb.NewIssuer(service, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, issuer.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := krb.NewAcceptor(krb.Options{Keytab: path, Service: Service})
	if err != nil {
		t.Fatal(err)
	}
	return a, issuer
}

func ticket(t testing.TB, i *krb.Issuer, valid time.Duration) *krb.Ticket {
	t.Helper()
	k, err := i.Ticket(bob, valid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func message(t testing.TB, k *krb.Ticket) string {
	t.Helper()
	r, err := k.Request(krb.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Message)
}

// together runs both sides on a connection, and then POP3 from the server's
// greeting on, so that an octet too many or too few is noticed.
func together(t *testing.T, a Acceptor, i Initiator) (client krb.Principal, serverErr, clientErr error) {
	t.Helper()
	server, conn := net.Pipe()
	command := make([]byte, 6)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		if client, serverErr = Accept(t.Context(), server, a, netip.Addr{}); serverErr != nil {
			return
		}
		io.WriteString(server, "+OK\r\n")
		io.ReadFull(server, command)
	}()
	if clientErr = Connect(t.Context(), conn, i); clientErr == nil {
		greeting := make([]byte, 5)
		if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "+OK\r\n" {
			t.Errorf("client reads %q, %v", greeting, err)
		}
		io.WriteString(conn, "QUIT\r\n")
	}
	conn.Close()
	<-done
	if clientErr == nil && string(command) != "QUIT\r\n" {
		t.Errorf("server reads %q", command)
	}
	return client, serverErr, clientErr
}

func TestTogether(t *testing.T) {
	t.Parallel()
	a, issuer := site(t)
	client, serverErr, clientErr := together(t, a, ticket(t, issuer, time.Hour))
	if serverErr != nil || clientErr != nil || !client.Equal(bob) {
		t.Errorf("%v, %v, %v", client, serverErr, clientErr)
	}
	client, serverErr, clientErr = together(t, a, ticket(t, issuer, -time.Hour))
	if !errors.Is(serverErr, krb.ErrRefused) || !errors.Is(clientErr, krb.ErrRefused) || client.Name != nil {
		t.Errorf("expired ticket: %v, %v, %v", client, serverErr, clientErr)
	}
	_, serverErr, clientErr = together(t, busy{}, ticket(t, issuer, time.Hour))
	if !errors.Is(serverErr, krb.ErrBusy) || clientErr == nil || errors.Is(clientErr, krb.ErrRefused) {
		t.Errorf("busy server: %v, %v", serverErr, clientErr)
	}
	_, thief := site(t)
	_, serverErr, clientErr = together(t, a, ticket(t, thief, time.Hour))
	if !errors.Is(serverErr, krb.ErrRefused) || !errors.Is(clientErr, krb.ErrRefused) {
		t.Errorf("ticket under another key: %v, %v", serverErr, clientErr)
	}
	_, serverErr, clientErr = together(t, liar{a}, ticket(t, issuer, time.Hour))
	if clientErr == nil || errors.Is(clientErr, krb.ErrRefused) {
		t.Errorf("server without the key: %v, %v", serverErr, clientErr)
	}
}

type busy struct{}

func (busy) Accept([]byte, krb.Asked) (*krb.Session, []byte, error) { return nil, nil, krb.ErrBusy }

// liar is a server that does not prove itself.
type liar struct{ *krb.Acceptor }

func (l liar) Accept(message []byte, asked krb.Asked) (*krb.Session, []byte, error) {
	s, reply, err := l.Acceptor.Accept(message, asked)
	if len(reply) > 0 {
		reply[len(reply)-1] ^= 1
	}
	return s, reply, err
}

// script is a connection to a peer that has said everything at once.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func newScript(in string) *script { return &script{in: bytes.NewReader([]byte(in))} }

func (s *script) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *script) SetDeadline(time.Time) error { return nil }
func length(n uint32) string                  { return string(binary.BigEndian.AppendUint32(nil, n)) }
func counted(parts ...string) string          { return string(countedBytes(parts)) }
func countedBytes(parts []string) (b []byte) {
	for _, p := range parts {
		b = appendMessage(b, p)
	}
	return b
}

// TestServerAnswers holds the server's octets against what the MIT library
// expects (krb5_recvauth).
func TestServerAnswers(t *testing.T) {
	t.Parallel()
	a, issuer := site(t)
	names := counted("KRB5_SENDAUTH_V1.0\x00", "KPOPV1.0\x00")
	good := message(t, ticket(t, issuer, time.Hour))
	for name, test := range map[string]struct {
		in   string
		out  string // what the answer begins with
		more bool   // more follows
		err  error  // nil: any
		left int    // octets that are not read
	}{
		"good":            {names + counted(good) + "CAPA\r\n", "\x00\x00\x00\x00\x00", true, errNone, 6},
		"again":           {names + counted(good), "\x00", true, krb.ErrRefused, 0},
		"no NUL":          {counted("KRB5_SENDAUTH_V1.0", "KPOPV1.0\x00"), "\x01", false, ErrProtocol, 0},
		"other sendauth":  {counted("KRB5_SENDAUTH_V2.0\x00", "KPOPV1.0\x00"), "\x01", false, ErrProtocol, 0},
		"other protocol":  {counted("KRB5_SENDAUTH_V1.0\x00", "KPOPV2.0\x00"), "\x02", false, ErrProtocol, 0},
		"both others":     {counted("x", "y"), "\x01", false, ErrProtocol, 0},
		"no names":        {counted("", ""), "\x01", false, ErrProtocol, 0},
		"long sendauth":   {length(65) + strings.Repeat("x", 65), "\x01", false, ErrProtocol, 65},
		"huge sendauth":   {length(1<<32 - 1), "\x01", false, ErrProtocol, 0},
		"huge protocol":   {counted("KRB5_SENDAUTH_V1.0\x00") + length(1<<31), "\x02", false, ErrProtocol, 0},
		"POP3":            {"CAPA\r\n", "\x01", false, ErrProtocol, 2},
		"TLS":             {"\x16\x03\x01\x02\x00\x01", "\x01", false, ErrProtocol, 2},
		"nothing":         {"", "", false, io.EOF, 0},
		"half a length":   {"\x00\x00", "", false, io.ErrUnexpectedEOF, 0},
		"half a name":     {length(19) + "KRB5", "", false, io.ErrUnexpectedEOF, 0},
		"names only":      {names, "\x00", false, io.EOF, 0},
		"half an AP-REQ":  {names + length(uint32(len(good))) + good[:99], "\x00", false, io.ErrUnexpectedEOF, 0},
		"empty AP-REQ":    {names + counted(""), "\x00", true, krb.ErrRefused, 0},
		"garbage":         {names + counted("garbage"), "\x00", true, krb.ErrRefused, 0},
		"AP-REQ and more": {names + counted(good+"x"), "\x00", true, krb.ErrRefused, 0},
		"huge AP-REQ":     {names + length(64<<10+1), "\x00", false, ErrProtocol, 0},
		"almost huge":     {names + length(64<<10) + "x", "\x00", false, io.ErrUnexpectedEOF, 0},
	} {
		if name == "again" {
			continue // after the good one
		}
		checkServer(t, a, name, test.in, test.out, test.more, test.err, test.left)
	}
	checkServer(t, a, "again", names+counted(good), "\x00", true, krb.ErrRefused, 0)
}

var errNone = errors.New("none")

func checkServer(t *testing.T, a Acceptor, name, in, out string, more bool, want error, left int) {
	t.Helper()
	s := newScript(in)
	client, err := Accept(t.Context(), s, a, netip.Addr{})
	if want == errNone && (err != nil || !client.Equal(bob)) || want != errNone && (!errors.Is(err, want) || client.Name != nil) {
		t.Errorf("%s: %v, %v", name, client, err)
	}
	got := s.out.String()
	if !strings.HasPrefix(got, out) || (len(got) > len(out)) != more || s.in.Len() != left {
		t.Errorf("%s: answer %q, %d octets left", name, got, s.in.Len())
	}
	if want == krb.ErrRefused { // a KRB-ERROR, and the end
		b := s.out.Bytes()[1:]
		if len(b) < 5 || int(binary.BigEndian.Uint32(b)) != len(b)-4 || b[4] != 0x7E {
			t.Errorf("%s: answer %q is no KRB-ERROR", name, got)
		}
	}
}

// trusting is an acceptor for clients that do not ask it to prove itself.
type trusting struct{}

func (trusting) Accept([]byte, krb.Asked) (*krb.Session, []byte, error) {
	return &krb.Session{Client: bob}, []byte("not sent"), nil
}

// TestWithoutProof: who does not ask for a reply gets none.
func TestWithoutProof(t *testing.T) {
	t.Parallel()
	s := newScript(counted(sendauthVersion, protocolVersion, "x"))
	if client, err := Accept(t.Context(), s, trusting{}, netip.Addr{}); err != nil || !client.Equal(bob) || s.out.String() != "\x00\x00\x00\x00\x00" {
		t.Errorf("%v, %v, answer %q", client, err, s.out.String())
	}
}

// TestCancel: a context that ends, ends the wait.
func TestCancel(t *testing.T) {
	t.Parallel()
	server, conn := net.Pipe()
	defer conn.Close()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := Accept(ctx, server, busy{}, netip.Addr{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestHostileServer: whatever a server answers, there is an error, and the
// ticket goes only to one that speaks the protocol.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	_, issuer := site(t)
	names := len(counted(sendauthVersion, protocolVersion))
	for name, test := range map[string]struct {
		in     string
		ticket bool
	}{
		"nothing":           {"", false},
		"other sendauth":    {"\x01", false},
		"other protocol":    {"\x02", false},
		"other answer":      {"\x03", false},
		"POP3":              {"+OK ready\r\n", false},
		"silence":           {"\x00", true},
		"half a length":     {"\x00\x00\x00", true},
		"no proof":          {"\x00" + length(0), true},
		"empty proof":       {"\x00" + length(0) + length(0), true},
		"garbage for proof": {"\x00" + length(0) + counted("garbage"), true},
		"huge proof":        {"\x00" + length(0) + length(1<<30), true},
		"half a proof":      {"\x00" + length(0) + length(99) + "x", true},
		"garbage for error": {"\x00" + counted("garbage"), true},
		"huge error":        {"\x00" + length(1<<32-1), true},
		"half an error":     {"\x00" + length(99) + "x", true},
		"POP3 instead":      {"\x00+OK ready\r\n", true},
	} {
		s := newScript(test.in)
		err := Connect(t.Context(), s, ticket(t, issuer, time.Hour))
		if err == nil || (s.out.Len() > names) != test.ticket {
			t.Errorf("%s: %v, %d octets sent", name, err, s.out.Len())
		}
	}
}

// TestTime: who says nothing, or too little too slowly, does not hold the
// server up, and a context ends a wait.
func TestTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		drip  time.Duration // between two octets
		after time.Duration // the context ends
		want  time.Duration
	}{
		"silence":        {0, 0, exchangeTimeout},
		"drip":           {2 * time.Second, 0, exchangeTimeout},
		"context's time": {0, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, conn := net.Pipe()
				ctx := t.Context()
				if test.after > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.after)
					defer cancel()
				}
				done := make(chan struct{})
				if test.drip == 0 {
					close(done)
				} else {
					go func() {
						defer close(done)
						for _, octet := range []byte(counted(sendauthVersion, protocolVersion)) {
							if _, err := conn.Write([]byte{octet}); err != nil {
								return
							}
							time.Sleep(test.drip)
						}
					}()
				}
				began := time.Now()
				_, err := Accept(ctx, server, busy{}, netip.Addr{})
				if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want {
					t.Errorf("%v after %v", err, took)
				}
				server.Close()
				conn.Close()
				<-done
			})
		})
	}
}

// TestDeadlineIsTakenAway: the exchange's deadline is not POP3's, nor that of a
// context that ends later.
func TestDeadlineIsTakenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, issuer := site(t)
		server, conn := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		go Connect(t.Context(), conn, ticket(t, issuer, time.Hour))
		if _, err := Accept(ctx, server, a, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Hour)
		go conn.Write([]byte("QUIT"))
		if _, err := io.ReadFull(server, make([]byte, 4)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

func FuzzAccept(f *testing.F) {
	a, issuer := site(f)
	f.Add([]byte(counted(sendauthVersion, protocolVersion, message(f, ticket(f, issuer, time.Hour)))))
	f.Add([]byte(counted(sendauthVersion, protocolVersion, "")))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := newScript(string(in))
		client, err := Accept(t.Context(), s, a, netip.Addr{})
		if err == nil && !client.Equal(bob) || err != nil && client.Name != nil {
			t.Errorf("%v, %v", client, err)
		}
	})
}

func FuzzConnect(f *testing.F) {
	_, issuer := site(f)
	k := ticket(f, issuer, time.Hour)
	f.Add([]byte("\x00" + length(0) + counted("x")))
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := Connect(t.Context(), newScript(string(in)), k); err == nil {
			t.Error("server has proved itself")
		}
	})
}
