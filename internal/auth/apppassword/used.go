package apppassword

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/auth/linefile"
	"github.com/postwain/postwain/internal/fsx"
)

// noteEvery is how seldom the use of one password is noted.
const noteEvery = time.Hour

// Uses are written behind each other. The file is written anew without those
// that do not count any more when there are more of them than this, and than
// those that do.
const spareUses = 1024

// usedSuffix makes the name of the file of uses.
const usedSuffix = ".used"

// use is one use of a password.
type use struct {
	at   time.Time
	from netip.Addr // not valid: a Unix socket
}

type device struct{ account, name string }

// usage is the file in which uses are noted:
//
//	account TAB time TAB address TAB device
//
// A line that was cut by a crash is none. Nothing is lost that matters.
type usage struct {
	path string

	mu   sync.Mutex // for last
	last map[device]use

	disk    sync.Mutex // for the file
	lines   int        // in the file
	failing bool       // which was told
}

func noteError(err error) error {
	return fmt.Errorf("apppassword: when passwords are used is not noted: %w", err)
}

// openUsage reads the uses of the passwords in path. It gives one that is
// empty beside an error.
func openUsage(path string) (*usage, error) {
	u := &usage{path: path + usedSuffix}
	var err error
	u.last, u.lines, err = readUses(u.path)
	if errors.Is(err, linefile.ErrTooLarge) {
		u.lines, err = rewrite, nil
	}
	return u, err
}

// rewrite is a number of lines with which the next use writes the file anew.
const rewrite = math.MaxInt

// readUses reads the last use of each password. No file is an empty one.
func readUses(path string) (last map[device]use, lines int, err error) {
	last = map[device]use{}
	text, _, err := linefile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return last, 0, nil
	}
	for line := range strings.Lines(text) {
		lines++
		d, one, ok := parseUse(line)
		if ok && one.at.After(last[d].at) {
			last[d] = one
		}
	}
	if text != "" && text[len(text)-1] != '\n' { // the next line would stand behind a broken one
		lines = rewrite
	}
	return last, lines, err
}

func parseUse(line string) (d device, u use, ok bool) {
	line, whole := strings.CutSuffix(line, "\n")
	part := strings.Split(line, "\t")
	if !whole || len(part) != 4 {
		return d, u, false
	}
	at, err := time.Parse(time.RFC3339, part[1])
	if err != nil {
		return d, u, false
	}
	u.at = at
	if part[2] != "-" {
		if u.from, err = netip.ParseAddr(part[2]); err != nil {
			return d, u, false
		}
	}
	return device{part[0], part[3]}, u, true
}

func (u use) line(d device) string {
	from := "-"
	if u.from.IsValid() {
		from = u.from.Unmap().WithZone("").String()
	}
	return d.account + "\t" + u.at.UTC().Format(time.RFC3339) + "\t" + from + "\t" + d.name + "\n"
}

// of gives the last use of p. Those of an earlier password for a device of that
// name do not count.
func (p *password) use(last map[device]use) use {
	u := last[device{p.account, p.device}]
	if u.at.Before(p.made) {
		return use{}
	}
	return u
}

// note notes that p, of t, is used now, unless that was noted lately. The error
// is given once, until a note succeeds.
func (u *usage) note(t *table, p *password, now use) error {
	if !u.due(p, now) {
		return nil
	}
	u.disk.Lock()
	defer u.disk.Unlock()
	err := u.write(t, device{p.account, p.device}, now)
	told := u.failing
	if u.failing = err != nil; told {
		return nil
	}
	return err
}

// due reports whether a use is to be noted, and if so, takes it for noted.
func (u *usage) due(p *password, now use) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := p.use(u.last).at
	if since := now.at.Sub(before); 0 <= since && since < noteEvery {
		return false
	}
	u.last[device{p.account, p.device}] = now
	return true
}

// write adds a line to the file; disk is held.
func (u *usage) write(t *table, d device, now use) error {
	if u.lines >= 2*len(t.order)+spareUses {
		if err := u.compact(t); err != nil {
			return err
		}
	}
	if err := appendTo(u.path, now.line(d)); err != nil {
		return err
	}
	u.lines++
	return nil
}

// compact writes the file anew with the last uses of the passwords of t, by
// whomever they were noted; disk is held.
func (u *usage) compact(t *table) error {
	last, _, err := readUses(u.path)
	if err != nil && !errors.Is(err, linefile.ErrTooLarge) {
		return err
	}
	kept := map[device]use{}
	var text bytes.Buffer
	u.mu.Lock()
	for _, p := range t.order {
		one, mine := p.use(last), p.use(u.last)
		if mine.at.After(one.at) {
			one = mine
		}
		if d := (device{p.account, p.device}); !one.at.IsZero() {
			kept[d] = one
			text.WriteString(one.line(d))
		}
	}
	u.last = kept
	u.mu.Unlock()
	d, err := fsx.Open(filepath.Dir(u.path))
	if err != nil {
		return err
	}
	defer d.Close()
	u.lines = len(kept)
	return fsx.WriteFile(d, filepath.Base(u.path), text.Bytes(), 0o600)
}

// appendTo does not wait for the disk: what a crash takes is noted again.
func appendTo(path, line string) error {
	d, err := fsx.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.OpenAppend(filepath.Base(path), 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(line))
	return errors.Join(err, f.Close())
}
