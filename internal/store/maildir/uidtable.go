package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
)

// What the name in a line is.
const (
	kindUnique = 'u' // a unique name
	kindBase   = 'b' // a base, of which the unique name is not unique
	kindInode  = 'i' // a base, a slash and an inode: not even the base is
)

type uidRec struct {
	kind byte
	uid  string
	name string
}

// uidTable is the uids file in memory.
type uidTable struct {
	info  fsx.Info // of the file when it was read
	valid int64    // octets that are whole lines
	recs  []uidRec
	place map[string]int32 // of a record, by kind and name
	taken map[string]int32 // of a record, by UID
	alike map[string]bool  // bases that several files have had
}

func (t *uidTable) add(r uidRec) {
	n := int32(len(t.recs))
	t.recs = append(t.recs, r)
	t.place[string(r.kind)+r.name] = n
	t.taken[r.uid] = n
	if r.kind == kindInode {
		t.alike[r.name[:strings.LastIndexByte(r.name, '/')]] = true
	}
}

// find gives the record for a file. It may be used on nil.
func (t *uidTable) find(base string, inode uint64) (n int, ok bool) {
	if t == nil || len(t.recs) == 0 {
		return 0, false
	}
	if inode != 0 {
		if n, ok := t.place["i"+inodeName(base, inode)]; ok {
			return int(n), true
		}
	}
	if n, ok := t.place["b"+base]; ok {
		return int(n), true
	}
	p, ok := t.place["u"+base[:uniqueLen(base)]]
	return int(p), ok
}

// hadAlike says whether more than one file of a base has been seen. It may be
// used on nil.
func (t *uidTable) hadAlike(base string) bool { return t != nil && t.alike[base] }

// record gives the newest record with a UID. It may be used on nil.
func (t *uidTable) record(uid string) (r uidRec, ok bool) {
	if t == nil {
		return r, false
	}
	n, ok := t.taken[uid]
	if ok {
		r = t.recs[n]
	}
	return r, ok
}

func inodeName(base string, inode uint64) string {
	return base + "/" + strconv.FormatUint(inode, 10)
}

// appendUID appends the line of r to b.
func appendUID(b []byte, r uidRec) []byte {
	line := append(make([]byte, 0, 160), r.kind, ' ')
	line = append(append(line, r.uid...), ' ')
	for i := 0; i < len(r.name); i++ {
		if c := r.name[i]; c < 0x21 || c > 0x7E || c == '%' {
			line = fmt.Appendf(line, "%%%02X", c)
		} else {
			line = append(line, c)
		}
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(line, castagnoli))
	return append(append(b, line...), '\n')
}

// parseUID reads a line without its line end.
func parseUID(line []byte) (uidRec, bool) {
	if len(line) < 14 || line[8] != ' ' || line[10] != ' ' {
		return uidRec{}, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return uidRec{}, false
	}
	uid, name, ok := strings.Cut(string(line[11:]), " ")
	if !ok || !validUID(uid) {
		return uidRec{}, false
	}
	name, ok = unescape(name)
	return uidRec{line[9], uid, name}, ok && (line[9] != kindInode || strings.IndexByte(name, '/') >= 0)
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), true
}

func newTable() *uidTable {
	return &uidTable{place: make(map[string]int32), taken: make(map[string]int32), alike: make(map[string]bool)}
}

// parseUIDs reads a uids file.
func parseUIDs(data []byte) (*uidTable, error) {
	if !bytes.HasPrefix(data, []byte(uidsTitle)) {
		return nil, errors.New("it has no title")
	}
	t := newTable()
	t.valid = int64(len(uidsTitle))
	torn := false
	for off := len(uidsTitle); off < len(data); {
		end := bytes.IndexByte(data[off:], '\n')
		if end < 0 {
			break
		}
		r, ok := parseUID(data[off : off+end])
		off += end + 1
		switch {
		case !ok:
			torn = true
		case torn:
			return nil, errors.New("a line before the last is damaged")
		default:
			t.add(r)
			t.valid = int64(off)
		}
	}
	return t, nil
}
