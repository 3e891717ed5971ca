package pop3server_test

import (
	"context"

	"github.com/postwain/postwain/sasl"
)

// proof is a mechanism with data beside success, as SCRAM has it: the client
// says its name, is challenged, repeats the challenge, and reads a proof.
type proof struct{}

func (proof) Name() string         { return "X-PROOF" }
func (proof) Start() sasl.Exchange { return &proofExchange{} }

type proofExchange struct {
	user string
	step int
}

func (x *proofExchange) Next(_ context.Context, response []byte) ([]byte, string, error) {
	x.step++
	switch {
	case x.step == 1 && response == nil:
		x.step = 0
		return []byte{}, "", nil
	case x.step == 1 && len(response) > 0:
		x.user = string(response)
		return []byte("nonce"), "", nil
	case x.step == 2 && string(response) == "nonce":
		return []byte("proof"), x.user, nil
	}
	return nil, "", sasl.ErrRefused
}

// apop is APOP for a challenge of its own.
type apop struct{}

func (apop) Name() string         { return "APOP" }
func (apop) Challenge() string    { return "<1.2@mail.example.org>" }
func (apop) Start() sasl.Exchange { return apopExchange{} }

type apopExchange struct{}

func (apopExchange) Next(_ context.Context, response []byte) ([]byte, string, error) {
	if string(response) == "alice 0123456789abcdef0123456789abcdef" {
		return nil, "alice", nil
	}
	return nil, "", sasl.ErrRefused
}
