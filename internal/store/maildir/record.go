package maildir

import (
	"encoding/binary"
	"hash/crc32"
)

// The records of the commit journal. A batch holds the removals of all who
// quit at the same time:
//
//	0   "pwj1"
//	4   length of the body, uint32, little endian as all numbers here
//	8   sequence number, uint64
//	16  done, uint64: every batch with a number up to this is finished
//	24  CRC-32C of octets 4 to 24 and of the body
//	28  body: for each removal the path (length as uvarint, octets), the count
//	    of its messages (uvarint) and for each the base of its name (length as
//	    uvarint, octets) and its inode (uint64)
//
// and zeros up to a multiple of 4096, so that a batch that is torn by a power
// cut shares no block with one that is not.

const (
	batchMagic = "pwj1"
	batchHead  = 28
	blockSize  = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark names one message to be removed: a file of this base and inode. A file
// with the base and another inode is another message.
type mark struct {
	base  string
	inode uint64
}

// removal is what one QUIT removes from the Maildir at path.
type removal struct {
	path  string
	marks []mark
}

// append adds the form of r that a batch has.
func (r *removal) append(b []byte) []byte {
	b = appendString(b, r.path)
	b = binary.AppendUvarint(b, uint64(len(r.marks)))
	for _, m := range r.marks {
		b = appendString(b, m.base)
		b = binary.LittleEndian.AppendUint64(b, m.inode)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// batch is one record of the journal.
type batch struct {
	seq, done uint64
	body      []byte
}

// encode gives the batch as it is written.
func (b *batch) encode() []byte {
	p := make([]byte, batchSize(len(b.body)))
	copy(p, batchMagic)
	binary.LittleEndian.PutUint32(p[4:], uint32(len(b.body)))
	binary.LittleEndian.PutUint64(p[8:], b.seq)
	binary.LittleEndian.PutUint64(p[16:], b.done)
	copy(p[batchHead:], b.body)
	binary.LittleEndian.PutUint32(p[24:], batchSum(p, len(b.body)))
	return p
}

// batchSize is the room that a batch with a body of n octets takes.
func batchSize(n int) int64 {
	return (batchHead + int64(n) + blockSize - 1) &^ (blockSize - 1)
}

func batchSum(p []byte, body int) uint32 {
	sum := crc32.Update(0, castagnoli, p[4:24])
	return crc32.Update(sum, castagnoli, p[batchHead:batchHead+body])
}

// decodeBatch reads the batch at the head of p and says how long it is; 0 if
// there is no whole one.
func decodeBatch(p []byte) (b batch, size int) {
	if len(p) < batchHead || string(p[:4]) != batchMagic {
		return batch{}, 0
	}
	body := int64(binary.LittleEndian.Uint32(p[4:]))
	if body > int64(len(p)-batchHead) || binary.LittleEndian.Uint32(p[24:]) != batchSum(p, int(body)) {
		return batch{}, 0
	}
	b = batch{
		seq:  binary.LittleEndian.Uint64(p[8:]),
		done: binary.LittleEndian.Uint64(p[16:]),
		body: p[batchHead : batchHead+body],
	}
	return b, min(int(batchSize(int(body))), len(p))
}

// removals reads the body of a batch. ok is false if it is not of that form;
// the checksum has been right, so this is not damage but another program's.
func (b *batch) removals() (list []*removal, ok bool) {
	d := decoder{b.body}
	for len(d.p) > 0 {
		path, ok := d.string()
		if !ok {
			return nil, false
		}
		n, ok := d.uvarint()
		if !ok || n > uint64(len(d.p)) {
			return nil, false
		}
		r := &removal{path: path, marks: make([]mark, 0, min(n, 4096))}
		for range n {
			base, ok := d.string()
			inode, ok2 := d.uint64()
			if !ok || !ok2 {
				return nil, false
			}
			r.marks = append(r.marks, mark{base, inode})
		}
		list = append(list, r)
	}
	return list, true
}

// decoder reads numbers and strings off the head of p.
type decoder struct{ p []byte }

func (d *decoder) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		return 0, false
	}
	d.p = d.p[n:]
	return v, true
}

func (d *decoder) uint64() (uint64, bool) {
	if len(d.p) < 8 {
		return 0, false
	}
	v := binary.LittleEndian.Uint64(d.p)
	d.p = d.p[8:]
	return v, true
}

func (d *decoder) string() (string, bool) {
	n, ok := d.uvarint()
	if !ok || n > uint64(len(d.p)) {
		return "", false
	}
	s := string(d.p[:n])
	d.p = d.p[n:]
	return s, true
}

// decodeHalf reads the batches of one half of the journal in order. What
// follows the first that is torn, or older than the one before it, is left
// over from an earlier round.
func decodeHalf(p []byte) []batch {
	var list []batch
	for {
		b, size := decodeBatch(p)
		if size == 0 || len(list) > 0 && b.seq <= list[len(list)-1].seq {
			return list
		}
		list = append(list, b)
		p = p[size:]
	}
}
