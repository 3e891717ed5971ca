package passwdfile

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"hash"
	"io"

	"github.com/postwain/postwain/sasl"
)

// schemes are all that are read, by their name in braces. It is never changed.
var schemes = map[string]scheme{
	"PLAIN":     {parse: parsePlain},
	"CLEAR":     {parse: parsePlain},
	"CLEARTEXT": {parse: parsePlain},

	"CRYPT":        {parse: parseCrypt},
	"MD5":          {parse: parseCrypt},
	"MD5-CRYPT":    {parse: parseCrypt},
	"SHA256-CRYPT": {parse: parseCrypt},
	"SHA512-CRYPT": {parse: parseCrypt},
	"BLF-CRYPT":    {parse: parseCrypt},
	"ARGON2I":      {parse: parseArgon2},
	"ARGON2ID":     {parse: parseArgon2},
	"PBKDF2":       {parse: parsePBKDF2},

	"SCRAM-SHA-1":   {parse: parseSCRAM(sasl.SCRAMSHA1)},
	"SCRAM-SHA-256": {parse: parseSCRAM(sasl.SCRAMSHA256)},
	"CRAM-MD5":      {parse: parseCRAM, written: inHex},

	"PLAIN-MD5": plainDigest(md5.New, inHex),
	"LDAP-MD5":  plainDigest(md5.New, inBase64),
	"SHA":       plainDigest(sha1.New, inBase64),
	"SHA1":      plainDigest(sha1.New, inBase64),
	"SHA256":    plainDigest(sha256.New, inBase64),
	"SHA512":    plainDigest(sha512.New, inBase64),
	"SMD5":      saltedDigest(md5.New),
	"SSHA":      saltedDigest(sha1.New),
	"SSHA256":   saltedDigest(sha256.New),
	"SSHA512":   saltedDigest(sha512.New),
}

// plain is a password that is stored as it is. Its digest is compared, so that
// the length does not show.
type plain [sha256.Size]byte

func parsePlain(value string) (secret, error) {
	if len(value) == 0 {
		return nil, errors.New("empty password")
	}
	return plain(sha256.Sum256([]byte(sasl.PreparePassword(value)))), nil
}

func (p plain) verify(password string) bool {
	sum := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(sum[:], p[:]) == 1
}

func (plain) cost() cost { return digested() }

// salted is the digest of a password and a salt behind it.
type salted struct {
	hash      func() hash.Hash
	sum, salt string
}

func plainDigest(h func() hash.Hash, written notation) scheme {
	size := h().Size()
	return scheme{written: written, size: size, parse: func(value string) (secret, error) {
		if len(value) != size {
			return nil, errors.New("value has the wrong length")
		}
		return &salted{hash: h, sum: value}, nil
	}}
}

func saltedDigest(h func() hash.Hash) scheme {
	size := h().Size()
	return scheme{written: inBase64, parse: func(value string) (secret, error) {
		if len(value) <= size || len(value) > size+256 {
			return nil, errors.New("value has the wrong length")
		}
		return &salted{hash: h, sum: value[:size], salt: value[size:]}, nil
	}}
}

func (s *salted) verify(password string) bool {
	h := s.hash()
	io.WriteString(h, password)
	io.WriteString(h, s.salt)
	return subtle.ConstantTimeCompare(h.Sum(nil), []byte(s.sum)) == 1
}

func (*salted) cost() cost { return digested() }
