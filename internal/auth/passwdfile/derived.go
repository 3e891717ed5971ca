package passwdfile

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
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
	hash       func() hash.Hash
	salt, key  []byte // key: StoredKey
	iterations int
}

// parseSCRAM reads iterations,salt,StoredKey,ServerKey, the last three in
// base64.
func parseSCRAM(h func() hash.Hash) func(value string) (secret, error) {
	return func(value string) (secret, error) {
		part := strings.Split(value, ",")
		if len(part) != 4 {
			return nil, errors.New("not iterations,salt,StoredKey,ServerKey")
		}
		n, err := iterations(part[0])
		if err != nil {
			return nil, err
		}
		var octets [4][]byte
		for i := 1; i < 4; i++ {
			if octets[i], err = base64.StdEncoding.DecodeString(part[i]); err != nil {
				return nil, errors.New("a key is not base64")
			}
		}
		if size := h().Size(); len(octets[1]) == 0 || len(octets[2]) != size || len(octets[3]) != size {
			return nil, errors.New("a key has the wrong length")
		}
		return &scram{h, octets[1], octets[2], n}, nil
	}
}

func (s *scram) verify(password string) bool {
	salted, err := pbkdf2.Key(s.hash, password, s.salt, s.iterations, s.hash().Size())
	if err != nil {
		return false
	}
	mac := hmac.New(s.hash, salted)
	mac.Write([]byte("Client Key"))
	h := s.hash()
	h.Write(mac.Sum(nil))
	return subtle.ConstantTimeCompare(h.Sum(nil), s.key) == 1
}

func (s *scram) cost() cost { return cost{kind: "scram", n: s.iterations, m: s.hash().Size()} }

// cram is what Dovecot stores for CRAM-MD5: the states of the outer and the
// inner MD5 of HMAC once each has taken in its block of the key.
type cram [32]byte

func parseCRAM(value string) (secret, error) {
	if len(value) != 32 {
		return nil, errors.New("value has the wrong length")
	}
	return cram([]byte(value)), nil
}

func (c cram) verify(password string) bool {
	key := []byte(password)
	if len(key) > md5.BlockSize {
		sum := md5.Sum(key)
		key = sum[:]
	}
	got := append(md5State(key, 0x5c), md5State(key, 0x36)...)
	return subtle.ConstantTimeCompare(got, c[:]) == 1
}

func (cram) cost() cost { return digested() }

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
	if err != nil {
		return nil
	}
	out := make([]byte, 0, md5.Size)
	for i := range 4 { // behind the four octets that say what it is
		out = binary.LittleEndian.AppendUint32(out, binary.BigEndian.Uint32(m[4+4*i:]))
	}
	return out
}
