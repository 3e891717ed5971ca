package pop3client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/xdg-go/scram"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/sasl"
)

// policeman is a server that announces mechanisms and refuses whatever is
// tried, one after another.
type policeman struct {
	capa  string // rows; empty: no CAPA
	tried []string
}

func (p *policeman) serve(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, "+OK <1@mail.example.org>\r\n")
	for in := bufio.NewScanner(conn); in.Scan(); {
		switch verb, arg, _ := strings.Cut(in.Text(), " "); verb {
		case "CAPA":
			if p.capa == "" {
				io.WriteString(conn, "-ERR\r\n")
			} else {
				io.WriteString(conn, "+OK\r\n"+p.capa+".\r\n")
			}
		case "AUTH":
			mechanism, _, _ := strings.Cut(arg, " ")
			p.tried = append(p.tried, mechanism)
			io.WriteString(conn, "-ERR no such mechanism\r\n")
		default:
			p.tried = append(p.tried, verb)
			io.WriteString(conn, "-ERR no\r\n")
		}
	}
}

// signIn signs in at a server, inside TLS or not.
func signIn(t *testing.T, inTLS bool, version uint16, serve func(net.Conn), k pop3client.Credentials) error {
	client, server := testkit.Pipe()
	done := make(chan struct{})
	certificate, pool := testkit.Certificate(t)
	go func() {
		defer close(done)
		if inTLS {
			serve(tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: version}))
		} else {
			serve(server)
		}
		server.Close()
	}()
	defer func() { client.Close(); <-done }()
	var conn net.Conn = client
	if inTLS {
		conn = tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "mail.example.org"})
	}
	c, err := pop3client.New(t.Context(), conn, pop3client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.SignIn(t.Context(), k)
}

// The best mechanism that both sides have comes first.
func TestSignInPolicy(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return "t", nil }
	for _, c := range []struct {
		capa  string
		clear bool
		k     pop3client.Credentials
		want  string
	}{
		{"", false, pop3client.Credentials{}, "USER"},
		{"TOP\r\n", false, pop3client.Credentials{}, "USER"},
		{"USER\r\n", false, pop3client.Credentials{}, "USER"},
		{"SASL LOGIN PLAIN\r\n", false, pop3client.Credentials{}, "PLAIN LOGIN"},
		{"SASL login plain\r\nUSER\r\n", false, pop3client.Credentials{}, "PLAIN LOGIN USER"},
		{"SASL PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI\r\n", false, pop3client.Credentials{}, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN"},
		{"SASL SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n", false, pop3client.Credentials{}, "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS"},
		{"SASL SCRAM-SHA-1-PLUS SCRAM-SHA-256\r\n", false, pop3client.Credentials{}, "SCRAM-SHA-1-PLUS SCRAM-SHA-256"},
		{"SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n", true, pop3client.Credentials{Plaintext: true}, "SCRAM-SHA-256"},
		{"SASL PLAIN\r\nUSER\r\n", true, pop3client.Credentials{Plaintext: true}, "PLAIN USER"},
		{"SASL PLAIN SCRAM-SHA-256\r\nUSER\r\n", true, pop3client.Credentials{}, ""},
		{"SASL GSSAPI\r\n", false, pop3client.Credentials{}, ""},
		{"SASL PLAIN\r\n", false, pop3client.Credentials{Mechanism: "user"}, "USER"},
		{"SASL PLAIN\r\n", false, pop3client.Credentials{Mechanism: "cram-md5"}, "CRAM-MD5"},
		{"SASL PLAIN\r\n", false, pop3client.Credentials{Mechanism: "SCRAM-SHA-256"}, "SCRAM-SHA-256"},
		{"SASL PLAIN\r\n", true, pop3client.Credentials{Mechanism: "SCRAM-SHA-256-PLUS", Plaintext: true}, ""},
		{"SASL PLAIN\r\n", false, pop3client.Credentials{Mechanism: "GSSAPI"}, ""},
		{"SASL PLAIN\r\n", false, pop3client.Credentials{Mechanism: "PLAIN\r\nDELE 1"}, ""},
		{"USER\r\n", false, pop3client.Credentials{Mechanism: "APOP"}, "APOP"},
		{"USER\r\n", true, pop3client.Credentials{Mechanism: "APOP", Plaintext: true}, ""},
		{"SASL PLAIN XOAUTH2 OAUTHBEARER\r\n", false, pop3client.Credentials{Token: token}, "OAUTHBEARER"},
		{"SASL PLAIN XOAUTH2\r\n", false, pop3client.Credentials{Token: token}, "XOAUTH2"},
		{"", false, pop3client.Credentials{Token: token}, "XOAUTH2"},
		{"SASL XOAUTH2\r\n", false, pop3client.Credentials{Token: token, Mechanism: "OAUTHBEARER"}, "OAUTHBEARER"},
		{"SASL XOAUTH2\r\n", false, pop3client.Credentials{Token: token, Mechanism: "PLAIN"}, "PLAIN"},
		{"SASL XOAUTH2\r\n", false, pop3client.Credentials{Mechanism: "XOAUTH2"}, ""},
		{"SASL XOAUTH2\r\n", true, pop3client.Credentials{Token: token}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &policeman{capa: c.capa}
			c.k.User, c.k.Password = "alice", "secret"
			err := signIn(t, !c.clear, 0, p.serve, c.k)
			if got := strings.Join(p.tried, " "); got != c.want || err == nil {
				t.Errorf("%q, clear %v, %+v: tried %q, want %q; %v", c.capa, c.clear, c.k.Mechanism, got, c.want, err)
			}
			if c.want == "" && !errors.Is(err, pop3client.ErrMechanism) && !errors.Is(err, pop3client.ErrPlaintext) {
				t.Errorf("%q, clear %v, %+v: %v", c.capa, c.clear, c.k.Mechanism, err)
			}
		})
	}
}

