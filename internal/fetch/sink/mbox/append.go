package mbox

import (
	"errors"
	"fmt"
	"io"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
)

var errInterfered = errors.New("another program wrote to it at the same time and heeded no lock")

// append stores the pending message at the end of the file, which is locked.
func (m *mbox) append(file fsx.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	pad, err := padding(file, info.Size)
	if err != nil {
		return err
	}
	m.doubt = true
	if err := m.pending.put(info.Size, pad); err != nil {
		return m.undo(file, err)
	}
	if _, err := io.Copy(file, m.pending.all()); err != nil {
		return m.undo(file, err)
	}
	if err := file.Sync(); err != nil {
		// Now it may be in memory and never on the disk, whatever syncs say.
		m.spoiled = true
		return m.undo(file, err)
	}
	if found, err := m.find(file); err != nil || found != whole {
		return m.undo(file, errors.Join(err, errors.New("what was written is not what is there")))
	}
	// A key that could not be noted may be on the disk all the same: then the
	// message must stay.
	if err := m.keys.add(m.pending.key); err != nil {
		return fmt.Errorf("%w: %w", sink.ErrUnknownOutcome, err)
	}
	m.doubt = false
	m.pending.shrink()
	return nil
}

// padding gives what must be added for an empty line to stand at the end.
func padding(file fsx.File, size int64) (string, error) {
	last := make([]byte, min(size, 2))
	if _, err := file.ReadAt(last, size-int64(len(last))); err != nil && err != io.EOF {
		return "", err
	}
	switch {
	case size == 0 || string(last) == "\n\n":
		return "", nil
	case last[len(last)-1] == '\n':
		return "\n", nil
	}
	return "\n\n", nil
}

// undo takes back a message that could not be stored because of cause.
func (m *mbox) undo(file fsx.File, cause error) error {
	found, err := m.find(file)
	if err == nil && (found == other || found == whole && !m.last(file)) {
		err = errInterfered
	}
	if err == nil {
		err = m.remove(file, found)
	}
	if err != nil {
		return fmt.Errorf("%w: %w: %w", sink.ErrUnknownOutcome, cause, err)
	}
	return cause
}

// settle finds out whether the pending message was stored before a crash or
// an error, and removes what there is of one that was not.
func (m *mbox) settle(file fsx.File) error {
	if m.keys.has(m.pending.key) {
		m.doubt = false
		return nil
	}
	found, err := m.find(file)
	if err != nil {
		return err
	}
	if found != whole || m.spoiled {
		return m.remove(file, found)
	}
	if err := file.Sync(); err != nil {
		m.spoiled = true
		return err
	}
	if err := m.keys.add(m.pending.key); err != nil {
		return err
	}
	m.doubt = false
	return nil
}

// remove removes what was found of the pending message, if nothing else can be
// lost by that.
func (m *mbox) remove(file fsx.File, found finding) error {
	if found == partial || found == whole && m.last(file) {
		if err := file.Truncate(m.pending.offset); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	if err := m.pending.clear(); err != nil {
		return err
	}
	m.doubt, m.spoiled = false, false
	return nil
}

// finding is what stands where the pending message is to be.
type finding int

const (
	nothing finding = iota // the file ends before
	whole                  // the message
	partial                // a part of it, perhaps with holes, and nothing behind
	other                  // something else
)

// find compares the file with the pending message. Octets that a power cut kept
// from the disk read as zeros.
func (m *mbox) find(file fsx.File) (finding, error) {
	info, err := file.Stat()
	if err != nil {
		return other, err
	}
	p := m.pending
	n := min(info.Size, p.end()) - p.offset
	if n <= 0 {
		return nothing, nil
	}
	same, holes := true, true
	want, got := p.all(), io.NewSectionReader(file, p.offset, n)
	var a, b [4 << 10]byte
	for n > 0 && holes {
		k := int(min(n, int64(len(a))))
		if _, err := io.ReadFull(want, a[:k]); err != nil {
			return other, err
		}
		if _, err := io.ReadFull(got, b[:k]); err != nil {
			return other, err
		}
		for i, c := range b[:k] {
			same = same && c == a[i]
			holes = holes && (c == a[i] || c == 0)
		}
		n -= int64(k)
	}
	switch {
	case same && info.Size >= p.end():
		return whole, nil
	case holes && info.Size <= p.end():
		return partial, nil
	}
	return other, nil
}

// last says whether nothing stands behind the pending message.
func (m *mbox) last(file fsx.File) bool {
	info, err := file.Stat()
	return err == nil && info.Size <= m.pending.end()
}
