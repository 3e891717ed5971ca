//go:build linux

package main

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"github.com/postwain/postwain/test/rig"
)

const (
	pollers    = 200    // accounts that are polled
	idlers     = 1000   // accounts that sit idle
	recipients = 64     // accounts of each server that get mail
	perPoller  = 10     // messages of a polled account
	readers    = 4      // accounts that are read
	perReader  = 500    // messages of an account that is read
	perHoarder = 100000 // messages of the big account
)

// contestant is a server that takes its turn.
type contestant struct {
	name      string
	recipient string // kind of the accounts that get mail from it
	*rig.Server
	start func() (*rig.Server, error)
	// indexes are patterns of the files that it keeps in a Maildir beside
	// the mail.
	indexes []string
}

func (c *contestant) restart() error {
	if err := c.Stop(); err != nil {
		return err
	}
	var err error
	c.Server, err = c.start()
	return err
}

// forget removes what the server remembers of a Maildir.
func (c *contestant) forget(maildir string) error {
	for _, pattern := range c.indexes {
		paths, err := filepath.Glob(filepath.Join(maildir, pattern))
		if err != nil {
			return err
		}
		for _, p := range paths {
			if err := os.Remove(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// bed holds the mail and the servers that share it.
type bed struct {
	space      *rig.Space
	tls        *tls.Config
	contestant []*contestant
	program    string // path of ours
	boxes      map[string]*box

	polled []int64                      // octets of each polled account
	read   [readers][][sha256.Size]byte // digests of the messages of each account that is read
	hoard  int64                        // octets of the big account
}

func account(kind string, i int) string { return rig.Account(fmt.Sprintf("%s%04d", kind, i)) }

func newBed(space *rig.Space, stock bool) (*bed, error) {
	b := &bed{space: space, boxes: map[string]*box{}}
	var names []string
	for kind, n := range map[string]int{
		"poll": pollers, "idle": idlers, "read": readers, "hoard": 1,
		"ours": recipients, "theirs": recipients, "stock": recipients,
		"fetch": 3, "fetched": 1, "many": manyAccounts,
	} {
		for i := range n {
			names = append(names, account(kind, i))
		}
	}
	if err := space.AddAccounts(names...); err != nil {
		return nil, err
	}
	if err := b.fillPollers(); err != nil {
		return nil, err
	}
	var err error
	if b.tls, err = space.TLS.Client(); err != nil {
		return nil, err
	}
	if err := b.startAll(stock); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *bed) startAll(stock bool) error {
	if err := b.startPostwain(); err != nil {
		return err
	}
	if err := b.startDovecot("Dovecot", "theirs", false); err != nil {
		return err
	}
	if !stock {
		return nil
	}
	return b.startDovecot("Dovecot as installed", "stock", true)
}

func (b *bed) startPostwain() error {
	var err error
	if b.program, err = rig.Build(b.space.Dir); err != nil {
		return err
	}
	p, err := b.space.Postwain(b.program, "[limits]\nconnections = 5000\nlmtp_connections = 100\n")
	if err != nil {
		return err
	}
	b.contestant = append(b.contestant, &contestant{
		name: "Postwain", recipient: "ours", Server: &p.Server, indexes: []string{"postwain-index"},
		start: func() (*rig.Server, error) { return &p.Server, p.Start() },
	})
	return nil
}

func (b *bed) startDovecot(name, recipient string, stock bool) error {
	style := rig.DovecotStyle{Stock: stock, Processes: runtime.NumCPU(), Connections: idlers + 200}
	start := func() (*rig.Server, error) { return b.space.Dovecot(style) }
	server, err := start()
	if err != nil {
		return err
	}
	b.contestant = append(b.contestant, &contestant{
		name: name, recipient: recipient, Server: server, start: start, indexes: []string{"dovecot*"},
	})
	return nil
}

// dovecot is the server that fetchers fetch from.
func (b *bed) dovecot() *rig.Server { return b.contestant[1].Server }

func (b *bed) stop() error {
	var errs []error
	for _, c := range b.contestant {
		errs = append(errs, c.Stop())
	}
	return errors.Join(errs...)
}

func (b *bed) fillPollers() error {
	for i := range pollers {
		f := newFiller(uint64(i))
		dir := b.space.Maildir(account("poll", i))
		if err := f.fill(dir, perPoller, func(*rand.Rand) int { return 2000 }); err != nil {
			return err
		}
		b.polled = append(b.polled, f.octets)
	}
	return nil
}

func (b *bed) fillReaders() error {
	for i := range readers {
		if b.read[i] != nil {
			continue
		}
		f := newFiller(uint64(1000 + i))
		err := f.fill(b.space.Maildir(account("read", i)), perReader, func(r *rand.Rand) int {
			return 4 << 10 << r.IntN(4) * (1 + r.IntN(2)) // 4 to 64 KiB, small ones more often
		})
		if err != nil {
			return err
		}
		b.read[i] = f.digests
	}
	return nil
}

func (b *bed) fillHoarder() error {
	if b.hoard != 0 {
		return nil
	}
	f := newFiller(2)
	err := f.fill(b.space.Maildir(account("hoard", 0)), perHoarder, func(*rand.Rand) int { return 300 })
	b.hoard = f.octets
	return err
}
