//go:build interop

package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/acme"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// pebbleModule is Let's Encrypt's server for tests. It validates for real, and
// refuses some of the nonces so that clients learn to try again.
const pebbleModule = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"

const macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

// buildPebble makes the program, once for all tests.
var buildPebble = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(program), "pebble")
	install := exec.Command("go", "install", pebbleModule)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "pebble"), nil
})

// pebble is a running authority.
type pebble struct {
	directory, management string
	roots                 *x509.CertPool // of its web server
}

// startPebble starts an authority that comes to port for every host.
func startPebble(t *testing.T, port int, bound bool) pebble {
	t.Helper()
	path, err := buildPebble()
	if err != nil {
		t.Fatalf("no pebble: %v", err)
	}
	dir := t.TempDir()
	pair := listen.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := listen.SelfSigned(pair, []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	serve, manage := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": serve, "managementListenAddress": manage, "certificate": pair.Cert, "privateKey": pair.Key,
		"httpPort": port, "tlsPort": port, "externalAccountBindingRequired": bound,
		"externalAccountMACKeys": map[string]string{"kid-1": macKey}, "retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	program := exec.Command(path, "-strict", "-config", file, "-dnsserver", everywhereLoopback(t))
	program.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_VA_ALWAYS_VALID=0", "PEBBLE_WFE_NONCEREJECT=20")
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		for in := bufio.NewScanner(out); in.Scan(); {
			fmt.Fprintln(&all, in.Text())
		}
		said <- all.String()
	}()
	t.Cleanup(func() {
		_ = program.Process.Kill()
		text := <-said
		_ = program.Wait()
		if t.Failed() {
			t.Log(text)
		}
	})
	data, err := os.ReadFile(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	p := pebble{directory: "https://" + serve + "/dir", management: "https://" + manage, roots: x509.NewCertPool()}
	p.roots.AppendCertsFromPEM(data)
	p.get(t, p.directory)
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get fetches a page from the authority once it is up.
func (p pebble) get(t *testing.T, url string) []byte {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}}}
	defer client.CloseIdleConnections()
	tick, late := time.NewTicker(50*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		resp, err := client.Get(url)
		if err == nil {
			defer resp.Body.Close()
			data, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		select {
		case <-tick.C: // it is starting
		case <-late:
			t.Fatal(err)
		}
	}
}

// everywhereLoopback starts a DNS server that says 127.0.0.1 for every name. It
// speaks TCP, as pebble does.
func everywhereLoopback(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerQueries(conn)
		}
	}()
	return l.Addr().String()
}

func answerQueries(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		query := make([]byte, size)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer := loopbackAnswer(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// loopbackAnswer answers a query with one question (RFC 1035 §4).
func loopbackAnswer(q []byte) []byte {
	end := 12
	for end < len(q) && q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5 // the root, type and class
	if len(q) < end {
		return nil
	}
	answer := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	if q[end-4] == 0 && q[end-3] == 1 { // A
		answer[7] = 1
		answer = append(answer, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return answer
}

type nobodyHome struct{}

func (nobodyHome) Authenticate(context.Context, sasl.Login) (string, error) {
	return "", sasl.ErrRefused
}

// A POP3 server has certificates of a real authority: by either challenge, for
// each name, with a chain that a client verifies, and with an account that the
// authority knows already.
func TestACME(t *testing.T) {
	for _, tt := range []struct {
		challenge acme.Challenge
		bound     bool
	}{{acme.TLSALPN, false}, {acme.HTTP, true}} {
		t.Run(string(tt.challenge), func(t *testing.T) {
			visits, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ca := startPebble(t, visits.Addr().(*net.TCPAddr).Port, tt.bound)
			hosts := []string{"mail." + string(tt.challenge) + ".example.org", "pop." + string(tt.challenge) + ".example.org"}
			log, events := &lines{}, make(chan string, 100)
			o := acme.Options{
				Hosts: hosts, Email: "postmaster@postwain.org", Directory: ca.directory, Agree: true, Challenge: tt.challenge,
				Listener: visits, Dir: filepath.Join(t.TempDir(), "acme"), Roots: ca.roots, Log: slog.New(slog.NewTextHandler(log, nil)),
				Report: func(host string, err error) {
					if err != nil {
						host = err.Error()
					}
					events <- host
				},
			}
			if tt.bound {
				o.EAB = &acme.EAB{KeyID: "kid-1", Key: macKey}
			}
			m, err := acme.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Manage(t.Context()); err != nil {
				t.Fatal(err)
			}
			certificates, _, err := listen.LoadCertificates(nil)
			if err != nil {
				t.Fatal(err)
			}
			certificates.SetSource(m.GetCertificate)
			address := servePOP3S(t, certificates.Config())
			for range hosts {
				select {
				case e := <-events:
					if e != hosts[0] && e != hosts[1] {
						t.Fatal(e)
					}
				case <-time.After(time.Minute):
					t.Fatalf("no certificate: %s", log)
				}
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(ca.get(t, ca.management+"/roots/0")) {
				t.Fatal("the authority has no root")
			}
			for _, host := range hosts {
				greet(t, address, &tls.Config{RootCAs: roots, ServerName: host})
			}
			if strings.Contains(log.String(), macKey) || strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

func servePOP3S(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := pop3server.NewServer(pop3server.Options{Backend: pop3server.New(nobodyHome{}, memdrop.New()), TLS: config, Implicit: true})
	go s.Serve(l)
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return l.Addr().String()
}

// greet reads a greeting over TLS.
func greet(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Errorf("%s: %v", config.ServerName, err)
		return
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
		t.Errorf("%s: %q, %v", config.ServerName, line, err)
	}
}

// lines are what is logged by several.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
