package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/test/campaign"
)

func inMemory() (mail, func() error, error) { return memdrop.New(), func() error { return nil }, nil }

func inMaildir() (m mail, done func() error, err error) {
	dir, err := os.MkdirTemp("", "postwain-differential-")
	if err != nil {
		return nil, nil, err
	}
	var dirs []fsx.Dir
	tidy := func() error {
		var err error
		for _, d := range dirs {
			err = errors.Join(err, d.Close())
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	for _, name := range []string{"mail", "state"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, nil, errors.Join(err, tidy())
		}
		d, err := fsx.Open(path)
		if err != nil {
			return nil, nil, errors.Join(err, tidy())
		}
		dirs = append(dirs, d)
	}
	s, err := maildir.Open(maildir.Options{Root: dirs[0], State: dirs[1], Template: "%n"})
	if err != nil {
		return nil, nil, errors.Join(err, tidy())
	}
	return s, func() error { return errors.Join(s.Close(), tidy()) }, nil
}

// trial holds our server against the model, and against itself.
type trial struct {
	drops    int // maildrops of a batch
	sessions int // of a maildrop
	// Mutants have one of these.
	wrap  func(maildrop.Store) maildrop.Store // the store that is served
	hears func(line string) string            // what the server takes a line for
}

func (t trial) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	id, err := newIdentity()
	if err != nil {
		return r, err
	}
	for i := range t.drops {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		wrong, err := t.drop(random, i, id, &r)
		if err != nil {
			return r, err
		}
		if wrong != "" {
			r.Find("seed %d, maildrop %d: %s", seed, i, wrong)
			return r, nil
		}
	}
	return r, nil
}

// way is one to meet our server: in which store the mail is, and how the octets
// come.
type way struct {
	name  string
	open  func() (mail, func() error, error)
	serve func(maildrop.Store, *script) error
}

// ways are the first, which is held against the model, and another, which has to
// say the same. Those that take longer come less often.
func (t trial) ways(i int, id *identity) []way {
	others := []way{
		{"in pieces", inMemory, serve},
		{"in a Maildir", inMaildir, serve},
		{"in TLS", inMemory, id.serveTLS},
		{"behind STLS", inMemory, id.serveSTLS},
	}
	other := 0
	if i%4 == 0 {
		other = i / 4 % len(others)
	}
	return []way{{"line by line", inMemory, serve}, others[other]}
}

// drop fills a maildrop for each way with the same mail and has clients come.
func (t trial) drop(random *rand.Rand, i int, id *identity, r *campaign.Result) (wrong string, err error) {
	letters := nastyLetters(random, []int{0, 1, 2, 17, 40}[random.IntN(5)])
	ways := t.ways(i, id)
	mails := make([]mail, len(ways))
	for w, way := range ways {
		m, done, err := way.open()
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, done()) }()
		for i, text := range letters {
			if err := deliver(m, uid(i), text); err != nil {
				return "", err
			}
		}
		mails[w] = m
	}
	var drop []letter
	for i, text := range letters {
		drop = append(drop, newLetter(uid(i), text))
	}
	if wrong, err := t.relations(mails[0], len(drop)); wrong != "" || err != nil {
		return wrong, err
	}
	next := len(letters)
	for range t.sessions {
		s := newSession(drop)
		steps := stream{random, user, password, len(drop), true}.session()
		e := event{at: -1}
		if ways[1].name == "in a Maildir" && random.IntN(3) == 0 {
			e = event{random.IntN(len(steps)), newLetter(uid(next), late)}
			next++
		}
		first, err := t.visit(ways[0], mails[0], lines(steps), e)
		if err != nil {
			return "", err
		}
		parts := lines(steps)
		if e.at < 0 {
			parts = pieces(random, steps)
		}
		other, err := t.visit(ways[1], mails[1], parts, e)
		if err != nil {
			return "", err
		}
		n, wrong := compare(s, steps, e, first)
		if r.Count += n; wrong != "" {
			least, err := t.shrink(drop, steps)
			return wrong + "; " + least, err
		}
		if !bytes.Equal(first.said, other.said) {
			return fmt.Sprintf("%s: %.300q; %s: %.300q", ways[0].name, first.said, ways[1].name, other.said), nil
		}
		if e.at >= 0 && !s.arrived {
			s.arrive(e.late)
		}
		drop = s.left()
	}
	return "", nil
}

// newSession is what our server has to do with the mail.
func newSession(drop []letter) *session {
	return &session{users: map[string]string{user: password}, drop: drop, bounds: ourBounds(), announce: ourAnnouncement()}
}

// late is a message that comes during a session.
const late = "Subject: late\n\n.late\n"

func uid(i int) string { return fmt.Sprintf("uid-%d", i) }

func deliver(m mail, uid, text string) error {
	return m.Deliver(context.Background(), user, maildrop.Incoming{UID: uid}, strings.NewReader(text))
}

// visit has a client say the parts.
func (t trial) visit(w way, m mail, parts []string, e event) (v visit, err error) {
	c := &script{parts: parts}
	if t.hears != nil {
		for i := range parts {
			parts[i] = t.hears(parts[i])
		}
	}
	if e.at >= 0 {
		c.before = func(part int) {
			if part == e.at && v.intruder == "" {
				v.intruder, err = intrude(m, e.late)
			}
		}
	}
	var store maildrop.Store = m
	if t.wrap != nil {
		store = t.wrap(m)
	}
	if failed := w.serve(store, c); failed != nil {
		return v, failed
	}
	if e.at >= 0 && v.intruder == "" && err == nil { // the session was over before
		v.intruder, err = intrude(m, e.late)
	}
	v.said = c.out.Bytes()
	return v, err
}

// intrude delivers a message and signs in.
func intrude(m mail, l letter) (said string, err error) {
	if err := deliver(m, l.uid, late); err != nil {
		return "", err
	}
	c := &script{parts: []string{"USER " + user + "\r\n", "PASS " + password + "\r\n"}}
	err = serve(m, c)
	return c.out.String(), err
}
