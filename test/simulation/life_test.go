package simulation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// life is a server from its start to its end, in one bubble.
type life struct {
	*world
	store      shelf
	sessions   *pop3server.Sessions
	pop        *pop3server.Server
	lmtp       *lmtp.Server
	popDoor    *testkit.Listener
	lmtpDoor   *testkit.Listener
	serving    sync.WaitGroup
	mu         sync.Mutex
	acked      map[string]bool // messages that the store has answered for
	diskFaulty bool
	random     *rand.Rand // of the disk, under mu
}

// password is everybody's.
const password = "secret"

type anyone struct{}

func (anyone) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	if l.Password != password {
		return "", fmt.Errorf("simulation: %w", sasl.ErrRefused)
	}
	return l.User, nil
}

// start is the server's. An error is the disk's.
func (w *world) start(random *rand.Rand) (*life, error) {
	l := &life{world: w, acked: map[string]bool{}, random: rand.New(rand.NewPCG(random.Uint64(), 0))}
	w.disk.FailWhen(l.fail)
	var err error
	if l.store, err = open(w.disk); err != nil {
		return nil, err
	}
	l.sessions = pop3server.NewSessions(0)
	l.pop = pop3server.NewServer(pop3server.Options{
		Backend:  pop3server.New(anyone{}, l.mutated(l.store)),
		TLS:      &tls.Config{Certificates: []tls.Certificate{w.certificate}},
		Sessions: l.sessions, InsecureAuth: true,
		Trace: pop3server.Trace{Panic: func(_ pop3server.Peer, cause any, stack []byte) { w.find("panic: %v\n%s", cause, stack) }},
	})
	l.lmtp = lmtp.NewServer(lmtp.Options{Deliverer: door{l, w.ledger.Deliverer(l.store)}, Resolver: door{}})
	l.popDoor, l.lmtpDoor = testkit.Listen(), testkit.Listen()
	l.serving.Go(func() { _ = l.pop.Serve(l.popDoor) })
	l.serving.Go(func() { _ = l.lmtp.Serve(l.lmtpDoor) })
	return l, nil
}

// journalHalf makes the commit journal turn often.
const journalHalf = 4 * 4096

// shelf is an open store with the directories that it is in.
type shelf struct {
	*maildir.Store
	dirs []fsx.Dir
}

func open(disk *faultfs.FS) (s shelf, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, name := range []string{"mail", "state"} {
		d, err := disk.Root().Dir(name)
		if err != nil {
			return s, err
		}
		s.dirs = append(s.dirs, d)
	}
	s.Store, err = maildir.Open(maildir.Options{Root: s.dirs[0], State: s.dirs[1], Template: "%n", JournalHalf: journalHalf})
	return s, err
}

func (s shelf) Close() (err error) {
	if s.Store != nil {
		err = s.Store.Close()
	}
	for _, d := range s.dirs {
		err = errors.Join(err, d.Close())
	}
	return err
}

// door is where mail comes in.
type door struct {
	*life
	to maildrop.Deliverer
}

func (door) Resolve(_ context.Context, address string) (string, error) { return address, nil }

func (d door) Deliver(ctx context.Context, account string, in maildrop.Incoming, r io.Reader) error {
	var text capture
	err := d.to.Deliver(ctx, account, in, io.TeeReader(r, &text))
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.acked[text.token()] = true
		d.stored++
	}
	if d.mutant == mutantHasty {
		return nil
	}
	return err
}

// fail makes the disk fail now and then.
func (l *life) fail(op faultfs.Op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mutant == mutantUnsynced && op.Kind == faultfs.Sync {
		return faultfs.ErrSkip
	}
	if !l.diskFaulty || l.random.IntN(150) > 0 {
		return nil
	}
	switch {
	case op.Kind == faultfs.Close || op.Kind == faultfs.Lock:
		return nil
	case op.Kind == faultfs.Write && l.random.IntN(2) == 0:
		return faultfs.Partial{N: l.random.IntN(op.Len + 1), Err: fsx.ErrNoSpace}
	case op.Kind.Changes() && l.random.IntN(2) == 0:
		return fsx.ErrNoSpace
	}
	return errIO
}

var errIO = errors.New("input/output error")

func (l *life) setDiskFaulty(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.diskFaulty = on
}

// end stops the server, at once or in good order, and looks at what it holds
// then.
func (l *life) end(gracefully bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if gracefully {
		_ = errors.Join(l.pop.Shutdown(ctx), l.lmtp.Shutdown(ctx))
	}
	_ = errors.Join(l.pop.Close(), l.lmtp.Close())
	l.serving.Wait()
	_ = l.pop.Shutdown(context.Background()) // waits for the connections and commits that are left
	_ = l.lmtp.Shutdown(context.Background())
	if n := l.pop.Connections(); n != 0 {
		l.find("%d connections are left when the server has ended", n)
	}
	if n := l.sessions.Active(); n != 0 {
		l.find("%d sessions are left when the server has ended", n)
	}
	_ = l.store.Close() // an error is the disk's
	if n := openFiles(l.disk.Ops()); n != 0 {
		l.find("%d files are open when the store is closed", n)
	}
}

// openFiles counts those that were opened and not closed.
func openFiles(ops []faultfs.Op) (n int) {
	for _, op := range ops {
		switch op.Kind {
		case faultfs.OpenDir, faultfs.Open, faultfs.Create:
			if op.Err == nil {
				n++
			}
		case faultfs.Close:
			n--
		}
	}
	return n
}
