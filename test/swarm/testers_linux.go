package swarm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// scan has the testers look at a server that is as it comes.
func scan(ctx context.Context, _ uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	at := address(stand.Server.POP3S)
	r.Count = 1
	return r, errors.Join(sslscan(ctx, at, &r), testssl(ctx, stand.Dir, at, &r))
}

// scanOld has sslscan look at a server of TLS as it was in 1999.
func scanOld(ctx context.Context) (r campaign.Result, err error) {
	space, err := rig.NewSpace("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, space.Close()) }()
	pair, err := tls.LoadX509KeyPair(space.TLS.Cert, space.TLS.Key)
	if err != nil {
		return r, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}})
	if err != nil {
		return r, err
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).Handshake()
				_, _ = conn.Read(make([]byte, 1))
			}()
		}
	}()
	r.Count = 1
	return r, sslscan(ctx, l.Addr().String(), &r)
}

// sslscan's word for ciphers that are fine is strong, or acceptable.
func sslscan(ctx context.Context, address string, r *campaign.Result) error {
	out, err := exec.CommandContext(ctx, "sslscan", "--xml=-", address).Output()
	if err != nil {
		return fmt.Errorf("sslscan: %w", err)
	}
	var seen struct {
		Test struct {
			Protocols []struct {
				Type    string `xml:"type,attr"`
				Version string `xml:"version,attr"`
				Enabled bool   `xml:"enabled,attr"`
			} `xml:"protocol"`
			Renegotiation struct {
				Supported bool `xml:"supported,attr"`
				Secure    bool `xml:"secure,attr"`
			} `xml:"renegotiation"`
			Compression struct {
				Supported bool `xml:"supported,attr"`
			} `xml:"compression"`
			Heartbleed []struct {
				Vulnerable bool `xml:"vulnerable,attr"`
			} `xml:"heartbleed"`
			Ciphers []struct {
				Name     string `xml:"cipher,attr"`
				Strength string `xml:"strength,attr"`
			} `xml:"cipher"`
		} `xml:"ssltest"`
	}
	if err := xml.Unmarshal(out, &seen); err != nil {
		return fmt.Errorf("sslscan: %w", err)
	}
	t := seen.Test
	if len(t.Protocols) == 0 || len(t.Ciphers) == 0 {
		return fmt.Errorf("sslscan saw no TLS: %.300q", out)
	}
	for _, p := range t.Protocols {
		if modern := p.Type == "tls" && (p.Version == "1.2" || p.Version == "1.3"); p.Enabled != modern {
			r.Find("sslscan: %s %s is %v", p.Type, p.Version, p.Enabled)
		}
	}
	for _, c := range t.Ciphers {
		if c.Strength != "strong" && c.Strength != "acceptable" {
			r.Find("sslscan: cipher %s is %s", c.Name, c.Strength)
		}
		if strings.Contains(c.Name, "-SHA") && !strings.Contains(c.Name, "GCM") { // CBC
			r.Find("sslscan: cipher %s has no AEAD", c.Name)
		}
	}
	for _, h := range t.Heartbleed {
		if h.Vulnerable {
			r.Find("sslscan: heartbleed")
		}
	}
	if t.Renegotiation.Supported && !t.Renegotiation.Secure || t.Compression.Supported {
		r.Find("sslscan: renegotiation or compression")
	}
	return nil
}

// testssl calls everything from OK over INFO to CRITICAL.
func testssl(ctx context.Context, dir, address string, r *campaign.Result) error {
	path := filepath.Join(dir, "testssl.json")
	cmd := exec.CommandContext(ctx, "testssl", "--quiet", "--warnings", "off", "--color", "0", "--jsonfile", path, address)
	cmd.Dir = dir
	said, failed := cmd.CombinedOutput() // it ends with the number of its complaints
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("testssl: %w: %w: %.500s", failed, err, said)
	}
	var seen []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(data, &seen); err != nil {
		return fmt.Errorf("testssl: %w", err)
	}
	judged := 0
	for _, s := range seen {
		switch s.Severity {
		case "OK", "INFO":
			judged++
		case "FATAL":
			return fmt.Errorf("testssl: %s: %s", s.ID, s.Finding)
		case "LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN":
			if !excused(s.ID) {
				r.Find("testssl: %s %s: %s", s.Severity, s.ID, s.Finding)
			}
		}
	}
	if judged < 50 {
		return fmt.Errorf("testssl has looked at %d things only: %.500s", judged, said)
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: "items of testssl that are OK or INFO", Value: strconv.Itoa(judged)})
	return nil
}

// excused are complaints about what the operator brings, the certificate and
// the name server's records, and about the time that a session ticket is said
// to be good for: crypto/tls says seven days, the most of RFC 8446 §4.6.1, and
// has no option. How long a ticket is really good for, internal/listen decides.
// What openssl on this machine cannot do for testssl is none of the server's.
func excused(id string) bool {
	return strings.HasPrefix(id, "cert") || strings.HasPrefix(id, "DNS_") || id == "TLS_session_ticket" || id == "engine_problem"
}

// address is that of a port of the server.
func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
