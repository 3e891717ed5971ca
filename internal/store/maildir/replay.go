package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
)

// rebuild replaces a file that is not trusted any more by a new one. The
// removals that were in doubt are not in it.
func (j *journal) rebuild() error {
	if j.broken == nil {
		return nil
	}
	for i := range j.halves {
		h := &j.halves[i]
		if h.retired != nil {
			<-h.retired
		}
		if j.retire(h); h.err != nil {
			return fmt.Errorf("maildir: commit journal: %w", h.err)
		}
	}
	f, err := createJournal(j.dir, j.half, j.seq)
	if err != nil {
		return fmt.Errorf("maildir: commit journal: %w", err)
	}
	j.file.Close()
	j.start(f)
	return nil
}

// start begins to use a file whose only batch is the first, which is empty.
func (j *journal) start(f fsx.File) {
	j.file, j.broken, j.active = f, nil, 0
	j.halves = [2]half{{pos: blockSize}, {}}
}

// createJournal makes a journal that says that all up to done is finished.
func createJournal(dir fsx.Dir, size int64, done uint64) (fsx.File, error) {
	tmp := journalName + ".tmp"
	if err := ignoreNotExist(dir.Remove(tmp)); err != nil {
		return nil, err
	}
	f, err := dir.Create(tmp, filePerm)
	if err != nil {
		return nil, err
	}
	// Each block is written, not only reserved: then a later write changes
	// nothing but the block, and its sync is as cheap as can be.
	zero := make([]byte, min(2*size, 1<<20))
	for off := int64(0); err == nil && off < 2*size; off += int64(len(zero)) {
		_, err = f.WriteAt(zero[:min(int64(len(zero)), 2*size-off)], off)
	}
	if err == nil {
		b := batch{seq: done, done: done}
		_, err = f.WriteAt(b.encode(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = dir.Replace(tmp, journalName)
	}
	if err == nil {
		err = dir.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), ignoreNotExist(dir.Remove(tmp)))
	}
	return f, nil
}

// openJournal opens the journal in dir, making it if need be, and finishes
// what it names.
func openJournal(ctx context.Context, dir fsx.Dir, size int64, work remover, log *slog.Logger) (*journal, error) {
	j := &journal{dir: dir, half: size, work: work, log: log, left: make(map[string][]mark)}
	if err := j.replay(ctx); err != nil {
		if j.file != nil {
			j.file.Close()
		}
		return nil, fmt.Errorf("maildir: commit journal: %w", err)
	}
	return j, nil
}

// replay finishes what a crash left unfinished. It may itself crash anywhere:
// nothing is taken from the journal before it is durable elsewhere.
func (j *journal) replay(ctx context.Context) error {
	old, err := j.readSpills()
	if err != nil {
		return err
	}
	data, err := j.readFile()
	if err != nil {
		return err
	}
	todo := j.unfinished(data)
	for _, s := range old {
		todo = append(todo, s.removals...)
	}
	var stuck []*removal
	for _, r := range todo {
		if err := ctx.Err(); err != nil {
			return err
		}
		left, why := j.work.remove(r)
		j.setLeft(r.path, left)
		err := j.work.settle(r.path)
		if err != nil || len(left) > 0 {
			j.log.Warn("maildir: cannot finish a commit yet", "maildir", r.path, "messages", len(left), "err", cmp.Or(why, err))
			stuck = append(stuck, r)
		}
	}
	j.seq++
	if err := j.keep(j.seq, stuck); err != nil {
		return err
	}
	if err := j.checkpoint(); err != nil {
		return err
	}
	for _, s := range old {
		if err := ignoreNotExist(j.dir.Remove(s.name)); err != nil {
			return err
		}
	}
	return nil
}

// readFile opens the journal and gives what is in it.
func (j *journal) readFile() ([]byte, error) {
	if _, err := j.dir.Stat(journalName); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	f, err := j.dir.OpenUpdate(journalName, filePerm)
	if err != nil {
		return nil, err
	}
	j.file = f
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size%(2*blockSize) != 0 || info.Size < 4*blockSize || info.Size > 1<<30 {
		return nil, fmt.Errorf("%s has %d octets: it is no commit journal", journalName, info.Size)
	}
	j.half = info.Size / 2
	data := make([]byte, info.Size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

// unfinished gives the removals in the halves that no batch says are finished.
func (j *journal) unfinished(data []byte) []*removal {
	if data == nil {
		return nil
	}
	list := append(decodeHalf(data[:j.half]), decodeHalf(data[j.half:])...)
	slices.SortFunc(list, func(a, b batch) int { return cmp.Compare(a.seq, b.seq) })
	var done uint64
	for _, b := range list {
		done = max(done, b.done)
		j.seq = max(j.seq, b.seq)
	}
	var todo []*removal
	for _, b := range list {
		if b.seq <= done {
			continue
		}
		removals, ok := b.removals()
		if !ok {
			j.log.Error("maildir: commit journal has a batch of unknown form", "seq", b.seq)
		}
		todo = append(todo, removals...)
	}
	return todo
}

// readSpills reads the spill files. One that is torn was never acknowledged.
func (j *journal) readSpills() ([]*spill, error) {
	var list []*spill
	for name, err := range j.dir.Names() {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(name, spillPrefix) || strings.HasSuffix(name, ".tmp") {
			continue
		}
		data, err := readAll(j.dir, name, 1<<30)
		if err != nil {
			return nil, err
		}
		b, size := decodeBatch(data)
		removals, ok := b.removals()
		if size == 0 || !ok {
			return nil, fmt.Errorf("%s is damaged", name)
		}
		j.seq = max(j.seq, b.seq)
		list = append(list, &spill{name, removals})
	}
	return list, nil
}

// checkpoint says in the journal that everything up to now is finished.
func (j *journal) checkpoint() error {
	if j.file == nil {
		f, err := createJournal(j.dir, j.half, j.seq)
		if err != nil {
			return err
		}
		j.start(f)
		return nil
	}
	b := batch{seq: j.seq, done: j.seq}
	if _, err := j.file.WriteAt(b.encode(), 0); err != nil {
		return err
	}
	if err := j.file.SyncData(); err != nil {
		return err
	}
	j.start(j.file)
	return nil
}

// close finishes what can be finished and releases the file.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	writing := j.writing
	j.mu.Unlock()
	if writing != nil {
		<-writing
	}
	var err error
	for i := range j.halves {
		h := &j.halves[i]
		if h.retired != nil {
			<-h.retired
		}
		j.retire(h)
		err = errors.Join(err, h.err)
	}
	switch {
	case err != nil:
	case j.broken != nil:
		err = j.rebuild()
	default:
		j.seq++
		err = j.checkpoint()
	}
	return errors.Join(err, j.file.Close())
}