// A token that cannot be had is an error of its own, before anything is sent.
func TestSignInWithoutToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the token source is out")
		p := &policeman{}
		err := signIn(t, true, 0, p.serve, pop3client.Credentials{
			User: "alice", Token: func(context.Context) (string, error) { return "", broken },
		})
		if !errors.Is(err, broken) || len(p.tried) > 0 {
			t.Errorf("%v; tried %q", err, p.tried)
		}
	})
}

// keeper is a server with SCRAM, which the module has for servers too.
type keeper struct {
	hash       scram.HashGeneratorFcn
	mechanisms string
	password   string // that it knows
	lie        bool   // report success without a proof
	used       string
}

func (k *keeper) serve(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, "+OK\r\n")
	in := bufio.NewScanner(conn)
	for in.Scan() {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		if verb != "AUTH" {
			io.WriteString(conn, "+OK\r\nSASL "+k.mechanisms+"\r\n.\r\n")
			continue
		}
		name, initial, _ := strings.Cut(arg, " ")
		k.used = name
		if err := k.exchange(conn, in, name, initial); err != nil {
			fmt.Fprintf(conn, "-ERR [AUTH] %v\r\n", err)
			continue
		}
		io.WriteString(conn, "+OK\r\n")
	}
}

func (k *keeper) exchange(conn net.Conn, in *bufio.Scanner, name, initial string) error {
	client, err := k.hash.NewClient("alice", k.password, "")
	if err != nil {
		return err
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	if err != nil {
		return err
	}
	server, err := k.hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return err
	}
	talk := server.NewConversation()
	if strings.HasSuffix(name, "-PLUS") {
		state := conn.(*tls.Conn).ConnectionState()
		binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return err
		}
		talk = server.NewConversationWithChannelBindingRequired(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: binding})
	}
	for response := initial; ; response = in.Text() {
		said, err := base64.StdEncoding.DecodeString(response)
		if err != nil {
			return err
		}
		if talk.Done() || k.lie {
			return nil
		}
		challenge, err := talk.Step(string(said))
		if err != nil {
			return err
		}
		fmt.Fprintf(conn, "+ %s\r\n", base64.StdEncoding.EncodeToString([]byte(challenge)))
		if !in.Scan() {
			return io.ErrUnexpectedEOF
		}
	}
}

