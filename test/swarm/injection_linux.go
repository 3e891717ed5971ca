package swarm

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// injections are what somebody on the way may put behind a client's STLS, in
// segments. The first is the case of the command-injection-tester of the
// Email-Analysis-Toolkit; CVE-2011-0411 is what it looks for.
func injections() [][]string {
	all := [][]string{
		{"STLS\r\nCAPA\r\n"},
		{"STLS\r\nNOOP\r\n"},
		{"STLS\r\nSTLS\r\n"},
		{"STLS\r\nUSER mallory\r\nPASS secret\r\n"},
		{"STLS\r\nCAPA\r\nCAPA\r\nCAPA\r\n"},
		{"CAPA\r\nSTLS\r\nCAPA\r\n"},
		{"USER mallory\r\nSTLS\r\nPASS secret\r\n"},
		{"STLS\r\n\r\n"},
		{"STLS\r\nCA"},
		{"STLS\r\n", "CAPA\r\n"},
		{"STLS\r\nC", "APA\r\n"},
		{"STLS\r", "\nCAPA\r\n"},
		{"stls\r\nCAPA\r\n"},
		{"STLS\r\n" + strings.Repeat("CAPA\r\n", 1000)},
	}
	return append(all, strings.Split("STLS\r\nCAPA\r\n", ""))
}

// inject tries them on a server as it comes.
func inject(ctx context.Context, _ uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	return r, injectAt(ctx, address(stand.Server.POP3), &r)
}

func injectAt(ctx context.Context, address string, r *campaign.Result) error {
	clean, err := injected(ctx, address, []string{"STLS\r\n"})
	if err != nil || clean != "" {
		return fmt.Errorf("swarm: STLS with nothing behind it: %s, %w", clean, err)
	}
	for _, segments := range injections() {
		wrong, err := injected(ctx, address, segments)
		if err != nil {
			return err
		}
		if r.Count++; wrong != "" {
			r.Find("%.60q: %s", segments, wrong)
		}
	}
	return nil
}

// injected says the segments and begins TLS. It gives what is wrong if any of
// it is answered inside.
func injected(ctx context.Context, address string, segments []string) (wrong string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil { // the greeting
		return "", err
	}
	for _, s := range segments {
		if _, err := io.WriteString(conn, s); err != nil {
			return "", nil // it has hung up already
		}
	}
	before, _, _ := strings.Cut(strings.ToUpper(strings.Join(segments, "")), "STLS\r\n")
	for range strings.Count(before, "\r\n") {
		if err := skip(in); err != nil {
			return "", err
		}
	}
	consent, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(consent, "+OK") {
		return "", nil // refused, or hung up
	}
	secure := tls.Client(behind{conn, in}, &tls.Config{InsecureSkipVerify: true})
	if secure.Handshake() != nil {
		return "", nil // what is behind STLS is no handshake
	}
	// The answer to our own first command has to be the first that comes.
	if _, err := io.WriteString(secure, "QUIT\r\n"); err != nil {
		return "", nil
	}
	all, err := io.ReadAll(secure)
	if err != nil && !errors.Is(err, io.EOF) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "it does not answer in TLS", nil
		}
		return "", nil
	}
	if strings.Count(string(all), "\n") != 1 {
		return fmt.Sprintf("answered in TLS by %.200q", all), nil
	}
	return "", nil
}

// skip reads a reply: to CAPA lines up to a dot, to USER one.
func skip(in *bufio.Reader) error {
	line, err := in.ReadString('\n')
	if next, _ := in.Peek(1); err != nil || len(next) == 1 && (next[0] == '+' || next[0] == '-') {
		return err
	}
	for line != ".\r\n" && err == nil {
		line, err = in.ReadString('\n')
	}
	return err
}

// behind is a connection of which some may have been read already.
type behind struct {
	net.Conn
	in *bufio.Reader
}

func (b behind) Read(p []byte) (int, error) { return b.in.Read(p) }

// injectOld tries them on a server that reads on where it was, as many did.
func injectOld(ctx context.Context) (r campaign.Result, err error) {
	space, err := rig.NewSpace("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, space.Close()) }()
	pair, err := tls.LoadX509KeyPair(space.TLS.Cert, space.TLS.Key)
	if err != nil {
		return r, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer l.Close()
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serveOld(conn, pair) })
		}
	})
	return r, injectAt(ctx, l.Addr().String(), &r)
}

// serveOld answers commands, and keeps what it has read when TLS begins.
func serveOld(conn net.Conn, pair tls.Certificate) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	out := io.Writer(conn)
	_, _ = io.WriteString(out, "+OK\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(out, "+OK\r\n"); err != nil || strings.HasPrefix(line, "QUIT") {
			return
		}
		if strings.ToUpper(line) == "STLS\r\n" {
			kept, _ := in.Peek(in.Buffered())
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}})
			if secure.Handshake() != nil {
				return
			}
			in, out = bufio.NewReader(io.MultiReader(strings.NewReader(string(kept)), secure)), secure
		}
	}
}
