package fetch

import (
	"encoding/binary"
	"hash/crc32"
)

// The file of a journal is a title line, which names the mailbox, and batches,
// each of which was written and synced before the next:
//
//	0   F1 "pwf"
//	4   length of the body, uint32, little endian as all numbers here
//	8   offset of the batch in the file, uint64
//	16  CRC-32C of octets 4 to 16 and of the body
//	20  body: records
//
// A record is an octet that says its kind and what belongs to the kind. Numbers
// are uvarints, times are seconds since 1970, and texts are a length and octets.

const (
	journalTitle = "postwain-fetch 1 "
	batchMagic   = "\xf1pwf"
	batchHead    = 20
	// chunk is about how long the body of a batch may become, and maxBatch
	// how long at most.
	chunk    = 1 << 20
	maxBatch = chunk + 64<<10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kind says what a record tells of a message, or of all.
type kind byte

const (
	kindSeen      kind = 'n' // nonce, time: its key is settled
	kindStoring   kind = 'i' // time: a destination that cannot be asked is about to get it
	kindStored    kind = 's' // digest, octets, time: it is safe in the destination
	kindDeleted   kind = 'd' // DELE was answered +OK
	kindKnown     kind = 'k' // time: it was there before the first fetch
	kindFailed    kind = 'f' // tries, next time, size, UID, reason
	kindTooLarge  kind = 't' // likewise
	kindListed    kind = 'l' // time: it is still on the server
	kindGone      kind = 'g' // it need not be known any more
	kindTold      kind = 'q' // it was read in a session that ended in QUIT
	kindAmbiguous kind = 'a' // time: several messages had this UID at a time
	kindEntry     kind = 'e' // all that is known of it
	kindBegin     kind = 'b' // a session begins: deletions of the one before are in doubt
	kindCommitted kind = 'c' // QUIT was answered +OK: what was deleted in the session is gone
	kindMet       kind = 'm' // the mailbox has been listed once
	kindSerial    kind = 'w' // the server cannot take commands ahead
	kindNamed     kind = 'u' // the server gives UIDs
	kindRenewed   kind = 'r' // it gives others than before
	kindSettled   kind = 'z' // and by now all of them are known
	kindEpoch     kind = 'o' // number: so many sessions have deleted something
	kindPlace     kind = 'p' // place: messages go there from now on
)

// general says that a record is about no single message.
func (k kind) general() bool {
	switch k {
	case kindBegin, kindCommitted, kindMet, kindSerial, kindNamed, kindRenewed, kindSettled, kindEpoch, kindPlace:
		return true
	}
	return false
}

// record is one record. Which fields count follows from the kind.
type record struct {
	kind    kind
	uid     uid // or a place
	nonce   nonce
	digest  digest
	octets  int64 // or another number
	time    int64
	failure failure
	entry   entry
}

func (r *record) append(b []byte) []byte {
	b = append(b, byte(r.kind))
	if r.kind == kindEpoch {
		return appendNumber(b, r.octets)
	}
	if r.kind.general() && r.kind != kindPlace {
		return b
	}
	b = append(b, r.uid[:]...)
	switch r.kind {
	case kindSeen:
		b = append(b, r.nonce[:]...)
		b = appendNumber(b, r.time)
	case kindStored:
		b = append(b, r.digest[:]...)
		b = appendNumber(b, r.octets)
		b = appendNumber(b, r.time)
	case kindStoring, kindAmbiguous, kindKnown, kindListed:
		b = appendNumber(b, r.time)
	case kindFailed, kindTooLarge:
		b = r.failure.append(b)
	case kindEntry:
		b = r.entry.append(b)
	}
	return b
}

func (f *failure) append(b []byte) []byte {
	b = appendNumber(b, int64(f.tries))
	b = appendNumber(b, f.next)
	b = appendNumber(b, f.size)
	b = appendString(b, f.uid)
	return appendString(b, f.reason)
}

func (e *entry) append(b []byte) []byte {
	b = append(b, byte(e.state), byte(e.flags))
	b = binary.LittleEndian.AppendUint16(b, e.day)
	b = binary.LittleEndian.AppendUint32(b, e.time)
	b = binary.LittleEndian.AppendUint32(b, e.epoch)
	return append(b, e.digest[:]...)
}

func appendNumber(b []byte, n int64) []byte { return binary.AppendUvarint(b, uint64(max(n, 0))) }

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads records off the head of p. ok turns false at the first thing
// that is not there.
type decoder struct {
	p  []byte
	ok bool
}

func (d *decoder) record() (r record) {
	d.ok = true
	r.kind = kind(d.octets(1)[0])
	if r.kind == kindEpoch {
		r.octets = d.number()
		return r
	}
	if r.kind.general() && r.kind != kindPlace {
		return r
	}
	copy(r.uid[:], d.octets(len(r.uid)))
	switch r.kind {
	case kindDeleted, kindGone, kindTold, kindPlace:
	case kindSeen:
		copy(r.nonce[:], d.octets(len(r.nonce)))
		r.time = d.number()
	case kindStored:
		copy(r.digest[:], d.octets(len(r.digest)))
		r.octets = d.number()
		r.time = d.number()
	case kindStoring, kindAmbiguous, kindKnown, kindListed:
		r.time = d.number()
	case kindFailed, kindTooLarge:
		r.failure = failure{
			tries: int(d.number()), next: d.number(), size: d.number(),
			uid: d.string(), reason: d.string(), large: r.kind == kindTooLarge,
		}
	case kindEntry:
		head := d.octets(12)
		r.entry.state, r.entry.flags = state(head[0]), flags(head[1])
		r.entry.day = binary.LittleEndian.Uint16(head[2:])
		r.entry.time = binary.LittleEndian.Uint32(head[4:])
		r.entry.epoch = binary.LittleEndian.Uint32(head[8:])
		copy(r.entry.digest[:], d.octets(len(r.entry.digest)))
	default:
		d.ok = false
	}
	return r
}

// octets gives the next n octets, or as many zeros.
func (d *decoder) octets(n int) []byte {
	if n > len(d.p) {
		d.ok = false
		return make([]byte, n)
	}
	b := d.p[:n]
	d.p = d.p[n:]
	return b
}

func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 || v >= 1<<62 {
		d.ok = false
		return 0
	}
	d.p = d.p[n:]
	return int64(v)
}

