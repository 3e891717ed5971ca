package kpop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/postwain/postwain/internal/krb"
)

// Acceptor judges AP-REQ messages; a [krb.Acceptor] is one.
type Acceptor interface {
	Accept(message []byte, asked krb.Asked) (s *krb.Session, reply []byte, err error)
}

// Accept is the server's side of the exchange: it proves who is at the other
// end of conn, and the server to them if they wish. It reads nothing behind the
// exchange, so POP3 can go on with conn. remote is the client's address, after
// a PROXY header; the zero Addr if there is none.
//
// The whole takes at most 30 seconds, or as long as ctx allows, and at most 64
// KiB of memory. The error wraps [krb.ErrRefused], or [ErrProtocol], or it is
// an outage of the connection or of the acceptor. A client that is refused, or
// that speaks something else, has been told so. The caller closes conn.
func Accept(ctx context.Context, conn net.Conn, a Acceptor, remote netip.Addr) (krb.Principal, error) {
	var client krb.Principal
	err := bounded(ctx, conn, func() (err error) {
		if err := readNames(conn); err != nil {
			return err
		}
		client, err = judge(conn, a, remote)
		return err
	})
	return client, err
}

// readNames reads the names of both protocols and answers them. As the MIT
// library does, it reads both before it complains of the first.
func readNames(conn net.Conn) error {
	sendauth, err := readMessage(conn, maxVersion)
	if err != nil {
		return complain(conn, sendauthWrong, err)
	}
	protocol, err := readMessage(conn, maxVersion)
	switch {
	case string(sendauth) != sendauthVersion:
		return complain(conn, sendauthWrong, fmt.Errorf("%w: %+.24q instead of %q", ErrProtocol, sendauth, sendauthVersion))
	case err != nil:
		return complain(conn, protocolWrong, err)
	case string(protocol) != protocolVersion:
		return complain(conn, protocolWrong, fmt.Errorf("%w: %+.24q instead of %q", ErrProtocol, protocol, protocolVersion))
	}
	return write(conn, []byte{namesGood})
}

// complain tells the other side, if it does not speak KPOP, and gives err.
func complain(conn net.Conn, octet byte, err error) error {
	if errors.Is(err, ErrProtocol) {
		conn.Write([]byte{octet}) // err is what counts
	}
	return err
}

// judge reads the AP-REQ and answers it.
func judge(conn net.Conn, a Acceptor, remote netip.Addr) (krb.Principal, error) {
	message, err := readMessage(conn, maxToken)
	if err != nil {
		return krb.Principal{}, err
	}
	s, reply, err := a.Accept(message, krb.Asked{Remote: remote})
	if err != nil {
		answer := krb.OutageMessage()
		var refusal *krb.Refusal
		if errors.As(err, &refusal) {
			answer = refusal.Message()
		}
		conn.Write(appendMessage(nil, string(answer))) // err is what counts
		return krb.Principal{}, err
	}
	answer := appendMessage(nil, "") // no error
	if s.Mutual {
		answer = appendMessage(answer, string(reply))
	}
	return s.Client, write(conn, answer)
}
