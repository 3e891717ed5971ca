//go:build interop

package interop

import (
	"errors"
	"os"

	"github.com/postwain/postwain/test/rig"
)

// trouble is something bad that happens to a fetcher at work.
type trouble struct {
	name string
	// share is how often it happens, compared with the kills.
	share float64
	small bool // state and destination need a disk of their own
	// once says that it happens only once in a trial: postwain puts off for a
	// minute what has failed twice in a row.
	once bool
	// strike runs the fetcher once and says whether it was struck before it
	// had come to its end.
	strike func(*trial) (bool, error)
}

var troubles = []trouble{
	{name: "fetcher killed", share: 1, strike: (*trial).kill},
	{name: "link cut", share: 0.5, once: true, strike: (*trial).cut},
	{name: "server killed", share: 0.25, strike: (*trial).killServer},
	{name: "disk full", share: 0.1, small: true, strike: (*trial).fill},
}

// kill kills the fetcher's process, as kill -9 does: what it has started goes
// on for as long as it likes.
func (tr *trial) kill() (bool, error) {
	_, struck, err := tr.during(tr.moment(), (*os.Process).Kill)
	if errors.Is(err, os.ErrProcessDone) {
		return false, nil
	}
	return struck, err
}

// cut ends the connection at any octet of either direction.
func (tr *trial) cut() (bool, error) {
	side := rig.Down
	if tr.arena.rand.IntN(2) == 0 {
		side = rig.Up
	}
	tr.link.Cut(side, tr.arena.rand.Int64N(tr.whole.passed[side]))
	_, err := tr.alone()
	return tr.link.Disarm(), err
}

// killServer kills the process of the session.
func (tr *trial) killServer() (bool, error) {
	killed := 0
	_, _, err := tr.during(tr.moment(), func(*os.Process) (err error) {
		killed, err = tr.arena.dovecot.KillChildren("pop3")
		return err
	})
	return killed > 0, err
}

// fill leaves room for a part of the letters only, and for no journal beside
// them.
func (tr *trial) fill() (bool, error) {
	var octets int64
	for _, l := range tr.letters {
		octets += int64(len(l.data))
	}
	relieve, err := tr.disk.Fill(tr.arena.rand.Int64N(octets))
	if err != nil {
		return false, err
	}
	if _, err := tr.alone(); err != nil {
		return false, errors.Join(err, relieve())
	}
	came, err := tr.came()
	return len(came) < len(tr.letters), errors.Join(err, relieve())
}