func (d *decoder) string() string {
	n := d.number()
	if n > int64(len(d.p)) {
		d.ok = false
		return ""
	}
	s := string(d.p[:n])
	d.p = d.p[n:]
	return s
}

// encodeBatch puts records into the form in which they stand at off.
func encodeBatch(off int64, body []byte) []byte {
	b := make([]byte, batchHead, batchHead+len(body))
	copy(b, batchMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	binary.LittleEndian.PutUint64(b[8:], uint64(off))
	b = append(b, body...)
	binary.LittleEndian.PutUint32(b[16:], batchSum(b))
	return b
}

// decodeBatch gives the body of the batch that is to stand at off and at the
// head of p; nil if there is no whole one.
func decodeBatch(off int64, p []byte) []byte {
	if len(p) < batchHead || string(p[:4]) != batchMagic {
		return nil
	}
	n := int64(binary.LittleEndian.Uint32(p[4:]))
	if n == 0 || n > int64(len(p)-batchHead) || binary.LittleEndian.Uint64(p[8:]) != uint64(off) {
		return nil
	}
	p = p[:batchHead+n]
	if binary.LittleEndian.Uint32(p[16:]) != batchSum(p) {
		return nil
	}
	return p[batchHead:]
}

func batchSum(p []byte) uint32 {
	sum := crc32.Update(0, castagnoli, p[4:16])
	return crc32.Update(sum, castagnoli, p[batchHead:])
}
