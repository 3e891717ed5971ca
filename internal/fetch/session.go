package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// session is one session with the server.
type session struct {
	*round
	client   *pop3client.Client
	signedIn bool
	caps     pop3.Capabilities
	tls      bool

	items  []item
	named  bool                // the server gives UIDs
	read   bool                // some messages have to be read to know which they are
	stored map[digest]struct{} // what is stored, if UIDs do not tell; else nil

	hides    bool // the server lists nothing that was read in a session that ended in QUIT
	unsure   bool // of some messages it could not be found out which they are
	numbered bool // some new messages have UIDs that may be used again
	bound    bool // and some that may be stored are left: nothing may get another number

	serial    bool // the server lost count: the next session goes command by command
	fetched   int  // messages stored in this session
	deleted   int  // messages whose DELE was answered +OK
	remaining int  // messages to be fetched in another session
}

func newSession(r *round) *session { return &session{round: r} }

// run is the whole session. Whatever ends it before QUIT is answered leaves
// everything on the server, and the journal knows what of it is stored.
func (s *session) run(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.client.Close()
	var named bool
	s.journal.look(func(t *table) { named = t.named })
	if err := s.list(ctx, named); err != nil {
		return err
	}
	if err := s.plan(ctx); err != nil {
		return err
	}
	if err := s.transfer(ctx); err != nil {
		return err
	}
	return s.quit(ctx)
}

// connect makes a session that is signed in.
func (s *session) connect(ctx context.Context) error {
	client, err := s.account.Dial(ctx)
	if err != nil {
		return s.wrap("connecting", err)
	}
	s.client = client
	_, s.tls = client.TLS()
	if err = s.signIn(ctx); err != nil {
		err = s.wrap("signing in", err)
	} else if s.caps, err = client.Capabilities(ctx); err != nil {
		err = s.wrap("asking for capabilities", err)
	}
	if err != nil {
		client.Close()
		return err
	}
	s.signedIn = true
	s.hides = strings.HasPrefix(client.Greeting(), "Gpop ")
	s.started, s.loginDelay = time.Now(), loginDelay(s.caps)
	s.send(Event{Kind: Connected, Text: client.Greeting()})
	return nil
}

// errNoUIDs says why a policy cannot be followed.
var errNoUIDs = errors.New("the server has no UIDL, so what is left there cannot be told from what is new: let the messages be deleted, or use another server")

// list fills in s.items. known says that the server has given UIDs before.
func (s *session) list(ctx context.Context, known bool) error {
	uids, err := s.client.UIDL(ctx)
	s.named = err == nil
	if err != nil {
		var refused *pop3.Error
		_, announced := s.caps.Lookup(pop3.CapUIDL)
		if !errors.As(err, &refused) || announced || known || refused.Temporary() {
			// To do without would be to fetch everything again (quirk 34).
			return s.wrap("listing UIDs", err)
		}
		if p := s.account.Policy; p.Keep || p.DeleteAfter > 0 || p.OnlyNew {
			return s.wrap("listing UIDs", errNoUIDs)
		}
		uids = nil
	}
	sizes, err := s.client.List(ctx)
	if err != nil {
		if refused := (*pop3.Error)(nil); !errors.As(err, &refused) || !s.named {
			return s.wrap("listing", err)
		}
	}
	s.items = merge(uids, sizes)
	return nil
}

// quit ends the session. Only the answer +OK says that what was deleted is gone
// (RFC 1939 §6); without it the next listing will tell.
func (s *session) quit(ctx context.Context) error {
	err := s.client.Quit(ctx)
	if err == nil && s.hides {
		s.told()
	}
	if s.deleted == 0 {
		return nil
	}
	if err != nil {
		return s.wrap("ending the session", fmt.Errorf("%d messages may not be deleted yet, and will be in the next session: %w", s.deleted, err))
	}
	s.journal.note(record{kind: kindCommitted})
	if err := s.journal.flush(); err != nil {
		return s.wrap("writing the journal", err)
	}
	s.mu.Lock()
	s.report.Deleted += s.deleted
	s.report.Left -= s.deleted
	s.mu.Unlock()
	s.send(Event{Kind: Deleted, Total: s.deleted})
	return nil
}

// told notes what a server that hides messages will hide from now on. It lists
// others again, and if all that it lists is known they must be read again, or
// those behind them are never listed (quirk 1).
func (s *session) told() {
	s.journal.change(func(t *table, note func(record)) {
		for i := range s.items {
			if it := &s.items[i]; it.read && t.entries[it.uid].state.safe() {
				note(record{kind: kindTold, uid: it.uid})
			}
		}
	})
}

// mayHaveMore says that a server that lists only a part of the mailbox may have
// more, as Gmail does (quirk 1). One that lists a thousand is none of these.
func (s *session) mayHaveMore() bool {
	if s.limited() || len(s.items) >= 1000 {
		return false
	}
	return s.fetched > 0 && !s.read || s.read && s.hides && !s.unsure
}

// limited says that the policy lets the round fetch no more.
func (s *session) limited() bool {
	limit := s.account.Policy.Limit
	return limit > 0 && s.report.Fetched >= limit
}

// signIn signs in, and says that mail with UTF-8 in its headers may come, where
// servers want to be told: some send something else instead (quirk 29).
func (s *session) signIn(ctx context.Context) error {
	err := s.client.UTF8(ctx)
	var refused *pop3.Error
	if err != nil && !errors.Is(err, pop3client.ErrNotAnnounced) && !errors.As(err, &refused) {
		return err
	}
	return signInError(s.account.SignIn(ctx, s.client))
}

// loginDelay is how long the server wants between two logins (RFC 2449 §6.5).
func loginDelay(caps pop3.Capabilities) time.Duration {
	args, _ := caps.Lookup(pop3.CapLoginDelay)
	word, _, _ := strings.Cut(args, " ")
	seconds, err := pop3.ParseNumber([]byte(word))
	if err != nil {
		return 0
	}
	return time.Duration(min(seconds, 24*60*60)) * time.Second
}
