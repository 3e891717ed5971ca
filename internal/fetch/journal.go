package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
)

const (
	filePerm   = 0o600
	journalEnd = ".journal"
	lockEnd    = ".lock"
)

// journal is what is known of one remote mailbox, in memory and on the disk. It
// may be used by several goroutines.
type journal struct {
	dir           fsx.Dir
	name, mailbox string
	lock          fsx.File
	syncs         fsx.Group
	// interrupted says that the last round, be it of another process, did not
	// end well: what it sent may be on its way to the destination.
	interrupted bool

	file fsx.File // of the one who writes, like size
	size int64    // of what is good

	mu      sync.Mutex
	table   table
	pending [][]byte // bodies of batches to be written
	doubt   bool     // what was written last may not be on the disk: write all anew
}

// openJournal opens and locks the journal of a mailbox in dir, making it if
// there is none. It returns an error that wraps ErrLocked if another fetcher
// has it, and one that wraps maildrop.ErrDamaged if it cannot be believed.
func openJournal(dir fsx.Dir, mailbox string) (*journal, error) {
	j := &journal{dir: dir, name: fileName(mailbox), mailbox: mailbox, table: newTable()}
	var err error
	// A file that was put in place of the journal may not be there after a power cut
	// as long as its directory is not synced. Who died before that left a mark.
	var before holder
	if j.lock, before, err = lock(dir, j.name+lockEnd); err != nil {
		return nil, err
	}
	j.doubt, j.interrupted = before.replacing, before != holder{}
	if err := j.open(); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func (j *journal) open() error {
	name := j.name + journalEnd
	_, err := j.dir.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = j.replace(name, []byte(title(j.mailbox)))
		j.doubt = false
	}
	if err != nil {
		return err
	}
	if j.file, err = j.dir.OpenUpdate(name, filePerm); err != nil {
		return err
	}
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if j.size, err = j.table.load(j.file, info.Size, name, j.mailbox); err != nil {
		return err
	}
	if info.Size > j.size { // a batch that was cut, and nothing was built on it
		return j.file.Truncate(j.size)
	}
	return nil
}

// close releases the journal. What was not flushed is lost.
func (j *journal) close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	if j.mu.Lock(); !j.doubt && !j.interrupted {
		j.lock.Truncate(0) // in vain: then the next one is careful for nothing
	}
	j.mu.Unlock()
	return errors.Join(err, j.lock.Close())
}

// note adds records. They count at once, and are on the disk after the next flush.
func (j *journal) note(list ...record) {
	j.change(func(_ *table, note func(record)) {
		for _, r := range list {
			note(r)
		}
	})
}

// change calls f with the table, which it must not keep, and with what notes
// records that follow from it.
func (j *journal) change(f func(t *table, note func(record))) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.table, func(r record) {
		j.table.apply(&r)
		last := len(j.pending) - 1
		if last < 0 || len(j.pending[last]) >= chunk {
			j.pending = append(j.pending, nil)
			last++
		}
		j.pending[last] = r.append(j.pending[last])
	})
}

// look calls f with the table, which it must not keep.
func (j *journal) look(f func(t *table)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.table)
}

// flush returns nil when all that was noted before is on the disk. It shares
// its syncs with others.
func (j *journal) flush() error { return j.syncs.Do(j.write) }

func (j *journal) write() error {
	for {
		j.mu.Lock()
		if j.doubt {
			j.mu.Unlock()
			return j.rewrite()
		}
		if len(j.pending) == 0 {
			j.mu.Unlock()
			return nil
		}
		body := j.pending[0]
		j.pending = j.pending[1:]
		j.doubt = true // until it is known better
		j.mu.Unlock()
		if err := j.appendBatch(body); err != nil {
			return err
		}
		j.mu.Lock()
		j.doubt = false
		j.mu.Unlock()
	}
}

// appendBatch writes one batch and syncs it. What a failed sync leaves can be read, yet
// may never reach the disk: it is taken away again.
func (j *journal) appendBatch(body []byte) error {
	b := encodeBatch(j.size, body)
	_, err := j.file.WriteAt(b, j.size)
	if err == nil {
		err = j.file.SyncData()
	}
	if err != nil {
		j.file.Truncate(j.size)
		return err
	}
	j.size += int64(len(b))
	return nil
}

// fileName makes of the name of a mailbox one that a file can have: something to
// read, and a hash that makes it unique.
func fileName(mailbox string) string {
	const most = 48
	var b strings.Builder
	for i := 0; i < len(mailbox) && b.Len() < most; i++ {
		c := mailbox[i]
		switch {
		case 'A' <= c && c <= 'Z': // some disks do not tell capitals from small letters
			b.WriteByte(c + ('a' - 'A'))
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '@', c == '.' && b.Len() > 0:
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	u := hashed('m', []byte(mailbox))
	return b.String() + "-" + letters.EncodeToString(u[:10])
}

// title is the first line of the journal of a mailbox.
func title(mailbox string) string {
	var b strings.Builder
	b.WriteString(journalTitle)
	for i := range len(mailbox) {
		if c := mailbox[i]; c > ' ' && c < 0x7F && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String() + "\n"
}
