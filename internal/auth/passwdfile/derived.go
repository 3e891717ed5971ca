package passwdfile

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/postwain/postwain/sasl"
)

// Limits of the work that a line of the file may ask for.
const (
	maxArgonMemory = 256 << 10 // KiB, what doveadm's -r 3 asks for
	maxArgonWork   = 1 << 20   // KiB times passes
	maxArgonLanes  = 16
	maxIterations  = 5_000_000
)

// argon is an Argon2 hash, version 1.3 (RFC 9106).
type argon struct {
	id           bool // Argon2id; else Argon2i
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

// newArgon hashes a new password with the least that OWASP recommends: 19 MiB,
// 2 passes, 1 lane.
func newArgon(password string) *argon {
	a := &argon{id: true, memory: 19 << 10, time: 2, lanes: 1, salt: make([]byte, 16)}
	rand.Read(a.salt) // never fails
	a.sum = argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.lanes, 32)
	return a
}

// String is the field of the file.
func (a *argon) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("{ARGON2ID}$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", a.memory, a.time, a.lanes, b64(a.salt), b64(a.sum))
}

// parseArgon2 reads $argon2id$v=19$m=65536,t=3,p=1$salt$sum and $argon2i$….
func parseArgon2(value string) (secret, error) {
	part := strings.Split(value, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2i" && part[1] != "argon2id" || part[2] != "v=19" {
		return nil, errors.New("not an Argon2i or Argon2id hash of version 19")
	}
	number := map[string]uint64{}
	for _, p := range strings.Split(part[3], ",") {
		k, v, _ := strings.Cut(p, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n == 0 {
			return nil, errors.New("Argon2 parameters are not m=N,t=N,p=N")
		}
		number[k] = n
	}
	m, t, p := number["m"], number["t"], number["p"]
	switch {
	case len(number) != 3 || m == 0 || t == 0 || p == 0:
		return nil, errors.New("Argon2 parameters are not m=N,t=N,p=N")
	case m > maxArgonMemory:
		return nil, errAbsurd("m (KiB)", maxArgonMemory)
	case m*t > maxArgonWork:
		return nil, errAbsurd("m times t", maxArgonWork)
	case t > maxArgonWork/64:
		return nil, errAbsurd("t", maxArgonWork/64)
	case p > maxArgonLanes:
		return nil, errAbsurd("p", maxArgonLanes)
	}
	salt, err := base64.RawStdEncoding.DecodeString(part[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(part[5])
	if err != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(sum) < 12 || len(sum) > 128 {
		return nil, errors.New("salt or sum is not base64 of a usual length")
	}
	return &argon{part[1] == "argon2id", uint32(m), uint32(t), uint8(p), salt, sum}, nil
}

func (a *argon) verify(password string) bool {
	key := argon2.Key
	if a.id {
		key = argon2.IDKey
	}
	sum := key([]byte(password), a.salt, a.time, a.memory, a.lanes, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1
}

func (a *argon) cost() cost {
	c := cost{kind: "argon2i", n: int(a.time), m: int(a.memory), p: int(a.lanes)}
	if a.id {
		c.kind = "argon2id"
	}
	return c
}

// pbkdf is Dovecot's PBKDF2: HMAC-SHA-1, the salt taken as text.
type pbkdf struct {
	salt, sum  []byte
	iterations int
}

// parsePBKDF2 reads $1$salt$iterations$hex.
func parsePBKDF2(value string) (secret, error) {
	part := strings.Split(value, "$")
	if len(part) != 5 || part[0] != "" || part[1] != "1" || part[2] == "" {
		return nil, errors.New("not $1$salt$iterations$sum")
	}
	n, err := iterations(part[3])
	if err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(part[4])
	if err != nil || len(sum) != sha1.Size {
		return nil, errors.New("sum is not 40 digits of hex")
	}
	return &pbkdf{[]byte(part[2]), sum, n}, nil
}

func iterations(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, errors.New("iterations are no number")
	}
	if n > maxIterations {
		return 0, errAbsurd("number of iterations", maxIterations)
	}
	return int(n), nil
}

func (p *pbkdf) verify(password string) bool {
	sum, err := pbkdf2.Key(sha1.New, password, p.salt, p.iterations, len(p.sum))
	return err == nil && subtle.ConstantTimeCompare(sum, p.sum) == 1
}

func (p *pbkdf) cost() cost { return cost{kind: "pbkdf2", n: p.iterations} }

// scram is what a SCRAM server stores (RFC 5802 §3).
type scram struct {
	sasl.SCRAMKeys
	hash sasl.SCRAMHash
}

// parseSCRAM reads iterations,salt,StoredKey,ServerKey, the last three in
// base64.
func parseSCRAM(h sasl.SCRAMHash) func(value string) (secret, error) {
	return func(value string) (secret, error) {
		k, err := sasl.ParseSCRAMKeys(h, value)
		if err != nil {
			return nil, err
		}
		return &scram{k, h}, nil
	}
}

func (s *scram) verify(password string) bool { return s.Verify(password) }

func (s *scram) cost() cost { return cost{kind: s.hash.String(), n: s.Iterations()} }

// cram is what Dovecot stores for CRAM-MD5.
type cram [32]byte

func parseCRAM(value string) (secret, error) {
	if len(value) != 32 {
		return nil, errors.New("value has the wrong length")
	}
	return cram([]byte(value)), nil
}

func (c cram) verify(password string) bool {
	return subtle.ConstantTimeCompare(sasl.CRAMMD5Keys(password), c[:]) == 1
}

func (cram) cost() cost { return digested() }
