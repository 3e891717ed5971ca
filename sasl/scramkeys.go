package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// String is the name of the mechanism without channel binding, and of the
// scheme under which an account source has its keys.
func (h SCRAMHash) String() string {
	if h == SCRAMSHA1 {
		return "SCRAM-SHA-1"
	}
	return "SCRAM-SHA-256"
}

func (h SCRAMHash) new() hash.Hash {
	if h == SCRAMSHA1 {
		return sha1.New()
	}
	return sha256.New()
}

func (h SCRAMHash) mac(key []byte, text string) []byte {
	m := hmac.New(h.new, key)
	io.WriteString(m, text)
	return m.Sum(nil)
}

// Limits of what a source may have stored: the work that verifying a password
// would be, and what fits into a message.
const maxStoredIterations, maxSalt = 5_000_000, 512

// defaultIterations is what RFC 7677 §4 asks for at least, and what clients
// with little power can do.
const defaultIterations = minIterations

// SCRAMKeys is what a server needs to know of a password for SCRAM (RFC 5802
// §3). Who has them can pretend to be the server, and guess at the password,
// but cannot sign in by them.
type SCRAMKeys struct {
	hash           SCRAMHash
	iterations     int
	salt           []byte
	stored, server []byte // StoredKey and ServerKey
}

// NewSCRAMKeys derives the keys of password, which is prepared by SASLprep (RFC
// 4013), or taken as it is if that does not allow it. salt nil: 16 random
// octets. iterations zero: 4,096. It fails where the system does not allow the
// derivation.
func NewSCRAMKeys(hash SCRAMHash, password string, salt []byte, iterations int) (SCRAMKeys, error) {
	if salt == nil {
		salt = make([]byte, 16)
		rand.Read(salt) // never fails
	}
	if iterations <= 0 {
		iterations = defaultIterations
	}
	k := SCRAMKeys{hash: hash, iterations: iterations, salt: salt}
	if isASCIIText(password) {
		// SASLprep changes nothing, and looks at each character in tables: who
		// measures would know how many there are.
		return k.derive(password)
	}
	client, err := k.hasher().NewClient("", password, "")
	if err != nil { // it may say something of the password
		return k.derive(password)
	}
	return k.derived(client)
}

func (k SCRAMKeys) hasher() scram.HashGeneratorFcn {
	if k.hash == SCRAMSHA1 {
		return scram.SHA1
	}
	return scram.SHA256
}

// derive takes password as it is.
func (k SCRAMKeys) derive(password string) (SCRAMKeys, error) {
	client, err := k.hasher().NewClientUnprepped("", password, "")
	if err != nil {
		return SCRAMKeys{}, errors.New("sasl: SCRAM keys cannot be derived")
	}
	return k.derived(client)
}

func (k SCRAMKeys) derived(client *scram.Client) (SCRAMKeys, error) {
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(k.salt), Iters: k.iterations})
	if err != nil {
		return SCRAMKeys{}, fmt.Errorf("sasl: SCRAM keys: %w", err)
	}
	k.stored, k.server = c.StoredKey, c.ServerKey
	return k, nil
}

// ParseSCRAMKeys reads what Encode gives. It fails on another form, keys of
// another length, an empty salt or one beyond 512 octets, and beyond 5,000,000
// iterations. The error does not contain text.
func ParseSCRAMKeys(hash SCRAMHash, text string) (SCRAMKeys, error) {
	k := SCRAMKeys{hash: hash}
	part := strings.Split(text, ",")
	if len(part) != 4 {
		return k, errors.New("sasl: SCRAM keys: not iterations,salt,StoredKey,ServerKey")
	}
	n, err := strconv.ParseUint(part[0], 10, 32)
	if err != nil || n == 0 {
		return k, errors.New("sasl: SCRAM keys: iterations are no number")
	}
	if n > maxStoredIterations {
		return k, fmt.Errorf("sasl: SCRAM keys: number of iterations is more than %d, which no login could wait for", maxStoredIterations)
	}
	k.iterations = int(n)
	for i, to := range []*[]byte{&k.salt, &k.stored, &k.server} {
		if *to, err = base64.StdEncoding.DecodeString(part[i+1]); err != nil {
			return SCRAMKeys{}, errors.New("sasl: SCRAM keys: a key is not base64")
		}
	}
	size := hash.new().Size()
	if len(k.salt) == 0 || len(k.salt) > maxSalt || len(k.stored) != size || len(k.server) != size {
		return SCRAMKeys{}, errors.New("sasl: SCRAM keys: a key has the wrong length")
	}
	return k, nil
}

// Encode gives the form in which account sources store the keys, which is
// Dovecot's: iterations,salt,StoredKey,ServerKey, the last three in base64.
func (k SCRAMKeys) Encode() string {
	b64 := base64.StdEncoding.EncodeToString
	return strconv.Itoa(k.iterations) + "," + b64(k.salt) + "," + b64(k.stored) + "," + b64(k.server)
}

// Iterations is the work that deriving the keys is.
func (k SCRAMKeys) Iterations() int { return k.iterations }

// Verify reports whether the keys are those of password. One that is not ASCII
// is tried as SASLprep has it and as it is, since not everything that stores
// keys prepares passwords.
func (k SCRAMKeys) Verify(password string) bool {
	prepared, err := NewSCRAMKeys(k.hash, password, k.salt, k.iterations)
	ok := err == nil && k.equal(prepared)
	for i := range len(password) {
		if password[i] >= 0x80 {
			asIs, err := k.derive(password)
			return err == nil && k.equal(asIs) || ok
		}
	}
	return ok
}

func (k SCRAMKeys) equal(other SCRAMKeys) bool {
	return len(k.stored) > 0 && subtle.ConstantTimeCompare(k.stored, other.stored) == 1
}

// Format writes nothing of the keys, whatever the verb.
func (SCRAMKeys) Format(f fmt.State, _ rune) { io.WriteString(f, "SCRAM keys") }

// proves reports whether proof is the client's of an exchange that said message
// (RFC 5802 §3).
func (k SCRAMKeys) proves(proof []byte, message string) bool {
	key := k.hash.mac(k.stored, message) // ClientSignature
	if len(proof) != len(key) {
		return false
	}
	subtle.XORBytes(key, key, proof)
	h := k.hash.new()
	h.Write(key)
	return subtle.ConstantTimeCompare(h.Sum(nil), k.stored) == 1
}

// signature is the server's proof.
func (k SCRAMKeys) signature(message string) []byte { return k.hash.mac(k.server, message) }
