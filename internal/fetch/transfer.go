package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

const (
	// So many commands are without an answer at most. With half of them a link
	// of 100 ms is full at 5,000 messages a second.
	window = 1024
	// So many commands and octets of messages are queued at most, so that
	// deletions come in between and a stop is soon.
	ahead       = window + window/4
	aheadOctets = 32 << 20
	// So much of a message is read before anybody stores it: the wire need not
	// wait for a file to be made.
	readAhead = 64 << 10
	// A session without Policy.Batch ends after so many messages, when it has
	// lasted so long: on a fast link a new session costs more than it saves.
	defaultBatch = 1000
	batchTime    = 30 * time.Second
)

// transfer fetches messages into the destination and deletes what is safe
// there. One goroutine has the connection and one each message that is being
// stored; the connection goes on as soon as a message has been read.
type transfer struct {
	*session
	pipe    *pop3client.Pipeline
	todo    []*item // to be deleted or fetched
	last    []*item // to be deleted when all is stored
	hold    bool    // nothing is deleted before that
	sent    []*item // the commands that are queued
	queued  int64   // octets of the messages among them, as far as is known
	fetches int     // how many messages were asked for

	running  int // messages being stored
	most     int
	finished chan struct{}
	jobs     chan job
	spare    chan *[readAhead]byte
	keeper   keeper
	refusal  error // of a DELE

	mu     sync.Mutex
	broken error // why the session cannot go on
}

// transfer returns nil when all is done that was planned for the session, and
// noted on the disk: after a crash it must be known what QUIT may have deleted.
// On an error, what is stored is in the journal.
func (s *session) transfer(ctx context.Context) error {
	t := &transfer{session: s, pipe: s.client.Pipeline(s.window()), keeper: keeper{session: s, last: time.Now()}}
	if t.most = 1; s.account.Sink.Exact() {
		t.most = max(1, s.account.Sink.Parallel())
	}
	t.finished = make(chan struct{}, t.most)
	t.spare = make(chan *[readAhead]byte, t.most)
	t.jobs = make(chan job)
	defer close(t.jobs)
	t.hold = s.numbered || s.bound
	for i := range s.items {
		switch it := &s.items[i]; {
		case it.action == Fetch, it.action == Delete && !t.hold:
			t.todo = append(t.todo, it)
		case it.action == Delete:
			t.last = append(t.last, it)
		}
	}
	err := t.run(ctx)
	t.waitForAll()
	if err2 := t.keeper.flush(); err == nil {
		err = err2
	}
	if broken := t.trouble(); broken != nil { // rather than what came of it
		err = broken
	}
	if t.refusal != nil {
		s.warn("the server does not delete all messages: " + pop3.Printable(t.refusal.Error(), maxShown))
	}
	return err
}

// run goes on until nothing is left to be asked, read or stored.
func (t *transfer) run(ctx context.Context) error {
	for {
		if err := t.trouble(); err != nil {
			return err
		}
		t.feed()
		pending := t.pipe.Pending()
		if pending == 0 {
			if t.running > 0 {
				t.wait()
				continue
			}
			if err := t.keeper.flush(); err != nil || t.bound || t.keeper.none() && len(t.last) == 0 {
				return err
			}
			t.hold, t.todo, t.last = false, t.last, nil
			continue
		}
		reply, err := t.pipe.Next(ctx)
		if err != nil {
			return t.cut(ctx, pending, err)
		}
		it := t.sent[0]
		t.sent = t.sent[1:]
		if reply.Verb == pop3.Retr {
			t.queued -= it.size
		}
		switch {
		case reply.Verb == pop3.Dele:
			t.gone(it, reply.Err)
		case reply.Err != nil:
			err = t.setAside(it, reply.Err)
		default:
			err = t.receive(ctx, it, reply.Body)
		}
		if err != nil {
			return err
		}
	}
}

// cut finds out at which message the connection has ended.
func (t *transfer) cut(ctx context.Context, pending int, err error) error {
	t.waitForAll() // it may have been in the middle of the one before
	if broken := t.trouble(); broken != nil {
		return broken
	}
	return t.lost(ctx, t.sent[0], pending, err)
}

// feed queues commands: first the deletion of what has become safe. Where that
// gives others its number, it waits until these are safe as well.
func (t *transfer) feed() {
	if !t.hold {
		for _, it := range t.keeper.take() {
			t.dele(it)
		}
	}
	for len(t.todo) > 0 && t.pipe.Pending() < ahead && t.queued < aheadOctets {
		it := t.todo[0]
		if it.action == Delete {
			t.dele(it)
		} else if t.full() {
			t.remaining = len(t.todo)
			t.bound = t.bound || slices.ContainsFunc(t.todo, (*item).keyed)
			t.todo = nil
			return
		} else {
			t.pipe.Retr(it.number, it.size)
			t.sent = append(t.sent, it)
			t.queued = plus(t.queued, it.size)
			t.fetches++
		}
		t.todo = t.todo[1:]
	}
}

func (t *transfer) dele(it *item) {
	it.action = Delete
	t.asked[it.uid] = struct{}{}
	t.pipe.Dele(it.number)
	t.sent = append(t.sent, it)
}

