package kpop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/postwain/postwain/internal/krb"
)

// Initiator makes requests; a [krb.Ticket] is one.
type Initiator interface {
	Request(o krb.RequestOptions) (*krb.Request, error)
}

// Connect is the client's side of the exchange: it proves whose ticket t is to
// the server at the other end of conn, which must prove itself too. It reads
// nothing behind the exchange: next comes the greeting of POP3.
//
// The whole takes at most 30 seconds, or as long as ctx allows. The error wraps
// [krb.ErrRefused] if the server does not accept the ticket, or [ErrProtocol].
// The caller closes conn.
func Connect(ctx context.Context, conn net.Conn, t Initiator) error {
	return bounded(ctx, conn, func() error {
		if err := sendNames(conn); err != nil {
			return err
		}
		return prove(conn, t)
	})
}

func sendNames(conn net.Conn) error {
	if err := write(conn, appendMessage(appendMessage(nil, sendauthVersion), protocolVersion)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("kpop: reading the server's answer: %w", err)
	}
	switch answer[0] {
	case namesGood:
		return nil
	case sendauthWrong:
		return fmt.Errorf("%w: server does not know this version of sendauth", ErrProtocol)
	case protocolWrong:
		return fmt.Errorf("%w: server does not know this version of KPOP", ErrProtocol)
	case '+', '-':
		return fmt.Errorf("%w: server speaks POP3 at once", ErrProtocol)
	}
	return fmt.Errorf("%w: server answers %d", ErrProtocol, answer[0])
}

// prove sends the AP-REQ, which is made as late as can be, since it counts for
// a short time and once.
func prove(conn net.Conn, t Initiator) error {
	req, err := t.Request(krb.RequestOptions{})
	if err != nil {
		return err
	}
	if err := write(conn, appendMessage(nil, string(req.Message))); err != nil {
		return err
	}
	trouble, err := readMessage(conn, maxToken)
	if err != nil {
		return err
	}
	if len(trouble) > 0 {
		return krb.ReadError(trouble, "server")
	}
	reply, err := readMessage(conn, maxToken)
	if err != nil {
		return err
	}
	if len(reply) == 0 {
		return errors.New("kpop: server does not prove who it is")
	}
	_, err = req.Verify(reply)
	return err
}
