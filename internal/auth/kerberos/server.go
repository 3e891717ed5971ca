package kerberos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/sasl"
)

// noSecurityLayer is the one layer that is offered and taken (RFC 4752 §3.1).
// POP3 has TLS.
const noSecurityLayer = 1

// What the checksum of a client's request holds (RFC 4121 §4.1.1).
const (
	checksumType   = 0x8003
	checksumOctets = 24

	flagMutual    = 2
	flagReplay    = 4
	flagSequence  = 8
	flagIntegrity = 32
)

// Acceptor judges AP-REQ messages; a [krb.Acceptor] is one.
type Acceptor interface {
	Accept(message []byte, asked krb.Asked) (s *krb.Session, reply []byte, err error)
}

type gssapi struct {
	acceptor Acceptor
	rule     Rule
	remote   netip.Addr
}

// NewGSSAPI returns the server's side of GSSAPI (RFC 4752) for tickets that a
// accepts, from a client with the address remote. The rule gives the account.
// An authorization identity must be empty, or name that account.
//
// There is no security layer, and there are no channel bindings.
func NewGSSAPI(a Acceptor, r Rule, remote netip.Addr) sasl.Mechanism {
	return &gssapi{a, r, remote}
}

func (*gssapi) Name() string { return "GSSAPI" }

func (g *gssapi) Start() sasl.Exchange { return &exchange{gssapi: g, step: (*exchange).begin} }

// step takes a response of the client and gives the next challenge, or an
// account.
type step func(x *exchange, ctx context.Context, response []byte) (challenge []byte, account string, err error)

type exchange struct {
	*gssapi
	step    step // nil: it is over
	session *krb.Session
}

func (x *exchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	now := x.step
	if now == nil {
		return nil, "", fmt.Errorf("kerberos: %w: GSSAPI is over", sasl.ErrMalformed)
	}
	x.step = nil
	return now(x, ctx, response)
}

// begin asks for the first token, if it did not come with the command.
func (x *exchange) begin(ctx context.Context, response []byte) ([]byte, string, error) {
	if response == nil {
		x.step = (*exchange).accept
		return []byte{}, "", nil
	}
	return x.accept(ctx, response)
}

// accept judges the client's ticket.
func (x *exchange) accept(_ context.Context, response []byte) ([]byte, string, error) {
	kind, message, err := unframe(response)
	if err != nil || kind != tokenRequest {
		return nil, "", fmt.Errorf("kerberos: %w: first token is not Kerberos's", sasl.ErrMalformed)
	}
	s, reply, err := x.acceptor.Accept(message, krb.Asked{Remote: x.remote, Subkey: true})
	switch {
	case errors.Is(err, krb.ErrRefused):
		return nil, "", fmt.Errorf("kerberos: %w: %w", sasl.ErrRefused, err)
	case err != nil:
		return nil, "", fmt.Errorf("kerberos: %w", err)
	case !isGSSAPI(s.Checksum):
		return nil, "", fmt.Errorf("kerberos: %w: request was not made for GSSAPI", sasl.ErrMalformed)
	}
	x.session = s
	if !s.Mutual {
		return x.offer()
	}
	x.step = (*exchange).proved
	return frame(tokenReply, reply), "", nil
}

// isGSSAPI reports whether a checksum is what GSSAPI makes of its flags and its
// channel bindings. Those are not compared, as there is nothing to compare with.
func isGSSAPI(c krb.Checksum) bool {
	return c.Type == checksumType && len(c.Value) >= checksumOctets && binary.LittleEndian.Uint32(c.Value) == 16
}

// proved takes the empty response by which the client says that it has seen who
// the server is.
func (x *exchange) proved(_ context.Context, response []byte) ([]byte, string, error) {
	if len(response) > 0 {
		return nil, "", fmt.Errorf("kerberos: %w: a token too many", sasl.ErrMalformed)
	}
	return x.offer()
}

// offer says that there is no security layer.
func (x *exchange) offer() ([]byte, string, error) {
	token, err := wrap(x.session, true, []byte{noSecurityLayer, 0, 0, 0})
	if err != nil {
		return nil, "", fmt.Errorf("kerberos: making an offer: %w", err)
	}
	x.step = (*exchange).choice
	return token, "", nil
}

// choice reads which layer the client takes, and for whom it wants to act. How
// much it could receive through a layer means nothing without one.
func (x *exchange) choice(ctx context.Context, response []byte) ([]byte, string, error) {
	payload, err := unwrap(x.session, false, response)
	if err != nil || len(payload) < 4 {
		return nil, "", fmt.Errorf("kerberos: %w: last token", sasl.ErrMalformed)
	}
	if payload[0] != noSecurityLayer {
		return nil, "", fmt.Errorf("kerberos: %w: client wants a security layer", sasl.ErrMalformed)
	}
	// Old clients count the NUL of C.
	identity := payload[4:]
	account, err := x.rule.account(ctx, x.session.Client, string(identity))
	return nil, account, err
}
