package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

type cramMD5 struct {
	secrets   SecretSource
	challenge func() string
}

// NewCRAMMD5 returns the server's side of CRAM-MD5 (RFC 2195). host is the name
// that stands in the challenges. secrets are asked for "CRAM-MD5", the 32
// octets of CRAMMD5Keys, and for "PLAIN", the password itself; everybody has
// the same work and, if refused, the same error.
//
// The digest tells who listens enough to guess at the password: offer it only
// where it is asked for.
func NewCRAMMD5(secrets SecretSource, host string) Mechanism {
	return &cramMD5{secrets, func() string { return newMsgID(host) }}
}

func (*cramMD5) Name() string { return "CRAM-MD5" }

func (m *cramMD5) Start() Exchange { return &cramMD5Exchange{cramMD5: m} }

type cramMD5Exchange struct {
	*cramMD5
	asked string // the challenge
	over  bool
}

// Next gives the challenge and takes the user name, a blank, and the digest in
// hexadecimal. There is no initial response (RFC 2195 §2).
func (x *cramMD5Exchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	switch {
	case x.over:
		return nil, "", errOver()
	case x.asked == "" && response == nil:
		x.asked = x.challenge()
		return []byte(x.asked), "", nil
	}
	x.over = true
	if x.asked == "" {
		return nil, "", fmt.Errorf("sasl: %w: CRAM-MD5 has no initial response", ErrMalformed)
	}
	account, err = x.judge(ctx, response)
	return nil, account, err
}

func (x *cramMD5Exchange) judge(ctx context.Context, response []byte) (account string, err error) {
	user, digest, err := cutDigest(response)
	if err != nil {
		return "", err
	}
	s, err := find(ctx, x.secrets, user, "CRAM-MD5", "PLAIN")
	if err != nil {
		return "", err
	}
	password := x.asked // nobody's
	if s.scheme == "PLAIN" {
		password = string(s.secret)
	}
	keys := CRAMMD5Keys(password)
	if s.scheme == "CRAM-MD5" {
		keys = s.secret
	}
	want, err := cramMD5Digest(keys, []byte(x.asked))
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare(digest, want) != 1 || s.account == "" {
		return "", errWrong
	}
	return s.account, nil
}

// cutDigest cuts a response of name, blank, and 32 digits of hexadecimal, which
// is what APOP (RFC 1939 §7) has too. The name may have blanks.
func cutDigest(response []byte) (user string, digest []byte, err error) {
	i := bytes.LastIndexByte(response, ' ')
	if i < 0 || len(response)-i-1 != hex.EncodedLen(md5.Size) {
		return "", nil, fmt.Errorf("sasl: %w: not a name and a digest", ErrMalformed)
	}
	digest = make([]byte, md5.Size)
	if _, err := hex.Decode(digest, response[i+1:]); err != nil {
		return "", nil, fmt.Errorf("sasl: %w: digest is not hexadecimal", ErrMalformed)
	}
	user = string(response[:i])
	return user, digest, checkUser(user)
}

// CRAMMD5Keys returns what a server needs to know of a password for CRAM-MD5,
// 32 octets: the states of the outer and the inner MD5 of HMAC (RFC 2104) once
// each has taken in its block of the key. Dovecot stores them as {CRAM-MD5}.
// Who has them can sign in by CRAM-MD5, but not by the password.
func CRAMMD5Keys(password string) []byte {
	key := []byte(password)
	if len(key) > md5.BlockSize {
		sum := md5.Sum(key)
		key = sum[:]
	}
	return append(md5State(key, 0x5c), md5State(key, 0x36)...)
}

// md5Magic stands before the state in what a hash.Hash of MD5 is marshaled to.
const md5Magic = "md5\x01"

// md5State is the state of MD5 after a block of key, padded by zeros and
// XORed with pad, in the order of octets that MD5 itself has.
func md5State(key []byte, pad byte) []byte {
	block := make([]byte, md5.BlockSize)
	copy(block, key)
	for i := range block {
		block[i] ^= pad
	}
	h := md5.New()
	h.Write(block)
	m, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || len(m) < len(md5Magic)+md5.Size {
		return nil
	}
	out := make([]byte, 0, md5.Size)
	for word := m[len(md5Magic):]; len(out) < md5.Size; word = word[4:] {
		out = binary.LittleEndian.AppendUint32(out, binary.BigEndian.Uint32(word))
	}
	return out
}

// md5Resume is MD5 that has taken in one block, after which it was in state.
func md5Resume(state []byte) (hash.Hash, error) {
	m := []byte(md5Magic)
	for ; len(state) >= 4; state = state[4:] {
		m = binary.BigEndian.AppendUint32(m, binary.LittleEndian.Uint32(state))
	}
	m = append(m, make([]byte, md5.BlockSize)...)
	m = binary.BigEndian.AppendUint64(m, md5.BlockSize)
	h := md5.New()
	return h, h.(encoding.BinaryUnmarshaler).UnmarshalBinary(m)
}

// cramMD5Digest is the HMAC of challenge by what CRAMMD5Keys gives.
func cramMD5Digest(keys, challenge []byte) ([]byte, error) {
	if len(keys) != 2*md5.Size {
		return nil, errors.New("sasl: account source has CRAM-MD5 keys of the wrong length")
	}
	outer, err := md5Resume(keys[:md5.Size])
	inner, err2 := md5Resume(keys[md5.Size:])
	if err = errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("sasl: CRAM-MD5: %w", err)
	}
	inner.Write(challenge)
	outer.Write(inner.Sum(nil))
	return outer.Sum(nil), nil
}

type cramMD5Client struct {
	credentials
	answered bool
}

// CRAMMD5Client returns the client's side of CRAM-MD5 (RFC 2195). It sends user
// as it is and proves password without sending it; neither may be empty or
// contain NUL, or Start fails. An empty challenge, or one beyond 4 KiB, is not
// answered. The server proves nothing, and who listens can guess at the
// password: use it inside TLS.
func CRAMMD5Client(user, password string) Client {
	return &cramMD5Client{credentials: credentials{user, password}}
}

func (*cramMD5Client) Name() string { return "CRAM-MD5" }

func (c *cramMD5Client) Start() (initial []byte, has bool, err error) {
	c.answered = false
	return nil, false, c.check()
}

// Next answers the one challenge: the user name, a blank, and the keyed digest
// of the challenge in lower-case hexadecimal (RFC 2195 §2).
func (c *cramMD5Client) Next(challenge []byte) ([]byte, error) {
	switch {
	case c.answered:
		return nil, errors.New("sasl: server asks for more than CRAM-MD5 has")
	case len(challenge) == 0 || len(challenge) > maxChallenge:
		return nil, errors.New("sasl: CRAM-MD5 challenge is empty or too long")
	}
	c.answered = true
	mac := hmac.New(md5.New, []byte(c.password))
	mac.Write(challenge)
	return hex.AppendEncode([]byte(c.user+" "), mac.Sum(nil)), nil
}

func (*cramMD5Client) Done() error { return nil }
