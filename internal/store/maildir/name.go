package maildir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A file name of a message is "unique,S=bytes,W=octets:2,flags": the unique
// name, what is known of the size, and flags that other programs set. The
// part before the flags is its base: it stays when flags change and when the
// file moves from new to cur, and is what identifies a message.
//
// Our own unique names are "sec.MusecPpidQcount.random", where random is 26
// letters of base32, or "key-" and 26 letters made of Incoming.Key.

// lower32 is base32 in lower case without padding: 26 letters for 128 bits.
var lower32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const (
	randomLen = 26
	keyMark   = "key-"
)

// baseLen is the length of the base of name. Beside ':' it knows the marks
// that Maildirs on other systems use in its place, each only in the form that
// a flag list has.
func baseLen(name string) int {
	n := len(name)
	if i := strings.IndexByte(name, ':'); i >= 0 {
		n = i
	}
	for _, mark := range [...]byte{';', '!'} {
		for i := strings.IndexByte(name[:n], mark); i >= 0 && i < n; {
			if strings.HasPrefix(name[i+1:], "2,") {
				n = i
				break
			}
			next := strings.IndexByte(name[i+1:n], mark)
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return n
}

// uniqueLen is the length of the unique name: up to the first ',' or ':'.
func uniqueLen(name string) int {
	n := len(name)
	if i := strings.IndexByte(name, ','); i >= 0 {
		n = i
	}
	if i := strings.IndexByte(name[:n], ':'); i >= 0 {
		n = i
	}
	return n
}

// fields gives what the base of a file name tells of the size: the octets of
// the wire form (W=) and the bytes of the file (S=), -1 where it does not.
func fields(base string) (octets, bytes int64) {
	octets, bytes = -1, -1
	rest := base[uniqueLen(base):]
	for len(rest) > 0 {
		field := rest[1:] // behind the comma
		if i := strings.IndexByte(field, ','); i >= 0 {
			field, rest = field[:i], field[i:]
		} else {
			rest = ""
		}
		if len(field) < 3 || field[1] != '=' {
			continue
		}
		switch field[0] {
		case 'W':
			octets = number(field[2:])
		case 'S':
			bytes = number(field[2:])
		}
	}
	// No file is longer than its wire form, and no line is shorter than its
	// line end. What breaks this is counted.
	if octets >= 0 && bytes >= 0 && (octets < bytes || octets > 2*bytes+2) {
		octets = -1
	}
	return octets, bytes
}

// number reads a size: digits only, less than 2^60. It gives -1 for anything else.
func number(s string) int64 {
	if len(s) == 0 || len(s) > 18 {
		return -1
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	if n >= 1<<59 {
		return -1
	}
	return n
}

// arrival reads the time at the head of a unique name, as nearly every program
// writes it: seconds, and microseconds behind an M in the second part. sec is
// 0 if there is none.
func arrival(unique string) (sec, usec int64) {
	dot := strings.IndexByte(unique, '.')
	if dot < 9 || dot > 11 {
		return 0, 0
	}
	if sec = number(unique[:dot]); sec <= 0 {
		return 0, 0
	}
	mid := unique[dot+1:]
	if i := strings.IndexByte(mid, '.'); i >= 0 {
		mid = mid[:i]
	}
	if m := strings.IndexByte(mid, 'M'); m >= 0 {
		for i := m + 1; i < len(mid) && i <= m+6 && mid[i] >= '0' && mid[i] <= '9'; i++ {
			usec = usec*10 + int64(mid[i]-'0')
		}
	}
	return sec, usec
}

// ours says whether this store made the name, so that what the name tells of
// the size is a promise.
func ours(base string) bool {
	dot := strings.IndexByte(base, '.')
	if dot < 0 || number(base[:dot]) < 0 {
		return false
	}
	mid, last, ok := strings.Cut(base[dot+1:uniqueLen(base)], ".")
	if !ok || len(mid) < 1 || mid[0] != 'M' {
		return false
	}
	usec, rest, ok := strings.Cut(mid[1:], "P")
	pid, count, ok2 := strings.Cut(rest, "Q")
	if !ok || !ok2 || len(usec) != 6 || number(usec) < 0 || number(pid) < 0 || number(count) < 0 {
		return false
	}
	last = strings.TrimPrefix(last, keyMark)
	if len(last) != randomLen {
		return false
	}
	for i := 0; i < len(last); i++ {
		if c := last[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// keyName is the last part of the name of a message that has a key.
func keyName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return keyMark + lower32.EncodeToString(sum[:16])
}

// keyOf gives the part that keyName made, or "".
func keyOf(base string) string {
	unique := base[:uniqueLen(base)]
	i := strings.LastIndexByte(unique, '.')
	if i < 0 || !strings.HasPrefix(unique[i+1:], keyMark) || !ours(base) {
		return ""
	}
	return unique[i+1:]
}

// namer makes unique names.
type namer struct {
	pid   int
	mu    sync.Mutex
	last  int64 // microseconds of the newest name
	count uint32
}

// next makes a unique name for a message that arrives now. The names sort in
// the order in which they were asked for: should the clock go back, they do not.
func (n *namer) next(now time.Time, last string) string {
	n.mu.Lock()
	n.last = max(now.UnixMicro(), n.last+1)
	n.count++
	usec, count := n.last, n.count
	n.mu.Unlock()
	return n.format(usec, count, last)
}

// imported makes a unique name for a message that arrived at a given time.
func (n *namer) imported(at time.Time, last string) string {
	n.mu.Lock()
	n.count++
	count := n.count
	n.mu.Unlock()
	return n.format(at.UnixMicro(), count, last)
}

func (n *namer) format(usec int64, count uint32, last string) string {
	// Seconds of eleven digits end in the year 5138; a clock that is worse
	// than that must not make names that are too long for a UID.
	usec = min(max(usec, 0), 99_999_999_999_999_999)
	b := make([]byte, 0, 72)
	b = strconv.AppendInt(b, usec/1e6, 10)
	b = append(b, ".M"...)
	b = append(b, strconv.FormatInt(1e6+usec%1e6, 10)[1:]...)
	b = strconv.AppendInt(append(b, 'P'), int64(n.pid), 10)
	b = strconv.AppendUint(append(b, 'Q'), uint64(count), 10)
	b = append(append(b, '.'), last...)
	return string(b)
}

// random is the last part of the name of a message without a key.
func random() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return lower32.EncodeToString(b[:])
}

// fileName is the whole name of a file that this store delivers.
func fileName(unique string, bytes, octets int64) string {
	b := make([]byte, 0, len(unique)+32)
	b = append(b, unique...)
	b = strconv.AppendInt(append(b, ",S="...), bytes, 10)
	b = strconv.AppendInt(append(b, ",W="...), octets, 10)
	return string(b)
}

// upper32 is the base32 of derived UIDs.
var upper32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// hashUID is the UID of what has no usable name: 52 letters.
func hashUID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return upper32.EncodeToString(sum[:])
}

// validUID says whether s may be a UID (RFC 1939 §7).
func validUID(s string) bool {
	if len(s) == 0 || len(s) > 70 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return true
}
