package kerberos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/sasl"
)

// Initiator makes requests; a [krb.Ticket] is one.
type Initiator interface {
	Request(o krb.RequestOptions) (*krb.Request, error)
}

type client struct {
	ticket   Initiator
	identity string
	request  *krb.Request
	session  *krb.Session
	steps    int
	done     bool
}

// Client returns the client's side of GSSAPI (RFC 4752) for a ticket for the
// service pop on the server's host. identity is the account to act for; empty:
// the one that the server takes the ticket's client for. Start fails if it
// contains NUL.
//
// The server must prove that it has the key of the service. A server that
// wants a security layer is not talked to. The error of a refusal wraps
// [sasl.ErrRefused].
func Client(ticket Initiator, identity string) sasl.Client {
	return &client{ticket: ticket, identity: identity}
}

func (*client) Name() string { return "GSSAPI" }

// Start sends the ticket.
func (c *client) Start() (initial []byte, has bool, err error) {
	c.request, c.session, c.steps, c.done = nil, nil, 0, false
	if len(c.identity) > sasl.MaxUser || strings.Contains(c.identity, "\x00") {
		return nil, false, errors.New("kerberos: user name is too long or contains NUL")
	}
	sum := make([]byte, checksumOctets) // no channel bindings
	binary.LittleEndian.PutUint32(sum, 16)
	binary.LittleEndian.PutUint32(sum[20:], flagMutual|flagReplay|flagSequence|flagIntegrity)
	c.request, err = c.ticket.Request(krb.RequestOptions{Checksum: krb.Checksum{Type: checksumType, Value: sum}, Subkey: true})
	if err != nil {
		return nil, false, err
	}
	return frame(tokenRequest, c.request.Message), true, nil
}

// Next answers the server's proof by nothing, and its offer by the choice of no
// security layer.
func (c *client) Next(challenge []byte) (response []byte, err error) {
	c.steps++
	switch {
	case c.request == nil || c.steps > 2 || c.steps == 2 && c.session == nil:
		return nil, errors.New("kerberos: server asks for more than GSSAPI has")
	case c.steps == 1:
		if err := c.verify(challenge); err != nil {
			return nil, err
		}
		return []byte{}, nil
	}
	return c.choose(challenge)
}

// verify takes the server's proof.
func (c *client) verify(challenge []byte) error {
	kind, message, err := unframe(challenge)
	switch {
	case err != nil || kind != tokenReply && kind != tokenError:
		return errors.New("kerberos: server's first token is not Kerberos's")
	case kind == tokenError:
		return rejected(krb.ReadError(message, "server"))
	}
	c.session, err = c.request.Verify(message)
	return rejected(err)
}

// rejected makes a refusal of Kerberos one of SASL.
func rejected(err error) error {
	if errors.Is(err, krb.ErrRefused) {
		return fmt.Errorf("kerberos: %w: %w", sasl.ErrRefused, err)
	}
	return err
}

// choose takes the server's offer.
func (c *client) choose(challenge []byte) (response []byte, err error) {
	payload, err := unwrap(c.session, true, challenge)
	switch {
	case err != nil || len(payload) != 4:
		return nil, errors.New("kerberos: server's offer is malformed")
	case payload[0]&noSecurityLayer == 0:
		return nil, errors.New("kerberos: server wants a security layer of GSSAPI, which there is not: use TLS")
	}
	response, err = wrap(c.session, false, append([]byte{noSecurityLayer, 0, 0, 0}, c.identity...))
	c.done = err == nil
	return response, err
}

// Done fails unless the server has proved itself and its offer was taken.
func (c *client) Done() error {
	if !c.done {
		return errors.New("kerberos: server reports success but has not proved who it is")
	}
	return nil
}
