//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func (b *bed) config(secure bool) *tls.Config {
	if secure {
		return b.tls
	}
	return nil
}

// perUnit is the processor time in µs that the server needs for one of n
// things that work does.
func perUnit(c *contestant, n int, work func() error) (float64, error) {
	before, err := c.CPU()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := c.CPU()
	return float64((after - before).Microseconds()) / float64(n), err
}

// inParallel calls do n times from a few goroutines.
func inParallel(workers, n int, do func(i int) error) error {
	var next atomic.Int64
	var g errgroup.Group
	for range workers {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// polls is what a client does most: it looks, and there is nothing new.
func (b *bed) polls(c *contestant, secure bool, n int) (float64, error) {
	poll := func(i int) error {
		p, err := dialPOP(c.Server, b.config(secure), account("poll", i%pollers))
		if err != nil {
			return err
		}
		count, octets, err := p.stat()
		if err != nil {
			return err
		}
		if want := b.polled[i%pollers]; count != perPoller || octets != want {
			return fmt.Errorf("STAT says %d messages, %d octets; there are %d, %d", count, octets, perPoller, want)
		}
		return p.quit()
	}
	if err := inParallel(4, pollers, poll); err != nil { // each account once before
		return 0, err
	}
	return perUnit(c, n, func() error { return inParallel(4, n, poll) })
}

// retrieve reads whole accounts, four at a time, in each one message after the
// other.
func (b *bed) retrieve(c *contestant, secure bool) (float64, error) {
	const times = 2
	return perUnit(c, times*readers*perReader, func() error {
		return inParallel(readers, readers, func(i int) error {
			for range times {
				if err := b.readAll(c, b.config(secure), i); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (b *bed) readAll(c *contestant, config *tls.Config, i int) error {
	p, err := dialPOP(c.Server, config, account("read", i))
	if err != nil {
		return err
	}
	for m, want := range b.read[i] {
		got, err := p.retr(m + 1)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("message %d of account %d is not what was stored", m+1, i)
		}
	}
	return p.quit()
}

// statTime is the time in ms from the password to the answer to STAT.
func (b *bed) statTime(c *contestant) (float64, error) {
	begin := time.Now()
	p, err := dialPOP(c.Server, nil, account("hoard", 0))
	if err != nil {
		return 0, err
	}
	count, octets, err := p.stat()
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if count != perHoarder || octets != b.hoard {
		return 0, fmt.Errorf("STAT says %d messages, %d octets; there are %d, %d", count, octets, perHoarder, b.hoard)
	}
	return float64(took.Microseconds()) / 1000, p.quit()
}

// coldStat opens a big Maildir that the server has never seen.
func (b *bed) coldStat(c *contestant) (float64, error) {
	if err := c.forget(b.space.Maildir(account("hoard", 0))); err != nil {
		return 0, err
	}
	if err := c.restart(); err != nil {
		return 0, err
	}
	return b.statTime(c)
}

// warmStat opens it once more.
func (b *bed) warmStat(c *contestant) (float64, error) {
	if _, err := b.statTime(c); err != nil {
		return 0, err
	}
	return b.statTime(c)
}

// idle is the memory in KiB of a session that has signed in and is silent.
func (b *bed) idle(c *contestant, secure bool) (float64, error) {
	open := make([]*pop, idlers)
	sign := func(i int) (err error) {
		open[i], err = dialPOP(c.Server, b.config(secure), account("idle", i))
		return err
	}
	if err := c.restart(); err != nil {
		return 0, err
	}
	if err := sign(0); err != nil { // what the first session makes is not counted
		return 0, err
	}
	if err := open[0].quit(); err != nil {
		return 0, err
	}
	before, err := c.Memory()
	if err != nil {
		return 0, err
	}
	if err := inParallel(4, idlers, sign); err != nil {
		return 0, err
	}
	time.Sleep(5 * time.Second) // until collectors and caches have settled
	after, err := c.Memory()
	if err != nil {
		return 0, err
	}
	return float64(after-before) / 1024 / idlers, inParallel(16, idlers, func(i int) error { return open[i].quit() })
}

// deliver is how many messages the server takes in a second. Each server has
// recipients of its own and nothing is removed, so that neither has to find out
// what happened behind its back.
func (b *bed) deliver(c *contestant) (float64, error) {
	const workers, each = 16, 60
	data := newFiller(3).message(0, 8<<10)
	before, err := b.delivered(c)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = inParallel(workers, workers, func(w int) error {
		l, err := dialLMTP(c.Server)
		if err != nil {
			return err
		}
		for i := range each {
			if err := l.send(account(c.recipient, (w*each+i)%recipients), data); err != nil {
				return err
			}
		}
		return l.quit()
	})
	if err != nil {
		return 0, err
	}
	rate := workers * each / time.Since(begin).Seconds()
	after, err := b.delivered(c)
	if err == nil && after-before != workers*each {
		err = fmt.Errorf("%d messages were acknowledged, %d are there", workers*each, after-before)
	}
	return rate, err
}

// delivered counts the messages of a server's recipients.
func (b *bed) delivered(c *contestant) (int, error) {
	n := 0
	for i := range recipients {
		paths, err := filepath.Glob(filepath.Join(b.space.Maildir(account(c.recipient, i)), "new", "*"))
		if err != nil {
			return 0, err
		}
		n += len(paths)
	}
	return n, nil
}
