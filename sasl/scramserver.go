package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SCRAMOptions are the choices of NewSCRAM.
type SCRAMOptions struct {
	Hash SCRAMHash

	// Binding is what TLSExporter gives for the connection, if a -PLUS form is
	// offered on it; else nil. It is needed by the form without channel binding
	// too, which refuses a client that was not shown the offer.
	Binding []byte
	// Plus makes it the -PLUS form.
	Plus bool

	// Key makes the salts of who has no stored keys, existing or not, so that
	// they stay the same from one try to the next. Give the same one for all
	// connections, at least 16 octets from crypto/rand that nobody else knows
	// and that stay if the process is started anew. Nil: a key of its own, by
	// whose change can be told who has stored keys.
	Key []byte
	// Iterations is what those are told who have no stored keys, existing or
	// not; it should be what the stored keys have. Zero: 4,096.
	Iterations int
}

// bindingName is the only channel binding that is served (RFC 9266).
const bindingName = "tls-exporter"

type scramServer struct {
	secrets SecretSource
	o       SCRAMOptions
	nonce   func() string
}

// NewSCRAM returns the server's side of SCRAM-SHA-1 or SCRAM-SHA-256 or, with
// channel binding by tls-exporter, of its -PLUS form (RFC 5802, RFC 7677, RFC
// 9266). secrets are asked for the scheme that o.Hash names, what
// SCRAMKeys.Encode gives, and for "PLAIN", the password itself.
//
// A name that is not there is refused at the end, as a wrong password is: until
// then it has a salt like everybody, always the same one, and the work of a
// derivation is everybody's. The authorization identity must be empty or the
// user name itself. Other channels, and clients that support channel binding
// but were not shown that it is offered, are refused.
func NewSCRAM(secrets SecretSource, o SCRAMOptions) Mechanism {
	if len(o.Key) == 0 {
		o.Key = []byte(rand.Text())
	}
	return &scramServer{secrets, o, rand.Text}
}

func (m *scramServer) Name() string {
	if m.o.Plus {
		return m.o.Hash.String() + "-PLUS"
	}
	return m.o.Hash.String()
}

func (m *scramServer) Start() Exchange { return &scramExchange{scramServer: m} }

type scramExchange struct {
	*scramServer
	asked, begun, over bool

	header      gs2Header
	bare, first string // client-first-message-bare, server-first-message
	full        string // both parts of the nonce
	account     string // empty: nobody's
	keys        SCRAMKeys
}

// Next takes the client's first message and its final one (RFC 5802 §5).
func (x *scramExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	switch {
	case x.over:
		return nil, "", errOver()
	case response == nil && !x.asked && !x.begun:
		x.asked = true
		return []byte{}, "", nil
	}
	message := string(response)
	if len(message) > maxResponse || !utf8.ValidString(message) || hasControl(message) {
		err = fmt.Errorf("sasl: %w: SCRAM message is too long, not UTF-8, or has control characters", ErrMalformed)
	} else if !x.begun {
		x.begun = true
		challenge, err = x.answerFirst(ctx, message)
		x.over = err != nil
		return challenge, "", err
	}
	x.over = true
	if err != nil {
		return nil, "", err
	}
	if challenge, err = x.answerFinal(message); err != nil {
		return nil, "", err
	}
	return challenge, x.account, nil
}

func (x *scramExchange) answerFirst(ctx context.Context, message string) ([]byte, error) {
	header, bare, err := cutGS2(message)
	if err != nil {
		return nil, err
	}
	if err := x.checkBinding(header); err != nil {
		return nil, err
	}
	user, nonce, err := parseClientFirst(bare)
	if err != nil {
		return nil, err
	}
	if header.authzid != "" && header.authzid != user {
		return nil, fmt.Errorf("sasl: %w: acting for another account", ErrRefused)
	}
	if x.account, x.keys, err = x.keysOf(ctx, user); err != nil {
		return nil, err
	}
	x.header, x.bare, x.full = header, bare, nonce+x.nonce()
	x.first = "r=" + x.full + ",s=" + base64.StdEncoding.EncodeToString(x.keys.salt) + ",i=" + strconv.Itoa(x.keys.iterations)
	return []byte(x.first), nil
}

