//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/test/rig"
)

const (
	manyAccounts = 100 // accounts that are fetched in one run
	manyServers  = 10  // links that they lie behind
	perMany      = 20  // messages of each but one

	// rateOfLinks is what a connection over these links carries in a second.
	// Without it the processors of one machine, which plays all servers and
	// all links besides, are what the run waits for.
	rateOfLinks = 8 << 20
)

// crowd is many mailboxes behind several links, one much fuller than the
// others, in a configuration.
type crowd struct {
	bed    *bed
	links  []*rig.Link
	boxes  []*box // the fullest in the middle
	dir    string // of configuration, state and Maildirs
	config string
}

func (b *bed) newCrowd(fullest *box) (_ *crowd, err error) {
	c := &crowd{bed: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	for i := range manyServers {
		link, err := rig.NewLink(fmt.Sprintf("127.0.0.%d", 2+i), b.dovecot().POP3, roundTripOfLink)
		if err != nil {
			return nil, err
		}
		link.Narrow(rateOfLinks)
		c.links = append(c.links, link)
	}
	for i := range manyAccounts {
		x := fullest
		if i != manyAccounts/2 {
			if x, err = b.box(account("many", i), perMany, 4<<10); err != nil {
				return nil, err
			}
		}
		c.boxes = append(c.boxes, x)
	}
	if c.dir, err = os.MkdirTemp(b.space.Dir, "crowd-"); err != nil {
		return nil, err
	}
	return c, c.configure()
}

// configure writes the configuration.
func (c *crowd) configure() error {
	password := filepath.Join(c.dir, "password")
	if err := os.WriteFile(password, []byte(rig.Password+"\n"), 0o600); err != nil {
		return err
	}
	var b strings.Builder
	for i, x := range c.boxes {
		n := i % manyServers
		fmt.Fprintf(&b, "[[fetch]]\nname = \"box%d\"\nsource = \"pop://%s@127.0.0.%d:%d\"\nplaintext = true\npassword_file = %q\nkeep = true\nto = \"maildir:%s\"\n\n",
			i, x.account, 2+n, c.links[n].Port, password, c.maildir(i))
	}
	c.config = filepath.Join(c.dir, "postwain.toml")
	return os.WriteFile(c.config, []byte(b.String()), 0o600)
}

func (c *crowd) maildir(i int) string { return filepath.Join(c.dir, fmt.Sprintf("box%d", i)) }

// all fetches everything in one run.
func (c *crowd) all() (usage, error) { return c.fetch(0, manyAccounts) }

// slowest fetches the fullest alone.
func (c *crowd) slowest() (usage, error) {
	const fullest = manyAccounts / 2
	return c.fetch(fullest, fullest+1)
}

// fetch fetches the boxes from one number up to another and looks whether the
// messages have come.
func (c *crowd) fetch(from, to int) (u usage, err error) {
	state := filepath.Join(c.dir, "state")
	argv := []string{"fetch", "--config", c.config, "--state", state}
	if to-from < manyAccounts {
		argv = append(argv, fmt.Sprintf("box%d", from))
	}
	if u, err = measureCommand(exec.Command(c.bed.program, argv...), func(code int) bool { return code == 0 }); err != nil {
		return u, err
	}
	errs := []error{os.RemoveAll(state)}
	for i := from; i < to; i++ {
		errs = append(errs, c.boxes[i].compare(c.maildir(i)), os.RemoveAll(c.maildir(i)))
	}
	return u, errors.Join(errs...)
}

func (c *crowd) close() error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}
