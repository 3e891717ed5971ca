package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/obs"
	"github.com/postwain/postwain/internal/store/maildir"
)

// FetchOptions say what to fetch.
type FetchOptions struct {
	// Mailboxes are what to fetch. They have passed config.Fetch.Check.
	Mailboxes []config.Fetch
	// File is the configuration file that they come from, at whose directory
	// relative paths begin. Empty: the command line, and the working directory.
	File string
	// State is the directory of the journals. Empty: see fetchState.
	State string
	// Hostname stands in the Received lines. Empty: the name of the machine.
	Hostname string
	// Observe is told what happens, one event at a time. It may be nil.
	Observe func(fetch.Event)
	// Stderr takes the log, as JSON if LogJSON is set.
	Stderr  io.Writer
	LogJSON bool
	// Stop, once it is closed, lets rounds end early and well. Nil: never.
	Stop <-chan struct{}
	// Once says that there is no Watch: the log has warnings only. DryRun says
	// that there is Plan only: no destination is opened.
	Once, DryRun bool
	// Stdin is where passwords that nothing else gives are typed, and Terminal
	// where they are asked for.
	Stdin    *os.File
	Terminal io.Writer
	Getenv   func(string) string
}

// Fetch fetches mailboxes.
type Fetch struct {
	options FetchOptions
	log     *obs.Log
	state   string
	fetcher *fetch.Fetcher
	boxes   []mailbox
	shared  map[string]chan struct{} // by remote mailbox: taken while there is a session
	closers []io.Closer

	maildirs map[string]*maildir.Inbox // by path
	mboxes   map[string]sink.Sink
}

// mailbox is an account and what is not the engine's business.
type mailbox struct {
	fetch.Account
	every time.Duration
}

// fetchState is the directory of fetch's journals where neither the command
// line nor a configuration file names one.
func fetchState(getenv func(string) string) (string, error) {
	dir, err := defaultData(getenv)
	if err != nil {
		return "", errors.New("there is no home directory for what fetch must remember; name a directory with --state")
	}
	return filepath.Join(dir, "fetch"), nil
}

// OpenFetch opens the state and the destinations, reads certificates, and asks
// for passwords that only a person knows. Its error tells everything that
// stands in the way. It connects to no source.
func OpenFetch(ctx context.Context, o FetchOptions) (*Fetch, error) {
	f := newFetch(o)
	if err := f.openState(); err != nil {
		return nil, err
	}
	journals, err := f.stateDir("journal")
	if err != nil {
		return nil, err
	}
	if f.options.Hostname == "" {
		if f.options.Hostname, err = os.Hostname(); err != nil {
			f.options.Hostname = "localhost"
		}
	}
	var wrong []error
	for i := range o.Mailboxes {
		section := &o.Mailboxes[i]
		box, err := f.open(ctx, section)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", section.Title(), err))
			continue
		}
		f.boxes = append(f.boxes, box)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(errors.Join(wrong...), f.Close())
	}
	f.fetcher = fetch.New(fetch.Options{State: journals, Observe: f.observe, Log: f.log.Logger, Stop: o.Stop})
	return f, nil
}

func newFetch(o FetchOptions) *Fetch {
	log := obs.NewLogger(o.Stderr, o.LogJSON)
	if o.Once {
		log = slog.New(warnings{log.Handler()})
	}
	return &Fetch{
		options: o, log: obs.NewLog(log), shared: make(map[string]chan struct{}),
		maildirs: make(map[string]*maildir.Inbox), mboxes: make(map[string]sink.Sink),
	}
}

// observe hands an event on. Rounds that end in no report tell what failed in
// the log.
func (f *Fetch) observe(e fetch.Event) {
	if !f.options.Once {
		switch e.Kind {
		case fetch.Failed:
			f.log.Warn("fetch: message failed", "account", e.Account, "number", e.Number, "uid", e.UID, "size", e.Octets, "error", e.Err)
		case fetch.Warned:
			f.log.Warn("fetch: warning", "account", e.Account, "text", e.Text)
		}
	}
	if f.options.Observe != nil {
		f.options.Observe(e)
	}
}

// warnings is a handler for warnings and errors only.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// openState finds the state directory and makes it.
func (f *Fetch) openState() (err error) {
	if f.state = f.options.State; f.state == "" {
		if f.state, err = fetchState(f.options.Getenv); err != nil {
			return err
		}
	}
	if f.state, err = filepath.Abs(f.state); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return fmt.Errorf("state directory: %w; make it, or name another with --state", err)
	}
	if err := writable(f.state); err != nil {
		return fmt.Errorf("state directory: %s cannot be written by this user (%d): %w; name another with --state", f.state, os.Geteuid(), err)
	}
	return nil
}

// stateDir opens a directory below the state directory until Close.
func (f *Fetch) stateDir(names ...string) (fsx.Dir, error) {
	top, err := fsx.Open(f.state)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	defer top.Close()
	d, err := fsx.MakeDirs(top, 0o700, names...)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f.closers = append(f.closers, d)
	return d, nil
}

