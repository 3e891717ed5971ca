package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Errors of a store that mail cannot be kept in.
var (
	errOverwrites = errors.New(`the store ignores "If-None-Match: *" and replaces objects: two servers could have one maildrop`)
	errOldList    = errors.New("a listing does not have what was just created or deleted: mail could be missing from it")
	errAltered    = errors.New("what is read is not what was written")
)

// Check is what came of trying something on the store.
type Check struct {
	Name   string        // of what was tried
	Detail string        // what was seen, if it says more than that all is well
	Advice string        // what should be done; empty: nothing
	Err    error         // why mail must not be kept there; nil: it may
	Took   time.Duration // by our clock
}

// Probe tries on objects of its own what the protocol is built on, and fails
// where the store does not keep to it.
func (s *Store) Probe(ctx context.Context) error {
	p := s.newProbe()
	for _, c := range p.run(ctx, p.laws()) {
		if c.Err != nil {
			return fmt.Errorf("bucket: %w", c.Err)
		}
	}
	return nil
}

// Examine is Probe that tells all, and looks at more than it needs: the clocks
// of the store, its versions and its locks. After an error it tries no more.
func (s *Store) Examine(ctx context.Context) []Check {
	p := s.newProbe()
	laws := p.laws()
	all := append(laws[:len(laws)-1:len(laws)-1], step{"clocks", p.clocks}, laws[len(laws)-1])
	if k, ok := s.objects.(keeper); ok {
		all = append(all, step{"versions", told(k.Versioned, versionedAdvice)}, step{"locks", told(k.Locked, lockedAdvice)})
	}
	return p.run(ctx, all)
}

// keeper is a store that may keep what was deleted.
type keeper interface {
	Versioned(ctx context.Context) (bool, error)
	Locked(ctx context.Context) (bool, error)
}

const (
	versionedAdvice = "versioning is on, so deleted mail stays in the bucket and is paid for: add a lifecycle rule that removes noncurrent versions"
	lockedAdvice    = "object lock is on, so deleted mail may not go before its retention ends: keep mail in a bucket without it"
	clockAdvice     = "the clocks of the store's machines differ, so a maildrop may look free too early or stay locked too long; set them by NTP"
)

// told makes a check of what the store says about itself. One that does not say
// is no fault.
func told(ask func(context.Context) (bool, error), advice string) func(context.Context, *Check) error {
	return func(ctx context.Context, c *Check) error {
		on, err := ask(ctx)
		switch {
		case err != nil:
			c.Detail = fmt.Sprintf("the store does not say (%s)", code(err))
		case on:
			c.Advice = advice
		default:
			c.Detail = "none"
		}
		return nil
	}
}

// step is one thing to try.
type step struct {
	name string
	try  func(context.Context, *Check) error
}

// racers are how many create one object at the same time.
const racers = 16

// probe is the objects that are tried on.
type probe struct {
	objects objects
	dir     string
	began   time.Time
	keys    []string // created
}

func (s *Store) newProbe() *probe {
	return &probe{objects: s.objects, dir: s.prefix + "r/probe/" + newULID(time.Now()).String() + "/", began: time.Now()}
}

// laws are what mail depends on. The last removes what the others have made.
func (p *probe) laws() []step {
	return []step{
		{"sign in and list", p.reach},
		{"create once", p.once},
		{fmt.Sprintf("create once, %d at a time", racers), p.race},
		{"list what was created", p.listed},
		{"read what was written", p.read},
		{"delete many at a time", p.gone},
	}
}

func (p *probe) run(ctx context.Context, steps []step) (all []Check) {
	for _, s := range steps {
		c := Check{Name: s.name}
		began := time.Now()
		c.Err = s.try(ctx, &c)
		c.Took = time.Since(began)
		if all = append(all, c); c.Err != nil {
			_ = p.objects.Delete(ctx, p.keys) // what went wrong was told
			break
		}
	}
	return all
}

func (p *probe) reach(ctx context.Context, _ *Check) error {
	_, err := p.list(ctx)
	return err
}

func (p *probe) list(ctx context.Context) (all []object, err error) {
	for o, err := range p.objects.List(ctx, p.dir) {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

const probed = "probe"

func (p *probe) create(ctx context.Context, key string) (bool, error) {
	return p.objects.Create(ctx, key, strings.NewReader(probed), int64(len(probed)))
}

func (p *probe) once(ctx context.Context, _ *Check) error {
	key := p.dir + "once"
	p.keys = append(p.keys, key)
	first, err := p.create(ctx, key)
	if err != nil {
		return err
	}
	second, err := p.create(ctx, key)
	if err == nil && (!first || second) {
		err = errOverwrites
	}
	return err
}

// race has all create the same object, and each one of its own.
func (p *probe) race(ctx context.Context, _ *Check) error {
	key := p.dir + "race"
	p.keys = append(p.keys, key)
	var all sync.WaitGroup
	won, failed := make([]bool, racers), make([]error, racers)
	for i := range racers {
		own := fmt.Sprintf("%sown-%02d", p.dir, i)
		p.keys = append(p.keys, own)
		all.Go(func() {
			_, err := p.create(ctx, own)
			if won[i], failed[i] = p.create(ctx, key); err != nil {
				failed[i] = err
			}
		})
	}
	all.Wait()
	winners := 0
	for i := range racers {
		if failed[i] != nil {
			return failed[i]
		}
		if won[i] {
			winners++
		}
	}
	if winners != 1 {
		return fmt.Errorf("%w: of %d who created one object %d were told that they had", errOverwrites, racers, winners)
	}
	return nil
}

func (p *probe) listed(ctx context.Context, _ *Check) error {
	all, err := p.list(ctx)
	if err == nil && len(all) != len(p.keys) {
		err = fmt.Errorf("%w: %d of %d", errOldList, len(all), len(p.keys))
	}
	return err
}

func (p *probe) read(ctx context.Context, _ *Check) error {
	r, err := p.objects.Get(ctx, p.keys[0])
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err == nil && string(text) != probed {
		err = errAltered
	}
	return err
}

// mostSkew is more than the seconds that times of HTTP are rounded to.
const mostSkew = 5 * time.Second

// clocks compares the time of the answers with that of the objects, by which
// leases are told to be alive.
func (p *probe) clocks(ctx context.Context, c *Check) error {
	all, err := p.list(ctx)
	if err != nil {
		return err
	}
	var most time.Duration
	for _, o := range all {
		most = max(most, -o.Age, o.Age-time.Since(p.began))
	}
	if c.Detail = fmt.Sprintf("%v apart", most.Round(time.Second)); most > mostSkew {
		c.Advice = clockAdvice
	}
	return nil
}

func (p *probe) gone(ctx context.Context, _ *Check) error {
	if err := p.objects.Delete(ctx, p.keys); err != nil {
		return err
	}
	all, err := p.list(ctx)
	if err == nil && len(all) > 0 {
		err = errOldList
	}
	return err
}
