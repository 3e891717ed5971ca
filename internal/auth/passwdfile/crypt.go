package passwdfile

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/GehirnInc/crypt"
	"github.com/GehirnInc/crypt/md5_crypt"
	"github.com/GehirnInc/crypt/sha256_crypt"
	"github.com/GehirnInc/crypt/sha512_crypt"
	"golang.org/x/crypto/bcrypt"
)

// Limits of the work that a line of the file may ask for, so that a typing
// error does not stop the server: each is about a second.
const (
	maxSHARounds    = 1_000_000
	maxBcryptCost   = 14
	defaultSHARound = 5000
)

// errAbsurd is the error of a line that asks for too much work.
func errAbsurd(what string, limit int) error {
	return fmt.Errorf("%s is more than %d, which no login could wait for", what, limit)
}

// crypted is a hash of crypt(3) that is salt, '$', and text.
type crypted struct {
	kind   func() crypt.Crypter
	hash   string // whole
	salt   int    // its beginning: prefix, rounds and salt
	effort cost
}

// parseSHACrypt reads $5$ and $6$, with or without rounds=N$.
func parseSHACrypt(value string) (secret, error) {
	part := strings.Split(value, "$")
	rounds := defaultSHARound
	if len(part) == 5 {
		n, ok := strings.CutPrefix(part[2], "rounds=")
		r, err := strconv.ParseUint(n, 10, 32)
		if !ok || err != nil || r < 1000 {
			return nil, errors.New("rounds are no number of 1000 or more")
		}
		if r > maxSHARounds {
			return nil, errAbsurd("number of rounds", maxSHARounds)
		}
		rounds = int(r)
	} else if len(part) != 4 {
		return nil, errors.New("hash is not salt and text")
	}
	c := &crypted{hash: value, kind: sha256_crypt.New, effort: cost{kind: "$5$", n: rounds}}
	size := 43
	if part[1] == "6" {
		c.kind, c.effort.kind, size = sha512_crypt.New, "$6$", 86
	}
	return c.finish(part, 16, size)
}

// parseMD5Crypt reads $1$.
func parseMD5Crypt(value string) (secret, error) {
	part := strings.Split(value, "$")
	if len(part) != 4 {
		return nil, errors.New("hash is not salt and text")
	}
	c := &crypted{hash: value, kind: md5_crypt.New, effort: cost{kind: "$1$"}}
	return c.finish(part, 8, 22)
}

func (c *crypted) finish(part []string, saltSize, size int) (secret, error) {
	last := len(part) - 1
	if len(part[last]) != size || len(part[last-1]) > saltSize {
		return nil, errors.New("hash or salt has the wrong length")
	}
	c.salt = len(c.hash) - size - 1
	return c, nil
}

// verify hands over the salt alone: the library's own Verify takes a piece of
// the hash for salt where that is short and has rounds.
func (c *crypted) verify(password string) bool {
	hash, err := c.kind().Generate([]byte(password), []byte(c.hash[:c.salt]))
	return err == nil && subtle.ConstantTimeCompare([]byte(hash), []byte(c.hash)) == 1
}

func (c *crypted) cost() cost { return c.effort }

type bcrypted struct {
	hash []byte
	work int
}

// parseBcrypt reads $2a$, $2b$ and $2y$, which differ only for passwords that
// the buggy $2x$ got wrong.
func parseBcrypt(value string) (secret, error) {
	work, err := bcrypt.Cost([]byte(value))
	if err != nil || len(value) != 60 {
		return nil, errors.New("not a bcrypt hash")
	}
	if work > maxBcryptCost {
		return nil, errAbsurd("cost", maxBcryptCost)
	}
	return &bcrypted{[]byte(value), work}, nil
}

func (b *bcrypted) verify(password string) bool {
	return bcrypt.CompareHashAndPassword(b.hash, []byte(password)) == nil
}

func (b *bcrypted) cost() cost { return cost{kind: "bcrypt", n: b.work} }