// full says that the session has fetched enough, or is to end. A server that wants a pause
// between logins gives all in one session, and so does one with numbers for
// UIDs, which may mean other messages in the next.
func (t *transfer) full() bool {
	switch batch := t.account.Policy.Batch; {
	case t.stopping():
		return true
	case t.loginDelay > 0 || t.read || t.numbered:
		return false
	case batch > 0:
		return t.fetches >= batch
	}
	return t.fetches >= defaultBatch && time.Since(t.started) >= batchTime
}

// gone notes the answer to DELE.
func (t *transfer) gone(it *item, refusal error) {
	if refusal != nil {
		t.refusal = refusal
		return
	}
	t.journal.note(record{kind: kindDeleted, uid: it.uid})
	t.deleted++
}

// receive gives a message to the destination and returns when it has been read.
func (t *transfer) receive(ctx context.Context, it *item, body *pop3client.Body) error {
	for t.running >= t.most {
		t.wait()
	}
	if err := t.trouble(); err != nil {
		return err
	}
	if !t.account.Sink.Exact() {
		// After a crash this one may be in the destination, and no other.
		t.journal.note(record{kind: kindStoring, uid: it.uid, time: time.Now().Unix()})
		if err := t.keeper.flush(); err != nil {
			return err
		}
	}
	in := newIncoming(t.account.Header.lines(t.account.Host, t.tls, time.Now()), body)
	in.most = t.account.Policy.MaxSize
	in.judge = func(in *incoming) error { return t.judge(it, in) }
	buf := t.buffer()
	all := in.readAhead(buf[:])
	t.running++
	select {
	case t.jobs <- job{it, in, buf}:
	default:
		go t.work(ctx, job{it, in, buf})
	}
	if all {
		return nil
	}
	if <-in.over; !in.ended {
		t.waitForAll() // whether there is to be anything after it
	}
	return nil
}

// job is a message that is to be stored.
type job struct {
	item *item
	in   *incoming
	buf  *[readAhead]byte
}

// work stores one message and then others, as long as there are any.
func (t *transfer) work(ctx context.Context, j job) {
	for more := true; more; j, more = <-t.jobs {
		t.put(ctx, j.item, j.in)
		t.spare <- j.buf
		t.finished <- struct{}{}
	}
}

// buffer gives one that no message is in.
func (t *transfer) buffer() *[readAhead]byte {
	select {
	case buf := <-t.spare:
		return buf
	default:
		return new([readAhead]byte)
	}
}

// wait waits until a message is stored, or is not.
func (t *transfer) wait() {
	<-t.finished
	t.running--
}

func (t *transfer) waitForAll() {
	for t.running > 0 {
		t.wait()
	}
}

// judge looks at a message that has arrived, before the destination knows.
func (t *transfer) judge(it *item, in *incoming) error {
	if in.octets == 0 && it.size > 2 {
		return errEmpty
	}
	if it.content != nil && *it.content != in.digest {
		return errors.New("the message is not the same when it is fetched again")
	}
	if _, there := t.stored[in.digest]; there {
		return errKnown
	}
	return nil
}

// put stores a message and sees to what comes of it.
func (t *transfer) put(ctx context.Context, it *item, in *incoming) {
	m := sink.Message{Key: keyOf(t.account.Mailbox, it.uid, it.nonce), Doubt: t.journal.interrupted}
	if it.size > 0 {
		m.Size = plus(it.size, int64(len(in.head)))
	}
	err := t.account.Sink.Put(ctx, m, in)
	in.release()
	if err != nil && !t.account.Sink.Exact() && !errors.Is(err, sink.ErrUnknownOutcome) {
		t.journal.note(record{kind: kindSeen, uid: it.uid, nonce: it.nonce, time: time.Now().Unix()}) // it is not there
	}
	if err := t.outcome(ctx, it, in, err); err != nil {
		t.mu.Lock()
		t.broken = errors.Join(t.broken, err)
		t.mu.Unlock()
	}
	it.read = in.ended
}

// outcome decides what the result of a Put means. It returns an error if the
// session cannot go on.
func (t *transfer) outcome(ctx context.Context, it *item, in *incoming, err error) error {
	switch {
	case err == nil && !in.whole:
		return t.wrap("storing", fmt.Errorf("message %d: the destination has not read all of it", it.number))
	case err == nil:
		return t.safe(it, in, true)
	case errors.Is(in.err, errKnown):
		return t.safe(it, in, false)
	case in.broken:
		return t.blame(ctx, it, fmt.Errorf("message %d: %w", it.number, in.err))
	case errors.As(in.err, new(errTooLarge)):
		// Nobody knows how much is to come: a new session goes on with the others.
		return cmp.Or(t.setAside(it, in.err), t.wrap("fetching", errAgain))
	case in.err != nil && !in.whole:
		return t.setAside(it, in.err)
	case errors.Is(err, sink.ErrRefused):
		return t.setAside(it, err)
	}
	return t.wrap("storing", fmt.Errorf("message %d: %w", it.number, err))
}

// safe takes note of a message that the destination has taken.
func (t *transfer) safe(it *item, in *incoming, isNew bool) error {
	return t.keeper.keep(kept{it, record{
		kind: kindStored, uid: it.uid, digest: in.digest, octets: in.octets, time: time.Now().Unix(),
	}, isNew})
}

// trouble is what has gone wrong in storing.
func (t *transfer) trouble() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken
}
