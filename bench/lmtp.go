//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// lmtp is an LMTP client that sends one command at a time.
type lmtp struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialLMTP(s *rig.Server) (*lmtp, error) {
	conn, err := net.Dial("unix", s.Unix)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	l := &lmtp{conn, bufio.NewReader(conn)}
	if err := l.answer("220"); err != nil {
		return nil, err
	}
	return l, l.ask("LHLO client.example.net\r\n", "250")
}

func (l *lmtp) send(account string, data []byte) error {
	if err := l.ask("MAIL FROM:<ann@example.net>\r\n", "250"); err != nil {
		return err
	}
	if err := l.ask("RCPT TO:<"+account+">\r\n", "250"); err != nil {
		return err
	}
	if err := l.ask("DATA\r\n", "354"); err != nil {
		return err
	}
	return l.ask(stuffed(data)+".\r\n", "250")
}

// stuffed is the form in which a message goes over the wire.
func stuffed(data []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(data) {
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.Write(bytes.TrimSuffix(line, []byte("\n")))
		b.WriteString("\r\n")
	}
	return b.String()
}

func (l *lmtp) ask(command, code string) error {
	if _, err := l.conn.Write([]byte(command)); err != nil {
		return err
	}
	return l.answer(code)
}

func (l *lmtp) answer(code string) error {
	for {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("the server says %q", line)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

func (l *lmtp) quit() error {
	err := l.ask("QUIT\r\n", "221")
	l.conn.Close()
	return err
}
