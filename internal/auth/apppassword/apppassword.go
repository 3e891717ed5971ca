// Package apppassword is the account source of passwords that are each for one
// device: made here, shown once, named, and revoked one by one. Who loses a
// telephone revokes its password and keeps the others, and no device has the
// one that opens everything.
//
// They are in a text file with one line for each:
//
//	# account:{SHA256}hash:when it was made:device
//	bob@example.org:{SHA256}mZ0…:2026-03-01T09:30:00Z:Bob's telephone
//	bob@example.org:{ONLY}
//
// A line with {ONLY} says that the account takes no other passwords; see
// [File.Others]. Every line counts: a file with one that cannot be read is not
// used.
//
// The hash is SHA-256 over the account and the password, without the work that
// Argon2 makes of it. That work makes it dear to try the passwords that people
// choose. These are 20 letters drawn out of 23, more than 90 bits: who has the
// file and tries a million million a second needs some 27 million years. There
// is no salt, since the account is in the hash. A login costs microseconds, so
// wrong ones keep nobody busy.
//
// When and from where a password was used last is noted in a file of its own,
// with the same name and ".used" behind it, at most once an hour for each.
package apppassword

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/sasl"
)

// errRefused is the one error for everybody who may not sign in.
var errRefused = fmt.Errorf("apppassword: %w", sasl.ErrRefused)

// Options are the choices of Open. The zero value is usual.
type Options struct {
	// Accounts tells whether an account exists still. It is asked about those
	// whose app password is right, and who is not known there is refused. Nil:
	// an app password is enough.
	Accounts sasl.Looker
	// MayBeMissing allows that there is no file yet, which is one without
	// passwords. A file that was there and is gone is trouble always.
	MayBeMissing bool
	// Report is told, once for each change of the file, that it cannot be used
	// and the passwords read before stay in force, and that the last use of a
	// password cannot be noted. It must not block. Nil: nobody is told.
	Report func(error)
}

// File is a file of app passwords, read anew when it changes. It may be used by
// many goroutines. It is a [sasl.Authenticator]: who has no app password is
// refused, and the next source may know better.
type File struct {
	path  string
	o     Options
	seed  maphash.Seed
	table atomic.Pointer[table]
	usage *usage

	began   time.Time
	checked atomic.Int64 // when the file was last looked at, since began

	mu   sync.Mutex // for reading the file
	seen stamp      // of what was read last, good or bad
	was  bool       // there was a file
	told string     // what was reported last, unless all is well since
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

// Open reads the file path. The error names the line that is wrong.
func Open(path string, o Options) (*File, error) {
	if o.Report == nil {
		o.Report = func(error) {}
	}
	f := &File{path: path, o: o, seed: maphash.MakeSeed(), began: time.Now()}
	err := f.Reload()
	if err != nil {
		return nil, err
	}
	if f.usage, err = openUsage(path); err != nil {
		o.Report(noteError(err)) // no reason to let nobody in
	}
	return f, nil
}

// Empty reports whether there is no app password at all. It costs a look at the
// file once in a while.
func (f *File) Empty() bool { return len(f.current().order) == 0 }

// Reload reads the file now. After an error the passwords read before stay in
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
	var t *table
	switch {
	case err == nil:
		f.was = true
		t, err = parse(f.path, text, f.seed)
	case f.o.MayBeMissing && !f.was && errors.Is(err, fs.ErrNotExist):
		t, err = new(table), nil
	}
	if err != nil {
		return fmt.Errorf("apppassword: %w", err)
	}
	f.table.Store(t)
	f.told = ""
	return nil
}

// current gives the passwords, after a look at the file once in a while. Only
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

// fresh gives the passwords as they are in the file now, so that none counts
// that was revoked a moment ago.
func (f *File) fresh() *table {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.table.Load()
}

// refresh reads the file if it has changed; mu is held.
func (f *File) refresh() {
	info, err := linefile.Stat(f.path)
	if err != nil {
		info = fsx.Info{}
	}
	if info == f.seen.info && (f.seen.settled || time.Since(info.Changed) <= settleTime) {
		return
	}
	if err := f.read(); err != nil && err.Error() != f.told {
		f.told = err.Error()
		f.o.Report(fmt.Errorf("%w; the app passwords read before stay in force", err))
	}
}

// Authenticate implements [sasl.Authenticator]. The work is the same for names
// that do not exist and for accounts with many passwords.
func (f *File) Authenticate(ctx context.Context, l sasl.Login) (account string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	t := f.fresh()
	name, badName := sasl.PrepareUser(l.User)
	letters, isOne := normal(l.Password)
	p := t.find(name, hashed(name, letters))
	if badName != nil || !isOne || p == nil {
		return "", errRefused
	}
	account = name
	if f.o.Accounts != nil {
		if account, err = f.o.Accounts.Lookup(ctx, name); errors.Is(err, sasl.ErrNoUser) {
			return "", errRefused
		}
		if err != nil {
			return "", fmt.Errorf("apppassword: whether the account exists still: %w", err)
		}
	}
	if err := f.usage.note(t, p, use{time.Now(), l.Remote}); err != nil {
		f.o.Report(noteError(err))
	}
	return account, nil
}

// find gives the account's password that has the hash, or nil. It compares with
// as many as an account can have.
func (t *table) find(account string, h hash) *password {
	var decoy hash // nothing known hashes to it
	var list []*password
	if a := t.accounts[account]; a != nil {
		list = a.passwords
	}
	found := -1
	for i := range maxDevices {
		other := &decoy
		if i < len(list) {
			other = &list[i].hash
		}
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(h[:], other[:]), i, found)
	}
	if found < 0 || found >= len(list) {
		return nil
	}
	return list[found]
}

// Version returns a number that changes when a line of name does, so that what
// was remembered of a revoked password is forgotten. For a name without lines it
// is zero.
func (f *File) Version(name string) uint64 {
	account, err := sasl.PrepareUser(name)
	if err != nil {
		return 0
	}
	if a := f.current().accounts[account]; a != nil {
		return a.version | 1
	}
	return 0
}