// SCRAM against another implementation's server, with and without a channel.
func TestSignInByScram(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mechanisms, want string
		hash             scram.HashGeneratorFcn
		version          uint16
		clear            bool
	}{
		{"SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256-PLUS", scram.SHA256, tls.VersionTLS13, false},
		{"SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256-PLUS", scram.SHA256, tls.VersionTLS12, false},
		{"SCRAM-SHA-1-PLUS PLAIN", "SCRAM-SHA-1-PLUS", scram.SHA1, tls.VersionTLS13, false},
		{"SCRAM-SHA-256 PLAIN", "SCRAM-SHA-256", scram.SHA256, tls.VersionTLS13, false},
		{"SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256", scram.SHA256, 0, true},
		{"SCRAM-SHA-1 PLAIN", "SCRAM-SHA-1", scram.SHA1, 0, true},
	} {
		for _, password := range []string{"right", "wrong"} {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{hash: c.hash, mechanisms: c.mechanisms, password: "right"}
				err := signIn(t, !c.clear, c.version, k.serve, pop3client.Credentials{User: "alice", Password: password, Plaintext: c.clear})
				if k.used != c.want || (err == nil) != (password == "right") {
					t.Errorf("%s, %s password: by %s, %v", c.mechanisms, password, k.used, err)
				}
			})
		}
	}
}

// A server that reports success and has proved nothing is not believed.
func TestSignInWithoutProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{hash: scram.SHA256, mechanisms: "SCRAM-SHA-256", password: "right", lie: true}
		err := signIn(t, true, 0, k.serve, pop3client.Credentials{User: "alice", Password: "right"})
		if err == nil || !strings.Contains(err.Error(), "has not proved") {
			t.Errorf("got %v", err)
		}
	})
}

// endlessExchange is a mechanism that always has an answer.
type endlessExchange struct{ sasl.Client }

func (endlessExchange) Name() string                 { return "X-ENDLESS" }
func (endlessExchange) Start() ([]byte, bool, error) { return []byte("x"), true, nil }
func (endlessExchange) Next([]byte) ([]byte, error)  { return []byte("x"), nil }
func (endlessExchange) Done() error                  { return nil }

// ticketed is GSSAPI, as far as it is a name.
type ticketed struct{ endlessExchange }

func (ticketed) Name() string { return "GSSAPI" }

// Outside TLS, Auth takes GSSAPI and nothing else.
func TestAuthInClear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := testkit.Pipe()
		p := &policeman{}
		done := make(chan struct{})
		go func() { defer close(done); p.serve(server) }()
		defer func() { client.Close(); <-done }()
		c, err := pop3client.New(t.Context(), client, pop3client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, m := range []sasl.Client{endlessExchange{}, sasl.PlainClient("alice", "secret"), sasl.XOAUTH2Client("alice", "secret")} {
			if err := c.Auth(t.Context(), m, true); !errors.Is(err, pop3client.ErrPlaintext) {
				t.Errorf("%s: %v", m.Name(), err)
			}
		}
		if err := c.Auth(t.Context(), ticketed{}, false); err == nil || errors.Is(err, pop3client.ErrPlaintext) {
			t.Errorf("GSSAPI: %v", err)
		}
		if got := strings.Join(p.tried, " "); got != "GSSAPI" {
			t.Errorf("tried %q", got)
		}
	})
}

// Auth takes any mechanism, inside TLS, and bounds the challenges.
func TestAuth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := testkit.Pipe()
		certificate, pool := testkit.Certificate(t)
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}})
			defer conn.Close()
			io.WriteString(conn, "+OK\r\n")
			for in := bufio.NewScanner(conn); in.Scan(); {
				got = append(got, in.Text())
				io.WriteString(conn, "+ \r\n")
			}
		}()
		ctx := t.Context()
		c, err := pop3client.New(ctx, tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "mail.example.org"}), pop3client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(ctx, endlessExchange{}, true); !errors.Is(err, pop3client.ErrLimit) {
			t.Errorf("got %v", err)
		}
		if err := c.Auth(ctx, endlessExchange{}, true); !errors.Is(err, pop3client.ErrBroken) {
			t.Errorf("and then %v", err)
		}
		<-done
		if want := append([]string{"AUTH X-ENDLESS eA=="}, slices.Repeat([]string{"eA=="}, 16)...); !slices.Equal(got, want) {
			t.Errorf("the server got %q", got)
		}
	})
}
