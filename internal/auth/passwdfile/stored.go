package passwdfile

import (
	"crypto/rand"
	"hash/maphash"
	"sync"

	"github.com/postwain/postwain/sasl"
)

// maxStoredCosts is how many kinds of work a Stored tells apart.
const maxStoredCosts = 32

// Stored verifies passwords that another source keeps, as {SCHEME}hash as in the
// second field of a line. It does not know who there is, and learns from those
// who sign in what work their passwords are, so that names that do not exist are
// as much. It may be used by many goroutines.
type Stored struct {
	mu       sync.Mutex
	seed     maphash.Seed
	examples map[cost]secret
	users    map[cost]int
	seen     int
	decoys   decoys
}

// NewStored makes one for which, until it knows better, passwords are as those
// that this program writes.
func NewStored() *Stored {
	s := &Stored{seed: maphash.MakeSeed(), examples: map[cost]secret{}, users: map[cost]int{}}
	first := newArgon(rand.Text())
	s.decoys = newDecoys(s.seed, map[cost]secret{first.cost(): first}, map[cost]int{first.cost(): 1})
	return s
}

// Verify reports whether password is the one of name, for which field is stored.
// An empty field, or one that is never a hash, is nobody's password. The error
// says that field cannot be read, and does not repeat it.
func (s *Stored) Verify(name, field, password string) (bool, error) {
	_, _, stored, err := parseSecret(field)
	if err != nil || stored == nil {
		s.Refuse(name, password)
		return false, err
	}
	s.learn(stored)
	return stored.verify(sasl.PreparePassword(password)), nil
}

// Refuse is the work of Verify for a name that has no password.
func (s *Stored) Refuse(name, password string) {
	s.mu.Lock()
	decoy := s.decoys.of(name)
	s.mu.Unlock()
	decoy.verify(sasl.PreparePassword(password))
}

// Secret gives of a field what [File.Secret] gives, if it serves scheme.
func (s *Stored) Secret(field, scheme string) (value []byte, ok bool) {
	_, text, stored, err := parseSecret(field)
	if err != nil || stored == nil {
		return nil, false
	}
	has, _ := (&user{secret: stored}).serves()
	return []byte(text), has != "" && has == scheme
}

// learn counts a password by its cost.
func (s *Stored) learn(stored secret) {
	c := stored.cost()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.examples[c]
	if !known && len(s.examples) == maxStoredCosts {
		return
	}
	s.examples[c] = stored
	s.users[c]++
	s.seen++
	if !known || s.seen&(s.seen-1) == 0 { // now and then: it moves names
		s.decoys = newDecoys(s.seed, s.examples, s.users)
	}
}
