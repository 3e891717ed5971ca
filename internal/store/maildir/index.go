package maildir

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// The file postwain-index spares work and holds no truth: the sizes of
// messages that others delivered, the order in which messages were first
// seen, and the state of the directories at the last scan. It is the title and
// then records, each the length of the payload, its CRC-32C (both uint32,
// little endian) and the payload:
//
//	'M' and for each message that is new or has changed: its file name (length
//	    as uvarint, octets), 1 if it is in cur else 0 (octet), size in octets
//	    of the wire form, length of the file + 1 or 0 if it is not known, and
//	    arrival in seconds, 0 if the name tells it (three uvarints)
//	'D' and the base of each message that is gone (length as uvarint, octets)
//	'S' and a scan: the number of messages as uvarint, the sum of the FNV-1a
//	    hashes of their file names as uint64, and for new and for cur the inode, mtime and
//	    ctime as uint64 (nanoseconds)
//
// Later records override earlier ones. What follows the first bad record is
// not believed, and the next change writes the file anew. Nothing is synced.

const (
	indexName  = "postwain-index"
	indexTitle = "postwain-index 1\n"
	maxIndex   = 512 << 20
	// small is the number of messages below which the names alone do.
	small = 64
)

// indexState is what is known of the index file of a drop.
type indexState struct {
	info  fsx.Info // when it was written or read last; zero: not known
	saved *listing // what it says; nil: not known
	live  int64    // octets of the file when it was written whole
}

// loadIndex reads the index of d, if there is a good one. The UIDs of what it
// gives are not set. d.mu is held.
func (d *drop) loadIndex(home fsx.Dir) (*listing, error) {
	d.disk = indexState{}
	data, err := readAll(home, indexName, maxIndex)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fsx.ErrNotRegular) || errors.Is(err, errTooBig) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := home.Stat(indexName)
	if err != nil {
		return nil, ignoreNotExist(err)
	}
	l, whole := parseIndex(data)
	if whole && info.Size == int64(len(data)) {
		d.disk = indexState{info, l, int64(len(data))}
	}
	return l, nil
}

// parseIndex reads as much of an index as is good; whole is true if all was.
func parseIndex(data []byte) (l *listing, whole bool) {
	if len(data) < len(indexTitle) || string(data[:len(indexTitle)]) != indexTitle {
		return nil, false
	}
	var b indexBuilder
	p := data[len(indexTitle):]
	for len(p) >= 8 {
		n := binary.LittleEndian.Uint32(p)
		if uint64(n) > uint64(len(p)-8) {
			break
		}
		payload := p[8 : 8+n]
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(p[4:]) || !b.record(payload) {
			break
		}
		p = p[8+n:]
	}
	b.finish()
	return &b.list, len(p) == 0
}

// indexBuilder applies records. The map is made only once a record can touch
// the messages of one before it.
type indexBuilder struct {
	list  listing
	place map[string]int // of the messages, by base
	dead  int            // messages without a name, to be dropped at the end
}

func (b *indexBuilder) record(p []byte) bool {
	if len(p) == 0 {
		return false
	}
	d := decoder{p[1:]}
	switch p[0] {
	case 'M':
		return b.messages(&d)
	case 'D':
		return b.gone(&d)
	case 'S':
		return b.scan(&d)
	}
	return false
}

func (b *indexBuilder) index() {
	if b.place != nil {
		return
	}
	b.place = make(map[string]int, len(b.list.entries))
	for i := range b.list.entries {
		b.place[b.list.entries[i].file().base()] = i
	}
}

func (b *indexBuilder) messages(d *decoder) bool {
	text := string(d.p) // one string for all names
	if len(b.list.entries) > 0 {
		b.index()
	} else {
		n := len(d.p)/64 + 1 // more than there are, as names go
		b.list.entries, b.list.msgs = make([]entry, 0, n), make([]maildrop.Message, 0, n)
	}
	b.list.at = stamp{}
	for len(d.p) > 0 {
		n, ok := d.uvarint()
		if !ok || n == 0 || n >= uint64(len(d.p)) {
			return false
		}
		from := len(text) - len(d.p)
		f := file{text[from : from+int(n)], d.p[n] == 1}
		d.p = d.p[n+1:]
		size, ok1 := d.uvarint()
		length, ok2 := d.uvarint()
		sec, ok3 := d.uvarint()
		if !ok1 || !ok2 || !ok3 || size >= 1<<60 || length >= 1<<60 || sec >= 1<<60 {
			return false
		}
		b.message(newEntry(f, int64(length)-1), maildrop.Message{Size: int64(size), Time: arrivalTime(f.name, int64(sec))})
	}
	return true
}

func (b *indexBuilder) message(e entry, m maildrop.Message) {
	if b.place != nil {
		base := e.file().base()
		if i, ok := b.place[base]; ok {
			b.list.entries[i], b.list.msgs[i] = e, m
			return
		}
		b.place[base] = len(b.list.entries)
	}
	b.list.entries = append(b.list.entries, e)
	b.list.msgs = append(b.list.msgs, m)
}

func (b *indexBuilder) gone(d *decoder) bool {
	b.index()
	b.list.at = stamp{}
	for len(d.p) > 0 {
		base, ok := d.string()
		if !ok {
			return false
		}
		if i, ok := b.place[base]; ok {
			b.list.entries[i].name = ""
			b.dead++
			delete(b.place, base)
		}
	}
	return true
}

