// Package kpop is Kerberized POP, for both sides: the exchange of the MIT
// library's krb5_sendauth in front of a POP3 session, on a port of its own
// (1109). No RFC describes it. It says who is there and no more: what follows
// is in clear.
//
//	client: length "KRB5_SENDAUTH_V1.0\0"  length "KPOPV1.0\0"
//	server: one octet: 0 good, 1 wrong sendauth, 2 wrong protocol
//	client: length AP-REQ
//	server: length 0, or length KRB-ERROR and the end
//	server: length AP-REP, if the client wants the server to prove itself
//
// Lengths are numbers of 32 bits in network order. Those of the two names count
// the NUL.
//
// Then comes POP3, from the greeting on. The client says USER with the name of
// its account, and PASS with anything: fetchmail says krb_ticket.
package kpop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/postwain/postwain/internal/krb"
)

// Port is where KPOP is spoken, the service kpop.
const Port = 1109

// Service is the first part of the server's principal: pop/mail.example.org.
const Service = "pop"

const (
	sendauthVersion = "KRB5_SENDAUTH_V1.0\x00"
	protocolVersion = "KPOPV1.0\x00"

	// maxVersion is how many octets of a name are read at all, right or not.
	maxVersion = 64

	// exchangeTimeout bounds the whole exchange, besides what the caller's
	// context says.
	exchangeTimeout = 30 * time.Second
)

// The server's answers to the names.
const (
	namesGood     = 0
	sendauthWrong = 1
	protocolWrong = 2
)

// ErrProtocol says that the other side does not speak KPOP.
var ErrProtocol = errors.New("kpop: other side does not speak KPOP")

// bounded runs f while conn has a deadline: that of ctx, and at the latest
// exchangeTimeout from now. Then it takes the deadline away. The connection of
// an exchange that failed is of no use any more.
func bounded(ctx context.Context, conn net.Conn, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	limit, _ := ctx.Deadline()
	if err := conn.SetDeadline(limit); err != nil {
		return fmt.Errorf("kpop: %w", err)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		conn.SetDeadline(time.Unix(1, 0)) // wakes what reads or writes
	})
	err := f()
	if !stop() {
		<-stopped
		if err != nil {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kpop: %w", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("kpop: %w", err)
	}
	return nil
}

// readMessage reads a message behind its length and not an octet more. Memory
// is taken as the octets come.
func readMessage(r io.Reader, most uint32) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("kpop: reading a length: %w", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > most {
		return nil, fmt.Errorf("%w: message of %d octets where at most %d can be", ErrProtocol, n, most)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("kpop: reading a message: %w", err)
	}
	return b.Bytes(), nil
}

// appendMessage appends a message with its length to b.
func appendMessage(b []byte, message string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(message))), message...)
}

func write(w io.Writer, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("kpop: %w", err)
	}
	return nil
}

// maxToken is the longest AP-REQ, AP-REP or KRB-ERROR.
const maxToken = krb.MaxMessage
