package pop3client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// mute is a server that answers the first commands as given and then says
// nothing more. It reads what it is sent.
func mute(t *testing.T, answers ...string) (client *testkit.Conn, sent func() string) {
	client, server := testkit.Pipe()
	var got strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		io.WriteString(server, "+OK\r\n")
		in := bufio.NewReader(server)
		for {
			line, err := in.ReadString('\n')
			got.WriteString(line)
			if err != nil {
				return
			}
			if len(answers) > 0 {
				io.WriteString(server, answers[0])
				answers = answers[1:]
			}
		}
	}()
	t.Cleanup(func() { client.Close(); <-done })
	return client, func() string { client.Close(); <-done; return got.String() }
}

// steps are the methods that wait for an answer.
var steps = map[string]func(context.Context, *pop3client.Client) error{
	"CAPA": func(ctx context.Context, c *pop3client.Client) error { _, err := c.Capabilities(ctx); return err },
	"STAT": func(ctx context.Context, c *pop3client.Client) error { _, _, err := c.Stat(ctx); return err },
	"LIST": func(ctx context.Context, c *pop3client.Client) error { _, err := c.List(ctx); return err },
	"UIDL": func(ctx context.Context, c *pop3client.Client) error { _, err := c.UIDL(ctx); return err },
	"RETR": func(ctx context.Context, c *pop3client.Client) error { _, err := c.Retr(ctx, 1); return err },
	"TOP":  func(ctx context.Context, c *pop3client.Client) error { _, err := c.Top(ctx, 1, 0); return err },
	"DELE": func(ctx context.Context, c *pop3client.Client) error { return c.Dele(ctx, 1) },
	"NOOP": func(ctx context.Context, c *pop3client.Client) error { return c.Noop(ctx) },
	"RSET": func(ctx context.Context, c *pop3client.Client) error { return c.Rset(ctx) },
	"QUIT": func(ctx context.Context, c *pop3client.Client) error { return c.Quit(ctx) },
	"AUTH": func(ctx context.Context, c *pop3client.Client) error {
		return c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "secret", Mechanism: "PLAIN", Plaintext: true})
	},
	"pipe": func(ctx context.Context, c *pop3client.Client) error {
		p := c.Pipeline(pop3client.Window{})
		p.Retr(1, 0)
		_, err := p.Next(ctx)
		return err
	},
}

// Whoever waits stops waiting at once, and the connection is broken.
func TestCancelEndsTheWait(t *testing.T) {
	t.Parallel()
	for name, do := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, _ := mute(t)
				c, err := pop3client.New(t.Context(), conn, pop3client.Options{NoCapa: name != "CAPA"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(7*time.Second, cancel)
				if err := do(ctx, c); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "pop3client: ") {
					t.Errorf("%v, want a cancel", err)
				}
				if waited := time.Since(began); waited != 7*time.Second {
					t.Errorf("it waited for %v", waited)
				}
				for range 2 {
					if err := c.Noop(t.Context()); !errors.Is(err, pop3client.ErrBroken) || errors.Is(err, context.Canceled) {
						t.Errorf("after a cancel: %v, want ErrBroken", err)
					}
				}
				if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the connection is open: %v", err)
				}
			})
		})
	}
}

// A context that has ended before changes nothing and sends nothing.
func TestCancelBefore(t *testing.T) {
	t.Parallel()
	for name, do := range steps {
		if name == "QUIT" {
			continue // which closes the connection in each case
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, sent := mute(t, "+OK\r\n")
				c, err := pop3client.New(t.Context(), conn, pop3client.Options{NoCapa: name != "CAPA"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := do(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, pop3client.ErrBroken) {
					t.Errorf("%v, want a cancel", err)
				}
				if err := c.Noop(t.Context()); err != nil {
					t.Errorf("the next command: %v", err)
				}
				if got := sent(); got != "NOOP\r\n" {
					t.Errorf("the server got %q", got)
				}
			})
		})
	}
}

// A message belongs to the context that it was asked for with, and a context
// that ends after its command breaks nothing.
func TestCancelAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, _ := mute(t, "+OK\r\n", "+OK\r\nwhole\r\n.\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\nhere already\r\n.\r\n", "+OK\r\n", "+OK\r\nhalf\r\n")
		c, err := pop3client.New(t.Context(), conn, pop3client.Options{NoCapa: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Noop(ctx); err != nil {
			t.Fatal(err)
		}
		b, err := c.Retr(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(b); err != nil {
			t.Fatal(err)
		}
		p := c.Pipeline(pop3client.Window{})
		p.Dele(1)
		if _, err := p.Next(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if err := c.Noop(t.Context()); err != nil {
			t.Errorf("after commands whose context has ended since: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		if b, err = c.Retr(ctx, 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if got, err := io.ReadAll(b); string(got) != "here already\r\n" || err != nil {
			t.Errorf("a message that was here before the cancel: %q, %v", got, err)
		}
		if err := c.Noop(t.Context()); err != nil {
			t.Errorf("after it: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if b, err = c.Retr(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); string(got) != "half\r\n" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second Read: %v", err)
		}
		if err := b.Close(); err == nil {
			t.Error("Close of half a message succeeds")
		}
	})
}

// Dial gives up in each of its steps.
func TestCancelDial(t *testing.T) {
	t.Parallel()
	never := dialFunc(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
	silent := dialFunc(func(context.Context) (net.Conn, error) {
		client, server := testkit.Pipe()
		go func() { io.Copy(io.Discard, server); server.Close() }()
		return client, nil
	})
	for name, c := range map[string]struct {
		dialer   pop3client.Dialer
		security pop3client.Security
	}{"connecting": {never, pop3client.TLS}, "TLS handshake": {silent, pop3client.TLS}, "greeting": {silent, pop3client.STLS}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				_, err := pop3client.Dial(ctx, "mail.example.org:995", c.security, pop3client.Options{Dialer: c.dialer})
				if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "pop3client: "+name+": ") {
					t.Errorf("a cancel: %v", err)
				}
				_, err = pop3client.Dial(t.Context(), "mail.example.org:995", c.security, pop3client.Options{Dialer: c.dialer, Timeout: 9 * time.Second})
				var late interface{ Timeout() bool }
				if !errors.As(err, &late) || !late.Timeout() || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the timeout: %v", err)
				}
				if waited := time.Since(began); waited != 14*time.Second {
					t.Errorf("it waited for %v", waited)
				}
			})
		})
	}
}

type dialFunc func(ctx context.Context) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }

// Text of a certificate is the server's.
func TestDialShowsCertificateEscaped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		certificate, pool := testkit.Certificate(t, "evil\x1b[2J.example.org")
		_, err := pop3client.Dial(t.Context(), "mail.example.org:995", pop3client.TLS, pop3client.Options{
			TLS: &tls.Config{RootCAs: pool},
			Dialer: dialFunc(func(context.Context) (net.Conn, error) {
				client, server := testkit.Pipe()
				go func() {
					tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
					server.Close()
				}()
				return client, nil
			}),
		})
		var wrong *tls.CertificateVerificationError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), `evil\x1b[2J.example.org`) {
			t.Errorf("got %q", err)
		}
	})
}

// A server that takes no commands cannot hold the client.
func TestWriteStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe() // without a buffer
		defer server.Close()
		go io.WriteString(server, "+OK\r\n")
		c, err := pop3client.New(t.Context(), client, pop3client.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = c.Noop(t.Context())
		var late interface{ Timeout() bool }
		if !errors.As(err, &late) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
