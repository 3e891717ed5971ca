package imap

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

const (
	// rowSize is more than a server says of a message whose size was asked for.
	rowSize = 256
	// maxMessages bounds the list of a mailbox.
	maxMessages = 1_000_000
)

// index has the messages that were in the mailbox when a session began, by
// size, except those of which it is known what key they have.
type index struct {
	validity uint32
	next     imap.UID // the messages before it are listed
	sizes    map[int64][]imap.UID
	ours     map[imap.UID]bool // not listed yet, and with keys
}

func newIndex() *index {
	return &index{next: 1, sizes: make(map[int64][]imap.UID), ours: make(map[imap.UID]bool)}
}

// extend lists the messages that came since the session before.
func (x *index) extend(s *session) error {
	if s.selected.UIDValidity != x.validity {
		*x = *newIndex()
		x.validity = s.selected.UIDValidity
	}
	if s.selected.NumMessages == 0 {
		return nil
	}
	if s.selected.NumMessages > maxMessages {
		return errors.New("the mailbox has too many messages")
	}
	s.conn.allow(allowance + rowSize*int64(s.selected.NumMessages))
	first := x.next
	rows := s.Fetch(imap.UIDSet{{Start: first, Stop: 0}}, &imap.FetchOptions{UID: true, RFC822Size: true})
	for {
		message := rows.Next()
		if message == nil {
			clear(x.ours)
			return failed("FETCH", rows.Close())
		}
		row, err := message.Collect()
		if err != nil {
			return s.broken(err)
		}
		// The last message is given even if it is before the first wanted.
		if row.UID < first {
			continue
		}
		x.next = max(x.next, row.UID+1)
		if !x.ours[row.UID] {
			x.sizes[row.RFC822Size] = append(x.sizes[row.RFC822Size], row.UID)
		}
	}
}

// take looks for a message with these contents that has no key yet, and gives
// it one.
func (x *index) take(s *session, size int64, sum []byte) (found bool, err error) {
	for i, uid := range x.sizes[size] {
		same, err := s.compare(uid, size, sum)
		if err != nil {
			return false, err
		}
		if same {
			list := x.sizes[size]
			x.sizes[size] = append(list[:i:i], list[i+1:]...)
			return true, nil
		}
	}
	return false, nil
}

// compare says whether the message uid has these contents.
func (s *session) compare(uid imap.UID, size int64, sum []byte) (same bool, err error) {
	s.conn.allow(allowance + 2*size)
	s.answers.bodies.Store(true)
	defer s.answers.bodies.Store(false)
	command := s.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{
		UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	})
	for {
		message := command.Next()
		if message == nil {
			return same, failed("FETCH", command.Close())
		}
		for item := message.Next(); item != nil; item = message.Next() {
			body, ok := item.(imapclient.FetchItemDataBodySection)
			if !ok || body.Literal == nil {
				continue
			}
			hash := sha256.New()
			if _, err := io.Copy(hash, body.Literal); err != nil {
				return false, s.broken(err)
			}
			same = same || bytes.Equal(hash.Sum(nil), sum)
		}
	}
}

// broken ends the session because of an error in the middle of a message. The
// command may not be closed then: it would go on reading, and so does the client.
func (s *session) broken(err error) error {
	s.conn.Conn.Close()
	return failed("FETCH", err)
}
