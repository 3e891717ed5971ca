package fetch

import "time"

// EventKind says what an Event tells.
type EventKind int

// The kinds of events, in about the order in which they come in a session.
const (
	Connected EventKind = iota // signed in; Text is the greeting
	Listed                     // Number messages of Octets are in the mailbox, and Total of TotalOctets will be fetched in this session
	Stored                     // message Number, of Octets, is in the destination; the totals are those of Listed
	Failed                     // message Number, of Octets, was set aside, because of Err
	Deleted                    // the server has confirmed that Total messages are gone
	Warned                     // something that people should know: Text
	Finished                   // the round is over: Total messages of TotalOctets were stored, and Err says why not all
)

// String returns the kind in small letters.
func (k EventKind) String() string {
	names := [...]string{"connected", "listed", "stored", "failed", "deleted", "warned", "finished"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Event is something that happened to an account. Which fields count follows
// from the kind. Texts from the server are escaped: they can be shown as they are.
type Event struct {
	Account             string
	Kind                EventKind
	Number, Total       int
	Octets, TotalOctets int64 // as the server lists them: hints
	UID, Text           string
	Err                 error
	Time                time.Time
}

// observer gives events to Options.Observe one after the other, without
// those waiting who send them, unless very many come.
type observer struct {
	queue chan Event
	over  chan struct{}
}

func (f *Fetcher) newObserver() *observer {
	if f.opt.Observe == nil {
		return &observer{}
	}
	o := &observer{make(chan Event, 1024), make(chan struct{})}
	go func() {
		defer close(o.over)
		for e := range o.queue {
			f.observing.Lock()
			f.opt.Observe(e)
			f.observing.Unlock()
		}
	}()
	return o
}

func (o *observer) send(e Event) {
	if o.queue != nil {
		e.Time = time.Now()
		o.queue <- e
	}
}

// close returns when all events have been seen.
func (o *observer) close() {
	if o.queue != nil {
		close(o.queue)
		<-o.over
	}
}
