package differential

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
)

// identity is our server's in TLS.
type identity struct{ config *tls.Config }

func newIdentity() (id *identity, err error) {
	dir, err := os.MkdirTemp("", "postwain-differential-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := listen.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := listen.SelfSigned(p, []string{"localhost"}); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	return &identity{&tls.Config{Certificates: []tls.Certificate{pair}}}, err
}

// serveTLS is serve in TLS from the first octet.
func (id *identity) serveTLS(s maildrop.Store, c *script) error {
	return id.serve(s, c, true, func(conn net.Conn) (*tls.Conn, []byte, error) { return id.client(conn), nil, nil })
}

// serveSTLS is serve behind STLS. The greeting is what came in clear.
func (id *identity) serveSTLS(s maildrop.Store, c *script) error {
	return id.serve(s, c, false, func(conn net.Conn) (*tls.Conn, []byte, error) {
		r := bufio.NewReader(conn)
		greeting, err := r.ReadBytes('\n')
		if err != nil {
			return nil, nil, err
		}
		if _, err := io.WriteString(conn, "STLS\r\n"); err != nil {
			return nil, nil, err
		}
		consent, err := r.ReadString('\n')
		if err != nil || consent[:3] != "+OK" || r.Buffered() > 0 {
			return nil, nil, fmt.Errorf("differential: STLS is answered %q, %w", consent, err)
		}
		return id.client(conn), greeting, nil
	})
}

func (id *identity) client(conn net.Conn) *tls.Conn {
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // whose it is does not matter here
}

func (id *identity) serve(s maildrop.Store, c *script, implicit bool, begin func(net.Conn) (*tls.Conn, []byte, error)) error {
	near, far := net.Pipe()
	var serving sync.WaitGroup
	var failed error
	serving.Go(func() {
		failed = answerOn(far, pop3server.Options{Backend: pop3server.New(carolOnly{}, s), TLS: id.config, Implicit: implicit})
	})
	err := talk(near, c, begin)
	serving.Wait()
	return errors.Join(failed, err)
}

// talk says the parts of c on a connection and keeps what is answered.
func talk(conn net.Conn, c *script, begin func(net.Conn) (*tls.Conn, []byte, error)) error {
	defer conn.Close()
	secure, greeting, err := begin(conn)
	if err != nil {
		return err
	}
	c.out.Write(greeting)
	var reading sync.WaitGroup
	var rest bytes.Buffer
	reading.Go(func() { _, _ = io.Copy(&rest, secure) }) // up to its end, of whichever kind
	for _, part := range c.parts {
		if _, err := io.WriteString(secure, part); err != nil {
			break // the server has hung up
		}
	}
	_ = secure.CloseWrite() // likewise
	reading.Wait()
	c.out.Write(rest.Bytes())
	return nil
}
