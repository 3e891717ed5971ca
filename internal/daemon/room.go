package daemon

import (
	"errors"
	"sync/atomic"
)

// sessionFiles is what an open maildrop adds to its connection's socket: three
// directories, the lock, and the message that is being read.
const sessionFiles = 5

// errFiles is what an open maildrop would leave no room for.
var errFiles = errors.New("nearly all files that the system lets the server open are in use: raise LimitNOFILE (ulimit -n), or lower limits.connections")

// room bounds open maildrops by the files that are left for them, so that one
// too many is an answer and not a failure in the middle of another's session.
type room struct {
	files       int        // that this process may have open
	connections func() int // that there are
	open        atomic.Int64
}

// mostConnections leaves half of the files for what sessions open.
func mostConnections(files int) int { return files / 2 }

// reserve is for all that is neither a connection nor a session: listeners,
// logs, deliveries, lookups.
func (r *room) reserve() int { return min(r.files/8, 512) }

// take makes room for a maildrop; give gives it back.
func (r *room) take() error {
	n := r.open.Add(1)
	if r.connections()+int(n)*sessionFiles > r.files-r.reserve() {
		r.open.Add(-1)
		return errFiles
	}
	return nil
}

func (r *room) give() { r.open.Add(-1) }
