package rcfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxSeen = 10_000_000 // messages
	maxLine = 8 << 10    // octets
)

// Mailbox is what another program has fetched from a mailbox.
type Mailbox struct {
	// Server and User are as in an Entry, to fetchmail in either case of
	// letters. They are empty if the file does not say them: then
	// [Entry.Oldmail] does.
	Server, User string
	Messages     []Message
}

// Message is a message that was fetched.
type Message struct {
	UID  string
	Time time.Time // when it was fetched; zero: unknown
}

// Seen reads a ~/.fetchids of fetchmail, or an oldmail file of getmail, which is
// of one mailbox; name names it in notes. Lines that say nothing are noted.
// Lines may have up to 8 KiB, and there may be ten million messages.
//
// Both programs lose a little: fetchmail ends a unique id at its first space,
// and getmail writes - for a /. Such messages will be fetched once more.
func Seen(name string, r io.Reader) ([]Mailbox, []Note, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	var (
		all   []Mailbox
		index = map[[2]string]int{}
		notes []Note
		total int
	)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		server, user, m, ok := seenLine(line)
		if !ok {
			if len(notes) < maxEntries {
				notes = append(notes, Note{name, n, "this line names no message"})
			}
			continue
		}
		if total++; total > maxSeen {
			return nil, nil, fmt.Errorf("rcfile: %s: more than %d messages", name, maxSeen)
		}
		key := [2]string{server, user}
		i, known := index[key]
		if !known {
			i = len(all)
			index[key] = i
			all = append(all, Mailbox{Server: server, User: user})
		}
		all[i].Messages = append(all[i].Messages, m)
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line has more than %d octets", maxLine)
		}
		return nil, nil, fmt.Errorf("rcfile: %s: %w", name, err)
	}
	return all, notes, nil
}

// seenLine reads "UID NUL time" of getmail, or "user@server UID" of fetchmail.
// There the user may have spaces and an @, the server has neither, and the
// unique id may have an @.
func seenLine(line []byte) (server, user string, m Message, ok bool) {
	if uid, at, isGetmail := bytes.Cut(line, []byte{0}); isGetmail {
		seconds, err := strconv.ParseInt(string(bytes.TrimSpace(at)), 10, 64)
		if err != nil || len(uid) == 0 || seconds < 0 || seconds > 1<<40 {
			return "", "", m, false
		}
		m.UID = string(uid)
		if seconds > 0 {
			m.Time = time.Unix(seconds, 0)
		}
		return "", "", m, true
	}
	s := strings.TrimLeft(string(line), " \t")
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return "", "", m, false
	}
	space := strings.IndexByte(s[at:], ' ')
	if space < 0 {
		return "", "", m, false
	}
	who, uid := strings.TrimRight(s[:at+space], " \t"), strings.TrimLeft(s[at+space:], " ")
	if i := strings.IndexAny(uid, " \t\r"); i >= 0 {
		uid = uid[:i]
	}
	last := strings.LastIndexByte(who, '@')
	if last < 1 || last == len(who)-1 || uid == "" {
		return "", "", m, false
	}
	m.UID = uid
	return who[last+1:], who[:last], m, true
}

// problematic are the octets that getmail leaves out of the names of files.
var problematic = regexp.MustCompile(`[/:;<>|]+`)

// Oldmail is the name of the file, in getmail's directory, with what getmail
// has fetched from the mailbox.
func (e Entry) Oldmail() string {
	return problematic.ReplaceAllString(fmt.Sprintf("oldmail-%s-%d-%s", e.Server, e.Port, e.User), "-")
}
