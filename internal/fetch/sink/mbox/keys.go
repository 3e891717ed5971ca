package mbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/postwain/postwain/internal/fsx"
)

const (
	maxKey  = 64
	maxLine = 8 + 1 + maxKey + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// keyFile has a line for each message that is stored: the CRC-32C of the key in
// hex, a blank, and the key. It is only appended to, each time with a sync, so
// that only the last line can be torn.
type keyFile struct {
	file  fsx.File
	size  int64
	known map[[16]byte]struct{} // by hash, to be smaller
	torn  bool                  // something may stand behind size
}

func openKeys(dir fsx.Dir, name string) (*keyFile, error) {
	f, err := dir.OpenAppend(name, filePerm)
	if err != nil {
		return nil, err
	}
	k := &keyFile{file: f, known: make(map[[16]byte]struct{})}
	if err := k.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

func (k *keyFile) load() error {
	br := bufio.NewReaderSize(io.NewSectionReader(k.file, 0, 1<<62), 64<<10)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		key, ok := parseKeyLine(line)
		if !ok {
			if _, err := br.Peek(1); err != io.EOF {
				return fmt.Errorf("line %d is damaged; if it is removed, messages may come twice", n)
			}
			k.torn = true
			break
		}
		k.size += int64(len(line))
		k.known[hashKey(key)] = struct{}{}
	}
	// A killed process may have written a line and not synced it.
	return errors.Join(k.mend(), k.file.Sync())
}

// mend cuts off what is torn.
func (k *keyFile) mend() error {
	if !k.torn {
		return nil
	}
	err := k.file.Truncate(k.size)
	k.torn = err != nil
	return err
}

// forget drops all keys, durably.
func (k *keyFile) forget() error {
	if k.size == 0 {
		return nil
	}
	clear(k.known)
	k.size, k.torn = 0, true
	return errors.Join(k.mend(), k.file.Sync())
}

func (k *keyFile) has(key string) bool {
	_, ok := k.known[hashKey([]byte(key))]
	return ok
}

// add notes a key, durably.
func (k *keyFile) add(key string) error {
	if err := k.mend(); err != nil {
		return err
	}
	line := keyLine(key)
	k.torn = true
	if _, err := k.file.Write(line); err != nil {
		return errors.Join(err, k.mend())
	}
	if err := k.file.Sync(); err != nil {
		return errors.Join(err, k.mend())
	}
	k.torn = false
	k.size += int64(len(line))
	k.known[hashKey([]byte(key))] = struct{}{}
	return nil
}

func hashKey(key []byte) [16]byte {
	sum := sha256.Sum256(key)
	return [16]byte(sum[:])
}

func keyLine(key string) []byte {
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum([]byte(key), castagnoli), key)
}

// parseKeyLine gives the key in a line, which keeps to its slice.
func parseKeyLine(line []byte) (key []byte, ok bool) {
	if len(line) < 11 || len(line) > maxLine {
		return nil, false
	}
	key = line[9 : len(line)-1]
	return key, bytes.Equal(line, keyLine(string(key)))
}

// validKey says whether s is what a sink.Message has for a key.
func validKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxKey
}
