package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// The commit journal makes QUIT atomic and durable with one sync that all who
// quit at the same time share. It is a file of fixed size whose blocks were
// all written when it was made, so that it works on a full disk. It has two
// halves: one takes batches while the other, full, is retired, which means
// that the directories from which its messages were removed are synced.
//
// The law: a batch is overwritten only when every removal in it is durable in
// the file system itself, or is in a spill file. A spill file holds one batch:
// of a QUIT that is too big for a half, or of removals that could not be
// finished. It lives until its removals are finished.

const (
	journalName = "commits"
	spillPrefix = "spill-"
	defaultHalf = 4 << 20
)

// remover does what the journal promises.
type remover interface {
	// remove removes the files that r names and gives those that it could not.
	remove(r *removal) (left []mark, why error)
	// settle makes all removals from the Maildir at path durable.
	settle(path string) error
}

type journal struct {
	dir  fsx.Dir
	half int64 // octets in each half
	work remover
	log  *slog.Logger

	mu      sync.Mutex
	queue   []*intent     // what the next batch takes
	writing chan struct{} // closed when the writer ends; nil: there is none
	closed  bool
	left    map[string][]mark // what could not be removed yet, by path
	spills  []*spill

	// Only the writer uses these, and open and close while there is none.
	file   fsx.File
	broken error // why the file cannot be trusted
	seq    uint64
	halves [2]half
	active int
}

// intent is a removal on its way through the journal.
type intent struct {
	removal
	body    []byte
	err     error
	written chan struct{} // closed when err is valid
	over    chan struct{} // closed when the files have been removed, as far as possible
}

// half is what the journal knows of one half of its file.
type half struct {
	pos     int64
	last    uint64 // the highest sequence number in it
	intents []*intent
	retired chan struct{} // closed when the retirement has ended; nil: none was begun
	err     error         // of the retirement
}

// spill is a batch in a file of its own.
type spill struct {
	name     string
	removals []*removal
}

// commit makes r true: nil means that it will be carried out whatever
// crashes. The caller then removes the files, and calls over.
func (j *journal) commit(r removal) (*intent, error) {
	in := &intent{removal: r, written: make(chan struct{}), over: make(chan struct{})}
	in.body = r.append(nil)
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil, errClosed
	}
	j.queue = append(j.queue, in)
	if j.writing == nil {
		j.writing = make(chan struct{})
		go j.writer(j.writing)
	}
	j.mu.Unlock()
	<-in.written
	return in, in.err
}

// writer writes batches until nobody waits. Who comes while one is being
// synced shares the next.
func (j *journal) writer(done chan struct{}) {
	for {
		j.mu.Lock()
		queue := j.queue
		j.queue = nil
		if len(queue) == 0 {
			j.writing = nil
			close(done)
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		j.flush(queue)
	}
}

// over says that the files of in have been removed, save those in left.
func (j *journal) over(in *intent, left []mark) {
	j.setLeft(in.path, left)
	close(in.over)
}

func (j *journal) setLeft(path string, left []mark) {
	if len(left) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left[path] = append(j.left[path], left...)
}

// pending gives the messages of the Maildir at path that are removed by right
// and yet may be there: no listing may show them.
func (j *journal) pending(path string) []mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.left[path])
}

// retry tries again to remove what is left in the Maildir at path.
func (j *journal) retry(path string) {
	marks := j.pending(path)
	if len(marks) == 0 {
		return
	}
	left, _ := j.work.remove(&removal{path, marks}) // its commit has told why
	j.mu.Lock()
	defer j.mu.Unlock()
	now := slices.DeleteFunc(j.left[path], func(m mark) bool {
		return slices.Contains(marks, m) && !slices.Contains(left, m)
	})
	if j.left[path] = now; len(now) == 0 {
		delete(j.left, path)
	}
}

// flush writes what queue holds.
func (j *journal) flush(queue []*intent) {
	var run []*intent
	size := 0
	for _, in := range queue {
		if int64(len(in.body)) > j.half/2 {
			j.writeSpill(in)
			continue
		}
		if int64(size+len(in.body)) > j.half/2 {
			j.write(run)
			run, size = nil, 0
		}
		run = append(run, in)
		size += len(in.body)
	}
	if len(run) > 0 {
		j.write(run)
	}
}

// write makes one batch of run durable.
func (j *journal) write(run []*intent) {
	var body []byte
	for _, in := range run {
		body = append(body, in.body...)
	}
	err := j.rebuild()
	if err == nil {
		if err = j.put(body); j.broken != nil {
			// A QUIT that is told that it failed must not be carried out by
			// the next start.
			err = errors.Join(err, j.rebuild())
		}
	}
	if err == nil {
		h := &j.halves[j.active]
		h.intents = append(h.intents, run...)
	}
	for _, in := range run {
		in.body, in.err = nil, err
		close(in.written)
	}
}

