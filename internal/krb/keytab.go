package krb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

const (
	maxFile = 1 << 20 // octets of a keytab or a credential cache

	// checkEvery is how often a keytab may be looked at.
	checkEvery = time.Second
)

// entry is one key of a keytab.
type entry struct {
	principal Principal
	kvno      uint32
	narrow    bool // only the last eight bits of kvno are known
	key       Key
}

// readFile reads a file of keys, up to its bound. Errors name the path only.
func readFile(path string) ([]byte, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d KiB", path, maxFile>>10)
	}
	return data, info, err
}

// parseKeytab reads version 2 of the format, which every implementation has
// written for decades. Keys of other encryption types are passed over.
func parseKeytab(data []byte) ([]entry, error) {
	c := &cursor{rest: data}
	if c.u8() != 5 || c.u8() != 2 {
		return nil, errors.New("not a keytab")
	}
	var all []entry
	for len(c.rest) >= 4 {
		n := int32(c.u32())
		if n == 0 {
			break
		}
		if n < 0 { // a hole, where an entry was removed
			c.take(-int64(n))
			continue
		}
		e, ok, err := parseEntry(c.take(int64(n)))
		if c.err != nil || err != nil {
			return nil, errTruncated
		}
		if ok {
			all = append(all, e)
		}
	}
	return all, c.err
}

func parseEntry(data []byte) (e entry, ok bool, err error) {
	c := &cursor{rest: data}
	parts := c.u16()
	e.principal.Realm = string(c.short())
	for range parts {
		if c.err != nil {
			return e, false, c.err
		}
		e.principal.Name = append(e.principal.Name, string(c.short()))
	}
	c.u32() // type of the name
	c.u32() // when it was written
	e.kvno, e.narrow = uint32(c.u8()), true
	kind, value := c.u16(), c.short()
	if c.err != nil {
		return e, false, c.err
	}
	if len(c.rest) >= 4 {
		if wide := c.u32(); wide != 0 {
			e.kvno, e.narrow = wide, false
		}
	}
	e.key, err = newKey(types.EncryptionKey{KeyType: int32(kind), KeyValue: value})
	return e, err == nil && wellFormed(e.principal.Name, e.principal.Realm), nil
}

// keytab is a keytab file, read anew when it changes.
type keytab struct {
	path   string
	report func(error) // may be nil

	mu      sync.Mutex
	entries []entry
	info    os.FileInfo
	looked  time.Time
	told    string
}

func openKeytab(path string, report func(error)) (*keytab, error) {
	k := &keytab{path: path, report: report}
	if err := k.read(); err != nil {
		return nil, fmt.Errorf("krb: keytab %s: %w", path, bare(err))
	}
	return k, nil
}

// bare takes the path away from an error that is about to be told with it.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// read reads the file; mu is held, or nobody else has k.
func (k *keytab) read() error {
	k.looked = time.Now()
	data, info, err := readFile(k.path)
	if err != nil {
		return err
	}
	k.info = info
	entries, err := parseKeytab(data)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return errors.New("no key of AES in it")
	}
	k.entries = entries
	return nil
}

// refresh reads the file if it has changed; mu is held. It looks once in a
// while, or, if the caller misses a key, at once. What was read before stays in
// force after a fault.
func (k *keytab) refresh(missing bool) {
	recent := time.Since(k.looked) < checkEvery
	if recent && !missing {
		return
	}
	info, err := os.Stat(k.path)
	same := err == nil && k.info != nil && os.SameFile(info, k.info) &&
		info.ModTime().Equal(k.info.ModTime()) && info.Size() == k.info.Size()
	if same && (recent || !missing) {
		k.looked = time.Now()
		return
	}
	err = k.read()
	if err == nil {
		k.told = ""
		return
	}
	err = fmt.Errorf("krb: keytab %s: %w; the keys read before stay in force", k.path, bare(err))
	if text := err.Error(); text != k.told && k.report != nil {
		k.told = text
		k.report(err)
	}
}

// key gives the key of a principal with a version, zero being the latest, and
// an encryption type. known says whether there is any key of the principal.
func (k *keytab) key(p Principal, kvno uint32, kind int32) (key Key, known, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh(false)
	if key, known, ok = find(k.entries, p, kvno, kind); !ok {
		k.refresh(true)
		key, known, ok = find(k.entries, p, kvno, kind)
	}
	return key, known, ok
}

func find(entries []entry, p Principal, kvno uint32, kind int32) (key Key, known, ok bool) {
	var best uint32
	for _, e := range entries {
		if !e.principal.Equal(p) {
			continue
		}
		known = true
		right := kvno == 0 || e.kvno == kvno || e.narrow && e.kvno == kvno&0xFF
		if right && e.key.kind.id == kind && (!ok || e.kvno > best) {
			key, best, ok = e.key, e.kvno, true
		}
	}
	return key, known, ok
}

// services are the principals of a service that have a key, each once.
func (k *keytab) services(service string) []Principal {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Principal
	for _, e := range k.entries {
		p := e.principal
		if len(p.Name) == 2 && p.Name[0] == service && !contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

func contains(all []Principal, p Principal) bool {
	for _, q := range all {
		if q.Equal(p) {
			return true
		}
	}
	return false
}
