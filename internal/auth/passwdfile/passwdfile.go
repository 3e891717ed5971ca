// Package passwdfile is the account source that is a text file, as Dovecot's
// passwd-file driver has it:
//
//	# name:{SCHEME}hash[:uid:gid:gecos:home:shell:extra fields]
//	alice@example.org:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$…
//	bob@example.org:{SHA512-CRYPT}$6$…::::::login_delay=300 expire=30d
//
// Names are compared in their canonical spelling ([sasl.PrepareUser]). The
// extra field nologin means what it does there; the others are handed on by
// [File.Fields], allow_nets=192.0.2.0/24,… among them, by which others judge.
package passwdfile

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/sasl"
)

// errRefused is the one error for everybody who may not sign in, so that it
// tells nothing.
var errRefused = fmt.Errorf("passwdfile: %w", sasl.ErrRefused)

// errNoUser is made beforehand: to make it takes longer than to find a name.
var errNoUser = fmt.Errorf("passwdfile: %w", sasl.ErrNoUser)

// Options are the choices of Open. The zero value is usual.
type Options struct {
	// Report is told, once for each change of the file, that it cannot be used
	// and the one before stays in force, or which users of it cannot sign in.
	// It must not block. Nil: nobody is told.
	Report func(error)
}

// File is a file of accounts, read anew when it changes. It may be used by
// many goroutines. It is a [sasl.Authenticator], a [sasl.Looker] and a
// [sasl.SecretSource].
type File struct {
	path  string
	o     Options
	seed  maphash.Seed
	table atomic.Pointer[table]

	began   time.Time
	checked atomic.Int64 // when the file was last looked at, since began

	mu   sync.Mutex // for reading the file
	seen stamp      // of what was read last, good or bad
	told string     // what was reported last, unless all is well since

	// prove verifies a password. A test counts here.
	prove func(s secret, password string) bool
}

// stamp tells one version of a file from the next.
type stamp struct {
	info    fsx.Info
	settled bool // it had not changed for a while, so that info tells all
}

// How often a file may be looked at, and how old a change must be so that the
// next one has another time.
const (
	checkEvery = time.Second
	settleTime = 2 * time.Second
)

// Open reads the file path. It fails if there is none, or if its lines are not
// accounts or two of them are the same account; the error names the line.
func Open(path string, o Options) (*File, error) {
	f := &File{path: path, o: o, seed: maphash.MakeSeed(), began: time.Now(), prove: secret.verify}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file now. After an error the accounts read before stay in
// force.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read()
}

// read reads the file; mu is held.
func (f *File) read() error {
	text, info, err := linefile.Read(f.path, maxFile)
	if err != nil {
		info, _ = linefile.Stat(f.path) // so that the same fault is told once
	}
	f.seen = stamp{info, time.Since(info.Changed) > settleTime}
	if err != nil {
		return fmt.Errorf("passwdfile: %w", err)
	}
	t, err := parse(f.path, text, f.seed)
	if err != nil {
		return fmt.Errorf("passwdfile: %w", err)
	}
	if t.decoys.kinds == nil {
		t.decoys.kinds = []decoy{{newArgon(""), 1}}
	}
	f.table.Store(t)
	if t.warnings == nil {
		f.told = ""
		return nil
	}
	f.report(fmt.Errorf("passwdfile: %w", t.warnings))
	return nil
}

// current gives the accounts, after a look at the file once in a while. Only
// one caller waits for the reading; the others go on with what they have.
func (f *File) current() *table {
	now := int64(time.Since(f.began))
	last := f.checked.Load()
	if now-last >= int64(checkEvery) && f.checked.CompareAndSwap(last, now) && f.mu.TryLock() {
		defer f.mu.Unlock()
		f.refresh()
	}
	return f.table.Load()
}

// fresh gives the accounts as they are in the file now, so that nobody is
// refused who was added a moment ago.
func (f *File) fresh() *table {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.table.Load()
}

// refresh reads the file if it has changed; mu is held.
func (f *File) refresh() {
	if f.changed() {
		if err := f.read(); err != nil {
			f.report(fmt.Errorf("%w; the accounts read before stay in force", err))
		}
	}
}

// report tells what was not told last, so that what is read twice is told
// once; mu is held.
func (f *File) report(err error) {
	if text := err.Error(); text != f.told && f.o.Report != nil {
		f.told = text
		f.o.Report(err)
	}
}

// changed reports whether the file is another than the one read last.
func (f *File) changed() bool {
	info, err := linefile.Stat(f.path)
	if err != nil {
		info = fsx.Info{}
	}
	return f.seen.outdated(info, time.Now())
}

// outdated reports whether a file that is now as info says must be read: it is
// another, or it was read while still warm and no longer is.
func (s stamp) outdated(info fsx.Info, now time.Time) bool {
	return info != s.info || !s.settled && now.Sub(info.Changed) > settleTime
}

// find gives the line of a name, or nil.
func (t *table) find(name string) *user {
	account, err := sasl.PrepareUser(name)
	if err != nil {
		return nil
	}
	return t.users[account]
}

// Authenticate implements [sasl.Authenticator]. Every refusal is the same
// error, and for a name that does not exist a decoy is verified in vain.
func (f *File) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	t := f.fresh()
	u := t.find(l.User)
	password := sasl.PreparePassword(l.Password)
	if u == nil || u.secret == nil {
		f.prove(t.decoys.of(l.User), password)
		return "", errRefused
	}
	if !f.prove(u.secret, password) || u.noLogin {
		return "", errRefused
	}
	return u.account, nil
}

// Lookup implements [sasl.Looker]. An account that cannot sign in exists.
func (f *File) Lookup(_ context.Context, name string) (account string, err error) {
	u := f.current().find(name)
	if u == nil {
		u = f.fresh().find(name)
	}
	if u == nil {
		return "", errNoUser
	}
	return u.account, nil
}

// Fields returns the extra fields of an account, which the caller must not
// change; nil if it has none. A name without a value has the value "yes", and
// userdb_ before a name is dropped. The error wraps [sasl.ErrNoUser].
func (f *File) Fields(_ context.Context, account string) (map[string]string, error) {
	if u := f.current().find(account); u != nil {
		return u.fields, nil
	}
	return nil, errNoUser
}

// Version returns a number that changes when the line of name does. For a name
// that does not exist it is zero.
func (f *File) Version(name string) uint64 {
	if u := f.current().find(name); u != nil {
		return u.version | 1
	}
	return 0
}
