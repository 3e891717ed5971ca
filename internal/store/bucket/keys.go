package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The kinds of objects below the directory of an account.
const (
	endings  = "d/" // one ends an epoch, or is a commit of a session without a lease
	leases   = "l/"
	messages = "m/"
)

// registries are beside the directories, as they grow with all mail that ever was.
const (
	takenUIDs = "u/"
	usedKeys  = "k/"
)

// directory is where the mail of an account is. The four digits spread accounts
// over a store that keeps keys in order. It is false for a name that can have none.
func directory(prefix, account string) (string, bool) {
	if account == "" || len(account) > 255 {
		return "", false
	}
	return prefix + spread(account) + "/" + escape(account) + "/", true
}

// registry is where is kept what mail of an account there has been.
func registry(prefix, account string) string {
	return prefix + "r/" + spread(account) + "/" + escape(account) + "/"
}

func spread(account string) string {
	sum := sha256.Sum256([]byte(account))
	return hex.EncodeToString(sum[:2])
}

// escape writes text in letters that mean nothing in a key or in a URL, and so
// that no two texts are written alike.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '@' || c == '_' || c == '-' || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape is the inverse of escape.
func unescape(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '=' {
			b.WriteByte(text[i])
			continue
		}
		if len(text) < i+3 {
			return "", false
		}
		c, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), escape(b.String()) == text
}

// label is what the key of a message tells: <ulid>,W=<octets> and, where they were
// imported, ,T=<its time in milliseconds> and ,U=<its UID>; or ,X=<its UID in hex>,
// where that is shorter, as stores on file systems have names of 255 octets.
type label struct {
	id   ulid // which gives its place
	size int64
	time int64 // in milliseconds
	uid  string
}

func newLabel(id ulid, size int64) label { return label{id, size, id.milliseconds(), id.String()} }

func (l label) key() string {
	k := messages + l.id.String() + ",W=" + strconv.FormatInt(l.size, 10)
	if l.time != l.id.milliseconds() {
		k += ",T=" + strconv.FormatInt(l.time, 10)
	}
	switch text := escape(l.uid); {
	case l.uid == l.id.String():
	case len(text) <= 2*len(l.uid):
		k += ",U=" + text
	default:
		k += ",X=" + hex.EncodeToString([]byte(l.uid))
	}
	return k
}

// parseLabel reads a key below the directory of an account. It is false for what
// was not written by label.key.
func parseLabel(key string) (label, bool) {
	name, ok := strings.CutPrefix(key, messages)
	name, digits, odd := strings.Cut(name, ",X=")
	name, uid, imported := strings.Cut(name, ",U=")
	name, at, dated := strings.Cut(name, ",T=")
	name, octets, _ := strings.Cut(name, ",W=")
	id, well := parseULID(name)
	size, err := strconv.ParseInt(octets, 10, 64)
	if !ok || !well || err != nil || size < 0 {
		return label{}, false
	}
	l := newLabel(id, size)
	if dated {
		if l.time, err = strconv.ParseInt(at, 10, 64); err != nil {
			return l, false
		}
	}
	if imported {
		if l.uid, ok = unescape(uid); !ok || !validUID(l.uid) {
			return l, false
		}
	}
	if odd {
		octets, err := hex.DecodeString(digits)
		if l.uid = string(octets); err != nil || imported || !validUID(l.uid) {
			return l, false
		}
	}
	return l, l.key() == key // there is one way to write it
}

// epochKey is fixed in length, so that epochs are listed in their order.
func epochKey(kind string, n uint64) string { return fmt.Sprintf("%s%016x", kind, n) }

func parseEpoch(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 16, 64)
	return n, err == nil && len(name) == 16
}
