package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// errTaken refuses an imported UID.
var errTaken = errors.New("the imported UID is not valid, or a message has had it")

// Deliver writes one object, whose key is all that a listing has to know. It
// reads r to its end before, as the size is in the key.
func (s *Store) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	d, err := s.drop(account)
	if err != nil {
		return err
	}
	text, err := take(ctx, s.spool, r)
	if err != nil {
		return d.wrap(err)
	}
	defer text.Close()
	l, err := d.label(ctx, in, text.Size())
	if err != nil {
		return d.wrap(err)
	}
	// The key is ours alone, or that of an earlier try with the same in.Key: if
	// there is one already the message is delivered.
	_, err = s.objects.Create(ctx, d.dir+l.key(), text, text.Size())
	return d.wrap(err)
}

// label chooses the name of a message. Names that have to be the same again are
// agreed upon by creating an object first.
func (d *drop) label(ctx context.Context, in maildrop.Incoming, size int64) (label, error) {
	id := d.store.ulids.next(time.Now())
	if in.Key != "" {
		sum := sha256.Sum256([]byte(in.Key))
		agreed, err := d.agree(ctx, usedKeys+hex.EncodeToString(sum[:]), id.String())
		if err != nil {
			return label{}, err
		}
		var ok bool
		if id, ok = parseULID(agreed); !ok {
			return label{}, fmt.Errorf("the name of an earlier delivery is %q", agreed)
		}
	}
	l := newLabel(id, size)
	if !in.Time.IsZero() {
		l.time = in.Time.UnixMilli()
	}
	if in.UID == "" {
		return l, nil
	}
	if !validUID(in.UID) {
		return l, errTaken
	}
	owner, err := d.agree(ctx, takenUIDs+escape(in.UID), l.id.String())
	if err != nil {
		return l, err
	}
	if owner != l.id.String() {
		return l, errTaken
	}
	if _, ok := parseULID(in.UID); ok { // it may be the name of a message of ours
		for o, err := range d.store.objects.List(ctx, d.dir+messages+in.UID) {
			if err != nil {
				return l, err
			}
			if _, ok := parseLabel(strings.TrimPrefix(o.Key, d.dir)); ok {
				return l, errTaken
			}
		}
	}
	l.uid = in.UID
	return l, nil
}

// maxAgreed is the octets of what is agreed upon.
const maxAgreed = 64

// agree gives what the first one who came has written.
func (d *drop) agree(ctx context.Context, name, text string) (string, error) {
	key := registry(d.store.prefix, d.account) + name
	created, err := d.store.objects.Create(ctx, key, strings.NewReader(text), int64(len(text)))
	if err != nil || created {
		return text, err
	}
	r, err := d.store.objects.Get(ctx, key)
	if err != nil {
		return "", err
	}
	defer r.Close()
	was, err := io.ReadAll(io.LimitReader(r, maxAgreed))
	return string(was), err
}

// validUID is RFC 1939 §7: 1–70 octets of 0x21–0x7E.
func validUID(uid string) bool {
	return len(uid) > 0 && len(uid) <= 70 && !strings.ContainsFunc(uid, func(r rune) bool { return r < 0x21 || r > 0x7E })
}
