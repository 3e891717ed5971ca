package sasl

import (
	"context"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
)

// maxMsgID is how many octets a challenge of APOP may have: what a line of a
// reply holds (RFC 2449 §4).
const maxMsgID = 512

type apop struct {
	secrets   SecretSource
	challenge string
}

// NewAPOP returns the server's side of APOP (RFC 1939 §7), for one connection:
// its challenge, which the method Challenge gives for the greeting, is another
// one each time. host is the name that stands in it. Start gives an exchange of
// one step, the argument of the command: the name, a blank, and the digest in
// hexadecimal. secrets are asked for "PLAIN"; everybody has the same work and,
// if refused, the same error.
//
// APOP is weak (see APOPDigest): offer it only where it is asked for.
func NewAPOP(secrets SecretSource, host string) Mechanism {
	return &apop{secrets, newMsgID(host)}
}

func (*apop) Name() string { return "APOP" }

// Challenge is what the greeting of the connection must have.
func (m *apop) Challenge() string { return m.challenge }

func (m *apop) Start() Exchange { return &apopExchange{apop: m} }

type apopExchange struct {
	*apop
	over bool
}

func (x *apopExchange) Next(ctx context.Context, response []byte) (challenge []byte, account string, err error) {
	if x.over {
		return nil, "", errOver()
	}
	x.over = true
	user, digest, err := cutDigest(response)
	if err != nil {
		return nil, "", err
	}
	s, err := find(ctx, x.secrets, user, "PLAIN")
	if err != nil {
		return nil, "", err
	}
	want := md5.Sum(append([]byte(x.challenge), s.secret...))
	if subtle.ConstantTimeCompare(digest, want[:]) != 1 || s.account == "" {
		return nil, "", errWrong
	}
	return nil, s.account, nil
}

// APOPDigest returns the digest argument of APOP (RFC 1939 §7) in lower-case
// hexadecimal. It fails if password is empty or contains NUL, and unless
// challenge has the form that APOPChallenge describes: who chooses challenges
// freely can make MD5 collide and so learn the password, piece by piece
// (CVE-2007-1558). The form makes that harder, not impossible: use APOP only
// where it is asked for, and inside TLS.
func APOPDigest(challenge, password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("sasl: password is empty")
	case strings.IndexByte(password, 0) >= 0:
		return "", errors.New("sasl: NUL in password")
	case !isMsgID(challenge):
		return "", errors.New("sasl: APOP challenge is not a message id")
	}
	sum := md5.Sum([]byte(challenge + password))
	return hex.EncodeToString(sum[:]), nil
}

// APOPChallenge finds the challenge in the greeting of a POP3 server: the first
// RFC 822 msg-id <local@domain> in it, angle brackets included. It is of ASCII
// atoms with dots between, without quoted strings, comments and blanks, and of
// at most 512 octets; the domain may be an address in square brackets. ok is
// false if there is none: the server has no APOP.
func APOPChallenge(greeting string) (challenge string, ok bool) {
	for {
		end := strings.IndexByte(greeting, '>')
		if end < 0 {
			return "", false
		}
		start := strings.LastIndexByte(greeting[:end], '<')
		if start >= 0 && isMsgID(greeting[start:end+1]) {
			return greeting[start : end+1], true
		}
		greeting = greeting[end+1:]
	}
}

// isMsgID reports whether s is a msg-id (RFC 822 §6.1) without what servers
// have no use for and an attacker has.
func isMsgID(s string) bool {
	if len(s) < 2 || len(s) > maxMsgID || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	local, domain, ok := strings.Cut(s[1:len(s)-1], "@")
	return ok && isDotAtom(local) && (isDotAtom(domain) || isAddressLiteral(domain))
}

// isDotAtom reports whether s is of atoms with dots between (RFC 822 §3.3).
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || !isPrintable(atom) || strings.ContainsAny(atom, `()<>@,;:\"[]`) {
			return false
		}
	}
	return true
}

// isAddressLiteral reports whether s is an address in square brackets, such as
// [192.0.2.1] or [IPv6:2001:db8::1].
func isAddressLiteral(s string) bool {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || '9' < c) && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

// isPrintable reports whether s is of printable ASCII without blanks.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