// checkBinding judges the client's flag (RFC 5802 §6).
func (m *scramServer) checkBinding(h gs2Header) error {
	switch {
	case m.o.Plus && len(m.o.Binding) == 0:
		return errors.New("sasl: SCRAM: no channel to bind to")
	case m.o.Plus != (h.flag == 'p'):
		return fmt.Errorf("sasl: %w: channel binding is what the mechanism's name says or does not say", ErrMalformed)
	case m.o.Plus && h.binding != bindingName:
		return fmt.Errorf("sasl: %w: channel binding is not %s", ErrMalformed, bindingName)
	case h.flag == 'y' && len(m.o.Binding) > 0:
		return fmt.Errorf("sasl: %w: client was not shown that channel binding is offered: somebody may be in between", ErrRefused)
	}
	return nil
}

// parseClientFirst reads client-first-message-bare (RFC 5802 §7). Extensions
// that need not be known are passed over.
func parseClientFirst(bare string) (user, nonce string, err error) {
	name, rest, _ := strings.Cut(bare, ",")
	nonce, _, _ = strings.Cut(rest, ",")
	name, okName := strings.CutPrefix(name, "n=")
	nonce, okNonce := strings.CutPrefix(nonce, "r=")
	user, ok := decodeSASLName(name)
	if !okName || !okNonce || !ok || nonce == "" || !isPrintable(nonce) {
		return "", "", fmt.Errorf("sasl: %w: SCRAM begins with a name and a nonce", ErrMalformed)
	}
	return user, nonce, checkUser(user)
}

// keysOf are the keys of a name, or such as nobody has the password of, and
// then no account.
func (m *scramServer) keysOf(ctx context.Context, user string) (account string, keys SCRAMKeys, err error) {
	s, err := find(ctx, m.secrets, user, m.o.Hash.String(), "PLAIN")
	if err != nil {
		return "", keys, err
	}
	name := canonical(user)
	password := base64.StdEncoding.EncodeToString(m.made("password", name))
	if s.scheme == "PLAIN" {
		password = string(s.secret)
	}
	keys, err = NewSCRAMKeys(m.o.Hash, password, m.made("salt", name)[:16], m.o.Iterations)
	if err != nil {
		return "", keys, err
	}
	text := keys.Encode()
	if s.scheme == m.o.Hash.String() {
		text = string(s.secret)
	}
	keys, err = ParseSCRAMKeys(m.o.Hash, text)
	return s.account, keys, err
}

// made is what always is the same for a name and that nobody can foretell.
func (m *scramServer) made(what, name string) []byte {
	h := hmac.New(sha256.New, m.o.Key)
	h.Write([]byte(m.o.Hash.String() + "\x00" + what + "\x00" + name))
	return h.Sum(nil)
}

// answerFinal judges the client's final message. All is looked at before
// anything is said, the proof last.
func (x *scramExchange) answerFinal(message string) ([]byte, error) {
	binding, nonce, proof, without, err := parseClientFinal(message)
	if err != nil {
		return nil, err
	}
	if len(proof) != x.keys.hash.new().Size() {
		return nil, fmt.Errorf("sasl: %w: SCRAM proof has the wrong length", ErrMalformed)
	}
	want := []byte(x.header.text)
	if x.o.Plus {
		want = append(want, x.o.Binding...)
	}
	said := x.bare + "," + x.first + "," + without
	ok := x.keys.proves(proof, said)
	switch {
	case nonce != x.full:
		return nil, fmt.Errorf("sasl: %w: SCRAM nonce of another exchange", ErrRefused)
	case subtle.ConstantTimeCompare(binding, want) != 1:
		return nil, fmt.Errorf("sasl: %w: channel binding of another channel, or its flag was changed", ErrRefused)
	case !ok || x.account == "":
		return nil, errWrong
	}
	return base64.StdEncoding.AppendEncode([]byte("v="), x.keys.signature(said)), nil
}

// parseClientFinal reads client-final-message (RFC 5802 §7); without is what
// stands before the proof.
func parseClientFinal(message string) (binding []byte, nonce string, proof []byte, without string, err error) {
	fault := fmt.Errorf("sasl: %w: SCRAM ends with binding, nonce and proof", ErrMalformed)
	i := strings.LastIndex(message, ",p=")
	if i < 0 {
		return nil, "", nil, "", fault
	}
	without = message[:i]
	first, rest, _ := strings.Cut(without, ",")
	nonce, _, _ = strings.Cut(rest, ",")
	encoded, okBinding := strings.CutPrefix(first, "c=")
	nonce, okNonce := strings.CutPrefix(nonce, "r=")
	strict := base64.StdEncoding.Strict()
	binding, err = strict.DecodeString(encoded)
	proof, err2 := strict.DecodeString(message[i+len(",p="):])
	if !okBinding || !okNonce || err != nil || err2 != nil {
		return nil, "", nil, "", fault
	}
	return binding, nonce, proof, without, nil
}
