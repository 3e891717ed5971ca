package sasl

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// SCRAMHash is the hash function of a SCRAM mechanism.
type SCRAMHash int

// The hash functions of SCRAM-SHA-256 (RFC 7677) and SCRAM-SHA-1 (RFC 5802).
const (
	SCRAMSHA256 SCRAMHash = iota
	SCRAMSHA1
)

// Iterations of the hash function that a server may ask for: fewer make a
// stolen exchange cheap to guess at (RFC 5802 §5.1), more keep the client busy.
const minIterations, maxIterations = 4096, 1_000_000

type scramClient struct {
	credentials
	hash    SCRAMHash
	binding []byte
	offered bool
	nonce   func() string

	conversation *scram.ClientConversation // nil: not begun, or failed
	own          string                    // our part of the nonce
	steps        int
	proved       bool // the server has shown that it knows the password's keys
}

// SCRAMClient returns the client's side of SCRAM-SHA-1 and SCRAM-SHA-256 and,
// with channel binding, of their -PLUS forms (RFC 5802, RFC 7677). user and
// password are prepared by SASLprep (RFC 4013); Start fails if one is empty,
// contains NUL, or has characters that SASLprep does not allow.
//
// binding is what TLSExporter gives; nil if there is no channel to bind to.
// offered says whether the server offers the -PLUS form. It is chosen if both
// are there. If there is a binding and no offer, the server is told so, and
// refuses if somebody in between took the offer away.
//
// The server may ask for 4,096 to 1,000,000 iterations. Done fails unless the
// server has proved that it knows the password. A refusal that says that the
// name or password is wrong wraps ErrRefused.
func SCRAMClient(hash SCRAMHash, user, password string, binding []byte, offered bool) Client {
	return &scramClient{
		credentials: credentials{user, password},
		hash:        hash, binding: binding, offered: offered, nonce: rand.Text,
	}
}

func (c *scramClient) Name() string {
	if c.plus() {
		return c.hash.String() + "-PLUS"
	}
	return c.hash.String()
}

func (c *scramClient) plus() bool { return len(c.binding) > 0 && c.offered }

func (c *scramClient) Start() (initial []byte, has bool, err error) {
	c.conversation, c.steps, c.proved = nil, 0, false
	if err := c.check(); err != nil {
		return nil, false, err
	}
	hash := scram.SHA256
	if c.hash == SCRAMSHA1 {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(c.user, c.password, "")
	if err != nil { // it names the user
		return nil, false, errors.New("sasl: user name or password has characters that SASLprep does not allow")
	}
	c.own = c.nonce()
	client.WithNonceGenerator(func() string { return c.own })
	switch {
	case c.plus():
		c.conversation = client.NewConversationWithChannelBinding(scram.ChannelBinding{
			Type: scram.ChannelBindingTLSExporter, Data: c.binding,
		})
	case len(c.binding) > 0:
		c.conversation = client.NewConversationAdvertisingChannelBinding()
	default:
		c.conversation = client.NewConversation()
	}
	first, err := c.conversation.Step("")
	if err != nil {
		return nil, false, fmt.Errorf("sasl: SCRAM: %w", err)
	}
	return []byte(first), true, nil
}

// Next answers the server's first message by the proof, and its final message,
// if that proves the server, by nothing.
func (c *scramClient) Next(challenge []byte) (response []byte, err error) {
	c.steps++
	if c.conversation == nil || c.steps > 2 {
		return nil, errors.New("sasl: server asks for more than SCRAM has")
	}
	if c.steps == 1 {
		response, err = c.answerFirst(challenge)
	} else {
		response, err = c.answerFinal(challenge)
	}
	if err != nil {
		c.conversation = nil
	}
	return response, err
}

func (c *scramClient) answerFirst(challenge []byte) ([]byte, error) {
	message, err := scramMessage(challenge)
	if err != nil {
		return nil, err
	}
	if err := checkServerFirst(message, c.own); err != nil {
		return nil, err
	}
	final, err := c.conversation.Step(message)
	if err != nil {
		return nil, errors.New("sasl: SCRAM: malformed message of the server")
	}
	return []byte(final), nil
}

func (c *scramClient) answerFinal(challenge []byte) ([]byte, error) {
	message, err := scramMessage(challenge)
	if err != nil {
		return nil, err
	}
	if _, err := c.conversation.Step(message); err != nil || !c.conversation.Valid() {
		return nil, errors.New("sasl: SCRAM: server does not know the password: it may be another server than it says")
	}
	c.proved = true
	return []byte{}, nil
}

// Done fails unless the server's final message was right (RFC 5802 §5).
func (c *scramClient) Done() error {
	if !c.proved {
		return errors.New("sasl: SCRAM: server reports success but has not proved that it knows the password")
	}
	return nil
}

// scramMessage is what all messages of a server must be before they are looked
// at. An error of the server (RFC 5802 §7) is one here.
func scramMessage(challenge []byte) (string, error) {
	message := string(challenge)
	if len(message) > maxChallenge || hasControl(message) {
		return "", errors.New("sasl: SCRAM: message of the server is too long or has control characters")
	}
	reason, is := strings.CutPrefix(message, "e=")
	if !is {
		return message, nil
	}
	reason, _, _ = strings.Cut(reason, ",")
	switch reason {
	case "invalid-proof", "unknown-user", "invalid-username-encoding":
		return "", fmt.Errorf("sasl: %w: server says %s", ErrRefused, reason)
	case "server-does-support-channel-binding":
		return "", errors.New("sasl: SCRAM: server offers channel binding but the offer did not arrive: somebody may be in between")
	}
	return "", fmt.Errorf("sasl: SCRAM: server says %s", quote(reason))
}

// checkServerFirst refuses a server-first-message (RFC 5802 §7) before anything
// is computed from it: the nonce must extend own, the salt not be empty, and
// the iterations be within bounds. Optional extensions are allowed behind.
func checkServerFirst(message, own string) error {
	fields := strings.SplitN(message, ",", 4)
	if len(fields) < 3 {
		return errors.New("sasl: SCRAM: malformed message of the server")
	}
	nonce, okNonce := strings.CutPrefix(fields[0], "r=")
	encoded, okSalt := strings.CutPrefix(fields[1], "s=")
	digits, okIterations := strings.CutPrefix(fields[2], "i=")
	if !okNonce || !okSalt || !okIterations || !isPrintable(nonce) {
		return errors.New("sasl: SCRAM: malformed message of the server")
	}
	if len(nonce) <= len(own) || !strings.HasPrefix(nonce, own) {
		return errors.New("sasl: SCRAM: server's nonce does not extend the client's")
	}
	if salt, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(salt) == 0 {
		return errors.New("sasl: SCRAM: salt is empty or malformed")
	}
	// Digits only, no leading zero: what comes back is what was read.
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits {
		return errors.New("sasl: SCRAM: malformed iteration count")
	}
	if n < minIterations || n > maxIterations {
		return fmt.Errorf("sasl: SCRAM: server asks for %d iterations, outside %d to %d", n, minIterations, maxIterations)
	}
	return nil
}