// open makes an account of a section.
func (f *Fetch) open(ctx context.Context, section *config.Fetch) (mailbox, error) {
	s, err := f.resolved(section)
	if err != nil {
		return mailbox{}, err
	}
	box := mailbox{every: s.Every, Account: fetch.Account{
		Name: s.Title(), Mailbox: s.Mailbox(), Host: s.Source.Host, Destination: destination(s),
		Policy: fetch.Policy{
			Keep: s.Keep, DeleteAfter: s.DeleteAfter, MaxSize: int64(s.MaxSize), OnlyNew: s.OnlyNew,
			Batch: s.Batch, Limit: s.Limit,
		},
		Header: fetch.Header{Received: s.Received, By: f.options.Hostname, DeliveredTo: s.DeliveredTo},
	}}
	if s.To.Kind == config.ToIMAP {
		box.Header.Received = false // with another time in it, a message that is there would not be known
	}
	var wrong [3]error
	box.Dial, wrong[0] = f.dialer(s)
	box.SignIn, wrong[1] = f.signIn(ctx, s)
	box.Sink, wrong[2] = f.openSink(s)
	return box, errors.Join(wrong[:]...)
}

// destination names the destination of a section for the journal.
func destination(s *config.Fetch) string {
	if s.Recipient == "" {
		return s.To.String()
	}
	return s.To.String() + " " + s.Recipient
}

// resolved gives a section with paths that can be opened.
func (f *Fetch) resolved(section *config.Fetch) (*config.Fetch, error) {
	dir := ""
	if f.options.File != "" {
		dir = filepath.Dir(f.options.File)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := *section
	return &s, s.Resolve(dir, f.options.Getenv("HOME"))
}

// Once fetches each mailbox once. The reports are in the order of the
// mailboxes.
func (f *Fetch) Once(ctx context.Context) []fetch.Report {
	accounts := make([]fetch.Account, len(f.boxes))
	for i, b := range f.boxes {
		accounts[i] = b.Account
	}
	return f.fetcher.Once(ctx, accounts)
}

// Watch fetches again and again until Stop is closed or ctx ends, with a pause
// between, or the mailbox's own one. It tells the service manager when it is ready. It ends by
// itself with an error when no mailbox is left: one whose password is refused
// for sure is given up.
func (f *Fetch) Watch(ctx context.Context, every time.Duration) error {
	notify, err := newNotifier(f.options.Getenv)
	if err != nil {
		return err
	}
	defer notify.close()
	groups := make(map[time.Duration][]fetch.Account)
	for _, b := range f.boxes {
		pause := every
		if b.every > 0 {
			pause = b.every
		}
		groups[pause] = append(groups[pause], b.Account)
	}
	errs := make(chan error, len(groups))
	var running sync.WaitGroup
	for pause, accounts := range groups {
		running.Go(func() { errs <- f.fetcher.Watch(ctx, accounts, pause) })
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	f.log.Info("ready", "version", Version(), "mailboxes", len(f.boxes), "state", f.state)
	notify.ready(fmt.Sprintf("fetching %d mailboxes", len(f.boxes)))
	beat, end := notify.heartbeat()
	defer end()
	for stop := f.options.Stop; ; {
		select {
		case <-beat:
			notify.tell("WATCHDOG=1")
		case <-stop:
			stop = nil
			f.log.Info("stopping")
			notify.stopping()
		case <-ended:
			if stop == nil || ctx.Err() != nil { // what has failed before was logged
				return nil
			}
			close(errs)
			var all []error
			for err := range errs {
				all = append(all, err)
			}
			return errors.Join(all...)
		}
	}
}

// Preview is what a round would do to a mailbox.
type Preview struct {
	Name     string
	To       string
	Messages []fetch.Planned
	Err      error
}

// Plan tells for each mailbox what a round would do. It signs in and fetches
// nothing.
func (f *Fetch) Plan(ctx context.Context) []Preview {
	all := make([]Preview, len(f.boxes))
	slots := make(chan struct{}, 10)
	var running sync.WaitGroup
	for i, b := range f.boxes {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			all[i].Name, all[i].To = b.Name, f.options.Mailboxes[i].To.String()
			all[i].Messages, all[i].Err = f.fetcher.Plan(ctx, b.Account)
		})
	}
	running.Wait()
	return all
}

// Close releases the state and the destinations.
func (f *Fetch) Close() error {
	var errs []error
	for i := len(f.closers) - 1; i >= 0; i-- {
		errs = append(errs, f.closers[i].Close())
	}
	return errors.Join(errs...)
}

// spelled gives the name of a key of [[fetch]] as whoever wrote it knows it.
func (f *Fetch) spelled(key string) string {
	if f.options.File != "" {
		return key
	}
	return "--" + strings.ReplaceAll(key, "_", "-")
}
