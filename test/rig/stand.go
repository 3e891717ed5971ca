//go:build linux

package rig

import "errors"

// Stand is Postwain, built from this module, on the mail of a space of its own.
type Stand struct {
	*Space
	Binary string
	Server *Postwain
}

// NewStand builds the program and starts it. The text more is added to its
// configuration; accounts can be added at any time.
func NewStand(more string, accounts ...string) (s *Stand, err error) {
	space, err := NewSpace("")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, space.Close())
		}
	}()
	s = &Stand{Space: space}
	if s.Binary, err = Build(space.Dir); err != nil {
		return nil, err
	}
	if err := space.AddAccounts(accounts...); err != nil {
		return nil, err
	}
	s.Server, err = space.Postwain(s.Binary, more)
	return s, err
}

// Close stops the server, if it still runs, and removes the space.
func (s *Stand) Close() error { return errors.Join(s.Server.Stop(), s.Space.Close()) }
