package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
)

// load reads a journal of so many octets and says how many of them are good. A
// batch that is cut, with nothing behind it, was never relied upon and is left
// out. Anything else that is wrong is damage, and then nothing is believed: a
// journal that forgot what was fetched would have it fetched again.
func (t *table) load(f io.ReaderAt, size int64, name, mailbox string) (good int64, err error) {
	head := title(mailbox)
	b := make([]byte, min(int64(len(head)), size))
	if err := readAt(f, b, 0); err != nil {
		return 0, err
	}
	if string(b) != head {
		return 0, damaged(name, 0, "the first line is not that of "+pop3.Printable(mailbox, maxShown))
	}
	good = int64(len(head))
	for good < size {
		body, err := readBatch(f, good, size)
		if err != nil {
			return 0, err
		}
		if body == nil {
			return good, checkTail(f, good, size, name)
		}
		if at, ok := t.replay(body); !ok {
			return 0, damaged(name, good+batchHead+int64(at), "a later version of the program has written it")
		}
		good += batchHead + int64(len(body))
	}
	return good, nil
}

// readBatch gives the body of the batch at off; nil if there is no whole one.
func readBatch(f io.ReaderAt, off, size int64) ([]byte, error) {
	if size-off < batchHead {
		return nil, nil
	}
	var head [batchHead]byte
	if err := readAt(f, head[:], off); err != nil {
		return nil, err
	}
	n := batchHead + int64(binary.LittleEndian.Uint32(head[4:]))
	if n > size-off || n > batchHead+maxBatch {
		return nil, nil
	}
	b := make([]byte, n)
	if err := readAt(f, b, off); err != nil {
		return nil, err
	}
	return decodeBatch(off, b), nil
}

// replay applies the records of a batch, or says which it does not understand.
func (t *table) replay(body []byte) (at int, ok bool) {
	d := decoder{p: body}
	for len(d.p) > 0 {
		at = len(body) - len(d.p)
		r := d.record()
		if !d.ok {
			return at, false
		}
		t.apply(&r)
	}
	return 0, true
}

// checkTail finds out whether the batch at off is cut or damaged. Batches are
// written one after the other, so what was cut is no longer than one and has
// none behind it.
func checkTail(f io.ReaderAt, off, size int64, name string) error {
	const why = "there is more behind it"
	if size-off > batchHead+maxBatch {
		return damaged(name, off, why)
	}
	rest := make([]byte, size-off)
	if err := readAt(f, rest, off); err != nil {
		return err
	}
	for i := 1; i < len(rest); i++ {
		n := bytes.Index(rest[i:], []byte(batchMagic))
		if n < 0 {
			break
		}
		i += n
		if decodeBatch(off+int64(i), rest[i:]) != nil {
			return damaged(name, off, why)
		}
	}
	return nil
}

func readAt(f io.ReaderAt, b []byte, off int64) error {
	if n, err := f.ReadAt(b, off); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

func damaged(name string, at int64, why string) error {
	return fmt.Errorf("journal %s is damaged at octet %d (%s): restore it from a backup, or remove it and let everything that is on the server be fetched again: %w",
		name, at, why, maildrop.ErrDamaged)
}

// readJournal reads the journal of a mailbox and changes nothing. If there is
// none, the table is empty.
func readJournal(dir fsx.Dir, mailbox string) (table, error) {
	t := newTable()
	name := fileName(mailbox) + journalEnd
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		_, err = t.load(f, info.Size, name, mailbox)
	}
	return t, err
}
