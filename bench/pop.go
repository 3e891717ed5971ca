//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// pop is a POP3 client that does as little as can be.
type pop struct {
	conn net.Conn
	r    *bufio.Reader
}

// dialPOP connects, by TLS from the first octet where config is not nil, and
// signs in.
func dialPOP(s *rig.Server, config *tls.Config, account string) (*pop, error) {
	port := s.POP3
	if config != nil {
		port = s.POP3S
	}
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	p := &pop{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}
	if err := p.signIn(account); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *pop) signIn(account string) error {
	if _, err := p.answer(); err != nil {
		return err
	}
	if _, err := p.ask("USER " + account + "\r\n"); err != nil {
		return err
	}
	_, err := p.ask("PASS " + rig.Password + "\r\n")
	return err
}

func (p *pop) ask(command string) (string, error) {
	if _, err := io.WriteString(p.conn, command); err != nil {
		return "", err
	}
	return p.answer()
}

func (p *pop) answer() (string, error) {
	line, err := p.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < 3 || line[0] != '+' {
		return "", fmt.Errorf("the server says %q", line)
	}
	return string(line), nil
}

// stat asks for the number of messages and their octets.
func (p *pop) stat() (n, octets int64, err error) {
	line, err := p.ask("STAT\r\n")
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscanf(line, "+OK %d %d", &n, &octets)
	return n, octets, err
}

// retr fetches a message and gives the digest of its octets.
func (p *pop) retr(number int) (digest [sha256.Size]byte, err error) {
	if _, err := p.ask(fmt.Sprintf("RETR %d\r\n", number)); err != nil {
		return digest, err
	}
	h := sha256.New()
	for {
		line, err := p.r.ReadSlice('\n') // no line of ours is longer than the buffer
		if err != nil {
			return digest, err
		}
		if line[0] == '.' {
			if string(line) == ".\r\n" {
				h.Sum(digest[:0])
				return digest, nil
			}
			line = line[1:]
		}
		h.Write(line)
	}
}

func (p *pop) quit() error {
	_, err := p.ask("QUIT\r\n")
	p.conn.Close()
	return err
}
