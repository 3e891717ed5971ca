package fetch

import "time"

// Report says what a round did to an account.
type Report struct {
	Account string
	Fetched int   // messages that were stored
	Octets  int64 // of these, as received
	Deleted int   // messages that the server has confirmed to be gone
	Left    int   // messages that are on the server still, as far as is known
	// TooLarge is how many of those are left because of Policy.MaxSize.
	TooLarge int
	// Failed is how many messages of the mailbox could not be fetched, and are
	// set aside. Failures tells of each, up to a thousand.
	Failed   int
	Failures []Failure
	// Err is why the round could not be finished. Nil: it was.
	Err error
}

// Failure is a message that could not be fetched or stored, for a reason that
// is its own: it blocks no other.
type Failure struct {
	UID    string // escaped; empty: it has none
	Number int    // in the session
	Size   int64  // in octets, a hint
	Reason string // escaped
	Tries  int
	Next   time.Time // when it is tried again
}

const maxFailures = 1000
