package fetch

import (
	"github.com/postwain/postwain/internal/fsx"
)

// Both are in octets.
const (
	// worthwhile is how long a journal may be before anybody asks what of it is dead.
	worthwhile = 256 << 10
	// perEntry is what a living entry takes in the file.
	perEntry = 61
)

// compact writes the journal anew if most of it is dead.
func (j *journal) compact() error {
	j.mu.Lock()
	live := int64(len(j.table.entries)+4*len(j.table.failures)) * perEntry
	j.mu.Unlock()
	return j.syncs.Do(func() error {
		if j.size < worthwhile || j.size < 3*live {
			return j.write()
		}
		return j.rewrite()
	})
}

// rewrite puts a file with all that is known in place of the journal, in one
// step.
func (j *journal) rewrite() error {
	j.mu.Lock()
	j.doubt, j.pending = true, nil
	data := j.image()
	j.mu.Unlock()

	name := j.name + journalEnd
	j.file.Close() // some systems replace no open file
	err := j.replace(name, data)
	if f, err2 := j.dir.OpenUpdate(name, filePerm); err2 == nil {
		j.file = f
	} else if err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	j.size = int64(len(data))
	j.mu.Lock()
	j.doubt = false
	j.mu.Unlock()
	return nil
}

// replace puts data in place of the journal. Until that is durable, a mark says
// that it may not be.
func (j *journal) replace(name string, data []byte) error {
	if err := writeHolder(j.lock, true); err != nil {
		return err
	}
	if err := fsx.WriteFile(j.dir, name, data, filePerm); err != nil {
		return err
	}
	return writeHolder(j.lock, false)
}

// image gives the file that holds the table. j.mu is held.
func (j *journal) image() []byte {
	data := []byte(title(j.mailbox))
	var body []byte
	for r := range j.table.records {
		if body = r.append(body); len(body) >= chunk {
			data = append(data, encodeBatch(int64(len(data)), body)...)
			body = body[:0]
		}
	}
	if len(body) > 0 {
		data = append(data, encodeBatch(int64(len(data)), body)...)
	}
	return data
}