// put writes a batch behind the last one. After an error the file is not
// trusted any more: what was to be written may be there or not.
func (j *journal) put(body []byte) error {
	if j.halves[j.active].pos+batchSize(len(body)) > j.half {
		if err := j.turn(); err != nil {
			return err
		}
	}
	h := &j.halves[j.active]
	j.seq++
	b := batch{seq: j.seq, done: j.done(), body: body}
	_, err := j.file.WriteAt(b.encode(), int64(j.active)*j.half+h.pos)
	if err == nil {
		err = j.file.SyncData()
	}
	if err != nil {
		j.broken = err
		return fmt.Errorf("maildir: commit journal: %w", err)
	}
	h.pos += batchSize(len(body))
	h.last = b.seq
	return nil
}

// done is the number up to which every batch is finished, as far as is known.
func (j *journal) done() uint64 {
	h := &j.halves[1-j.active]
	if h.retired == nil {
		return h.last
	}
	select {
	case <-h.retired:
		if h.err == nil {
			return h.last
		}
	default:
	}
	return 0
}

// turn makes the other half the active one, as soon as it is retired.
func (j *journal) turn() error {
	old, other := &j.halves[j.active], &j.halves[1-j.active]
	if other.retired != nil {
		<-other.retired
		if other.err != nil { // try once more, now
			j.retire(other)
		}
		if other.err != nil {
			return fmt.Errorf("maildir: commit journal is full: %w", other.err)
		}
	}
	j.active = 1 - j.active
	*other = half{}
	old.retired = make(chan struct{})
	go func() {
		defer close(old.retired)
		j.retire(old)
	}()
	return nil
}

// retire makes all removals of h durable in the file system, so that h may be
// overwritten. What cannot be made so goes into a spill file.
func (j *journal) retire(h *half) {
	for _, in := range h.intents {
		<-in.over // all of them: a sync tells nothing of removals after it
	}
	var stuck []*removal
	settled := make(map[string]bool)
	for _, in := range h.intents {
		if _, known := settled[in.path]; !known {
			settled[in.path] = j.settled(in.path)
		}
		if !settled[in.path] {
			stuck = append(stuck, &in.removal)
		}
	}
	h.err = j.keep(h.last, stuck)
	if h.err == nil {
		h.intents = nil
	}
	j.sweepSpills()
}

// settled makes all removals from the Maildir at path durable, and says whether
// they are. What is left is asked for first: a removal that is made up for
// meanwhile may come after the sync.
func (j *journal) settled(path string) bool {
	j.mu.Lock()
	left := len(j.left[path])
	j.mu.Unlock()
	return left == 0 && j.work.settle(path) == nil
}

// keep writes removals that could not be finished into a spill file.
func (j *journal) keep(seq uint64, stuck []*removal) error {
	if len(stuck) == 0 {
		return nil
	}
	var body []byte
	for _, r := range stuck {
		body = r.append(body)
	}
	return j.spillFile(fmt.Sprintf("%sk%d", spillPrefix, seq), &batch{seq: seq, body: body}, stuck)
}

// writeSpill commits a removal that is too big for the journal.
func (j *journal) writeSpill(in *intent) {
	j.seq++
	b := batch{seq: j.seq, body: in.body}
	in.err = j.spillFile(fmt.Sprintf("%s%d", spillPrefix, j.seq), &b, []*removal{&in.removal})
	in.body = nil
	if errors.Is(in.err, fsx.ErrNoSpace) {
		in.err = fmt.Errorf("%w: %w", maildrop.ErrFull, in.err)
	}
	close(in.written)
}

func (j *journal) spillFile(name string, b *batch, removals []*removal) error {
	if err := fsx.WriteFile(j.dir, name, b.encode(), filePerm); err != nil {
		// It may be there, whole, although its QUIT is told that it failed.
		return errors.Join(err, ignoreNotExist(j.dir.Remove(name)), j.dir.Sync())
	}
	j.mu.Lock()
	j.spills = append(j.spills, &spill{name, removals})
	j.mu.Unlock()
	return nil
}

// sweepSpills removes the spill files that are finished.
func (j *journal) sweepSpills() {
	j.mu.Lock()
	spills := j.spills
	j.mu.Unlock()
	for _, s := range spills {
		if !j.finished(s) {
			continue
		}
		if err := j.dir.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Warn("maildir: cannot remove a finished commit", "file", s.name, "err", err)
			continue
		}
		j.mu.Lock()
		j.spills = slices.DeleteFunc(j.spills, func(o *spill) bool { return o == s })
		j.mu.Unlock()
	}
}

// finished says whether all removals of s are durable.
func (j *journal) finished(s *spill) bool {
	for _, r := range s.removals {
		if !j.settled(r.path) {
			return false
		}
	}
	return true
}