func (b *indexBuilder) scan(d *decoder) bool {
	count, ok := d.uvarint()
	if !ok || len(d.p) != 7*8 {
		return false
	}
	var v [7]uint64
	for i := range v {
		v[i], _ = d.uint64()
	}
	b.list.at = stamp{}
	if count == uint64(len(b.list.entries)-b.dead) && b.list.sum() == v[0] {
		b.list.at = stamp{
			times{v[1], int64(v[2]), int64(v[3])},
			times{v[4], int64(v[5]), int64(v[6])},
		}
	}
	return true
}

// finish drops the messages that are gone.
func (b *indexBuilder) finish() {
	if b.dead == 0 {
		return
	}
	l := listing{at: b.list.at}
	for i, e := range b.list.entries {
		if e.name != "" {
			l.entries = append(l.entries, e)
			l.msgs = append(l.msgs, b.list.msgs[i])
		}
	}
	b.list = l
}

// sum is an order-free checksum of the names.
func (l *listing) sum() (sum uint64) {
	for i := range l.entries {
		if name := l.entries[i].name; name != "" {
			sum += nameSum(name)
		}
	}
	return sum
}

// saveIndex writes what the file does not have yet of d.list. It is only a
// cache, so a failure costs time later and nothing else. d.mu is held.
func (d *drop) saveIndex(home fsx.Dir) error {
	l := d.list
	if d.disk.saved == nil {
		if !l.worthIndex() {
			return nil
		}
		return d.rewriteIndex(home)
	}
	data := d.disk.saved.changes(l)
	if len(data) == 0 {
		return nil
	}
	info, err := home.Stat(indexName)
	if err != nil || !sameFile(info, d.disk.info) || info.Size+int64(len(data)) > 2*d.disk.live+(64<<10) {
		return d.rewriteIndex(home)
	}
	return d.appendIndex(home, data)
}

func (d *drop) appendIndex(home fsx.Dir, data []byte) error {
	live := d.disk.live
	d.disk = indexState{}
	f, err := home.OpenAppend(indexName, filePerm)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		d.disk = indexState{info, d.list, live}
	}
	return err
}

func (d *drop) rewriteIndex(home fsx.Dir) error {
	d.disk = indexState{}
	payload := append(make([]byte, 0, d.list.cost), 'M')
	for i := range d.list.entries {
		payload = d.list.appendMessage(payload, i)
	}
	data := appendRecord([]byte(indexTitle), payload)
	if d.list.at != (stamp{}) {
		data = d.list.appendScan(data)
	}
	tmp := indexName + ".tmp"
	if err := ignoreNotExist(home.Remove(tmp)); err != nil {
		return err
	}
	f, err := home.Create(tmp, filePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = home.Replace(tmp, indexName)
	}
	if err != nil {
		home.Remove(tmp)
		return err
	}
	info, err := home.Stat(indexName) // now: the renaming has changed its ctime
	if err == nil {
		d.disk = indexState{info, d.list, int64(len(data))}
	}
	return err
}

// changes gives the records that lead from what x says to l.
func (x *listing) changes(l *listing) []byte {
	var data []byte
	if x != l {
		data = x.moves(l)
	}
	if l.at != (stamp{}) && (len(data) > 0 || l.at != x.at) {
		data = l.appendScan(data)
	}
	return data
}

func (x *listing) moves(l *listing) (data []byte) {
	old := make(map[string]int, len(x.entries))
	for i := range x.entries {
		old[x.entries[i].file().base()] = i
	}
	changed := []byte{'M'}
	for i, e := range l.entries {
		base := e.file().base()
		o, ok := old[base]
		if !ok || x.entries[o] != e || x.msgs[o].Size != l.msgs[i].Size {
			changed = l.appendMessage(changed, i)
		}
		delete(old, base)
	}
	gone := []byte{'D'}
	for i := range x.entries {
		base := x.entries[i].file().base()
		if _, ok := old[base]; ok {
			gone = appendString(gone, base)
		}
	}
	if len(gone) > 1 {
		data = appendRecord(data, gone)
	}
	if len(changed) > 1 {
		data = appendRecord(data, changed)
	}
	return data
}

func appendRecord(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

func (l *listing) appendMessage(b []byte, i int) []byte {
	e := l.entries[i]
	b = appendString(b, e.name)
	if e.cur() {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	sec := int64(0)
	if s, _ := arrival(e.name[:uniqueLen(e.name)]); s == 0 {
		sec = max(l.msgs[i].Time.Unix(), 0)
	}
	b = binary.AppendUvarint(b, uint64(l.msgs[i].Size))
	b = binary.AppendUvarint(b, uint64(e.length()+1))
	return binary.AppendUvarint(b, uint64(sec))
}

func (l *listing) appendScan(b []byte) []byte {
	p := binary.AppendUvarint([]byte{'S'}, uint64(len(l.entries)))
	for _, v := range []uint64{
		l.sum(),
		l.at.new.inode, uint64(l.at.new.mtime), uint64(l.at.new.ctime),
		l.at.cur.inode, uint64(l.at.cur.mtime), uint64(l.at.cur.ctime),
	} {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return appendRecord(b, p)
}

// nameSum is the FNV-1a hash of a name.
func nameSum(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
