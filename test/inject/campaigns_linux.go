package inject

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// Campaigns are the ends of a server in the middle of its work.
func Campaigns() []campaign.Campaign {
	return []campaign.Campaign{
		{
			Name: "kills of the server", Unit: "kills", Target: 4000, Needs: needs,
			Run:     trial{ends: 40, end: kill}.run,
			Mutants: mutants(),
		},
		{
			Name: "kills of the server, at a call of the system", Unit: "kills", Target: 3000, Needs: needsTracer,
			Run:     trial{ends: 40, end: killAt}.run,
			Mutants: []campaign.Mutant{{Name: "a message is lost", Run: trial{ends: 10, end: killAt, harm: lose}.once}},
		},
		{
			Name: "stops of the server", Unit: "stops", Target: 1000, Needs: needs,
			Run:     trial{ends: 20, end: stop}.run,
			Mutants: []campaign.Mutant{{Name: "a message is lost", Run: trial{ends: 10, end: stop, harm: lose}.once}},
		},
		{
			Name: "kills of the fetcher, which removes", Unit: "kills", Target: 1500, Needs: needs,
			Run: hauls{kills: 60}.run,
			Mutants: []campaign.Mutant{
				{Name: "a message is lost", Run: hauls{kills: 10, harm: lose}.once},
				{Name: "a message is doubled", Run: hauls{kills: 10, harm: double}.once},
			},
		},
		{
			Name: "kills of the fetcher, which leaves mail there", Unit: "kills", Target: 1500, Needs: needs,
			Run:     hauls{kills: 60, keep: true}.run,
			Mutants: []campaign.Mutant{{Name: "a message is doubled", Run: hauls{kills: 10, keep: true, harm: double}.once}},
		},
		{
			Name: "want of memory", Unit: "kills", Target: 1000, Needs: needsGroups,
			Run:     trial{ends: 20, end: starve}.run,
			Mutants: []campaign.Mutant{{Name: "a message is lost", Run: trial{ends: 10, end: starve, harm: lose}.once}},
		},
		{
			Name: "errors of the system", Unit: "errors", Target: 100_000, Needs: needsTracer,
			Run:     sickness{}.run,
			Mutants: []campaign.Mutant{{Name: "a message is lost", Run: sickness{rounds: 20, harm: lose}.once}},
		},
		{
			Name: "errors of the system, at a start", Unit: "errors", Target: 5000, Needs: needsTracer,
			Run:     beginning{}.run,
			Mutants: []campaign.Mutant{{Name: "a message is lost", Run: beginning{rounds: 12, harm: lose}.once}},
		},
	}
}

func needs() error {
	if os.Geteuid() != 0 {
		return errors.New("root, so that the mail belongs to its own user")
	}
	return nil
}

// accounts that are served, and who delivers to each.
const (
	accounts   = 4
	deliverers = 1
)

// trial has a server work and end, again and again.
type trial struct {
	ends int
	end  func(*rig.Postwain, *rand.Rand) error
	harm func(maildir string) error // a mutant: what the disk does then; nil: nothing
}

func kill(p *rig.Postwain, _ *rand.Rand) error { return p.Kill() }

// killAt kills at the n-th call of one that changes the disk, from now on.
func killAt(p *rig.Postwain, random *rand.Rand) error {
	calls := []string{"openat", "write", "fsync", "fdatasync", "renameat2", "unlinkat", "pwrite64"}
	call := calls[random.IntN(len(calls))]
	heal, err := infect(p.PID(), fmt.Sprintf("%s:signal=KILL:when=%d", call, 1+random.IntN(8)), os.DevNull)
	if err != nil {
		return err
	}
	tick, enough := time.NewTicker(2*time.Millisecond), time.NewTimer(time.Second) // some calls are rare
	defer tick.Stop()
	defer enough.Stop()
	for waiting := true; waiting && !dead(p.PID()); {
		select {
		case <-tick.C:
		case <-enough.C:
			waiting = false
		}
	}
	return errors.Join(p.Kill(), heal())
}

// stop asks for an end, and before that now and then for a reload.
func stop(p *rig.Postwain, random *rand.Rand) error {
	if random.IntN(2) == 0 {
		if err := p.Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	return p.Stop()
}

func (t trial) once(ctx context.Context) (campaign.Result, error) { return t.run(ctx, 1) }

func (t trial) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("[limits]\nstop_timeout = \"2s\"\n")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	server := stand.Server
	var all [accounts]*books
	for i := range all {
		all[i] = newBooks(rig.Account(fmt.Sprintf("user%d", i)))
		if err := stand.AddAccounts(all[i].account); err != nil {
			return r, err
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range t.ends {
		if err := t.round(ctx, server, all[:], round, random); err != nil {
			return r, err
		}
		if t.harm != nil {
			if err := t.harm(stand.Maildir(all[0].account)); err != nil {
				return r, err
			}
		}
		if err := server.Start(); err != nil {
			r.Find("seed %d, round %d: the server does not start again: %v", seed, round, err)
			return r, nil
		}
		for _, b := range all {
			l := &load{books: b, server: &server.Server, round: round}
			seen, err := l.look(ctx)
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err != nil {
				r.Find("%s: %v", b.account, err)
				continue
			}
			b.judge(seen, true, &r)
		}
		if r.Count++; len(r.Findings) > 0 {
			r.Findings[0] = fmt.Sprintf("seed %d, round %d: %s", seed, round, r.Findings[0])
			return r, nil
		}
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: "messages of one account", Value: all[0].String()})
	return r, nil
}

// round has clients work until the server has ended in the midst of it.
func (t trial) round(ctx context.Context, server *rig.Postwain, all []*books, round int, random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for _, b := range all {
		l := &load{books: b, server: &server.Server, round: round}
		for who := range deliverers {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			clients.Go(func() { _ = l.deliver(ctx, who, own) }) // that it ends is what is wanted
		}
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		clients.Go(func() { _ = l.visit(ctx, own) })
	}
	wait := time.NewTimer(time.Duration(5+random.IntN(250)) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return t.end(server, random)
}

// mutants are disks that do what no program may notice too late.
func mutants() []campaign.Mutant {
	list := func(name string, harm func(string) error) campaign.Mutant {
		return campaign.Mutant{Name: name, Run: trial{ends: 20, end: kill, harm: harm}.once}
	}
	return []campaign.Mutant{
		list("a message is lost", lose),
		list("a message is doubled", double),
		list("a message is cut short", func(maildir string) error {
			return first(maildir, func(path string) error { return os.Truncate(path, 300) })
		}),
	}
}

func double(maildir string) error {
	return first(maildir, func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		other := filepath.Join(maildir, "new", "1.M1P1.other")
		return errors.Join(os.WriteFile(other, text, 0o600), os.Chown(other, rig.MailID, rig.MailID))
	})
}

func lose(maildir string) error { return first(maildir, os.Remove) }

// first does something to a message, if there is one.
func first(maildir string, do func(path string) error) error {
	for _, sub := range []string{"cur", "new"} {
		paths, err := filepath.Glob(filepath.Join(maildir, sub, "*"))
		if err != nil {
			return err
		}
		if len(paths) > 0 {
			return do(paths[0])
		}
	}
	return nil
}
