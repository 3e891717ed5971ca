package rivals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// Campaigns are listings under renames, one for each file system.
func Campaigns() []campaign.Campaign {
	var all []campaign.Campaign
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t := trial{kind: kind, listings: 10_000}
		all = append(all, campaign.Campaign{
			Name: "listings under renames, " + kind, Unit: "listings", Target: 334_000,
			Needs:   func() error { return needs(kind) },
			Run:     t.run,
			Mutants: []campaign.Mutant{{Name: "who reads the directories once", Run: trial{kind: kind, listings: 10_000, naive: true}.once}},
		})
	}
	return all
}

func needs(kind string) error {
	if os.Geteuid() != 0 {
		return errors.New("root, to mount a disk")
	}
	_, err := exec.LookPath("mkfs." + kind)
	return err
}

// messages of the Maildir, and octets of its disk.
const (
	messages = 300
	diskSize = 400 << 20
	account  = "alice"
)

type trial struct {
	kind     string
	listings int
	naive    bool // a mutant lists
}

func (t trial) once(ctx context.Context) (campaign.Result, error) { return t.run(ctx, 1) }

func (t trial) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	disk, err := rig.NewDiskOf(t.kind, diskSize)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	box := filepath.Join(disk.Mount, "mail", account)
	if err := furnish(disk.Mount, box); err != nil {
		return r, err
	}
	list, done, err := t.lister(disk.Mount, box)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, done()) }()

	first, err := list(ctx) // before anybody renames
	if err != nil {
		return r, err
	}
	if len(first) != messages {
		return r, fmt.Errorf("rivals: %d messages are listed at first, not %d", len(first), messages)
	}
	ctx, end := context.WithCancel(ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer end()
	rival := &rival{box: box, random: rand.New(rand.NewPCG(seed, 0))}
	var failed error
	busy.Go(func() { failed = rival.run(ctx) })
	for range t.listings {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		uids, err := list(ctx)
		if err != nil {
			r.Find("seed %d, listing %d: %v", seed, r.Count, err)
			return r, nil
		}
		if r.Count++; !compare(&r, seed, first, uids) {
			return r, nil
		}
	}
	end()
	busy.Wait()
	r.Figures = append(r.Figures, campaign.Figure{Name: "renames meanwhile", Value: strconv.Itoa(rival.renamed)})
	return r, failed
}

// compare finds who is missing or there twice.
func compare(r *campaign.Result, seed uint64, first, now []string) bool {
	count := map[string]int{}
	for _, uid := range now {
		count[uid]++
	}
	for _, uid := range first {
		if count[uid] != 1 {
			r.Find("seed %d, listing %d: %s is there %d times", seed, r.Count, uid, count[uid])
			return false
		}
	}
	if len(now) != len(first) {
		r.Find("seed %d, listing %d: %d messages of %d", seed, r.Count, len(now), len(first))
		return false
	}
	return true
}

// furnish makes the Maildir with all messages in new, and what the store needs.
func furnish(root, box string) error {
	for _, dir := range []string{filepath.Join(box, "new"), filepath.Join(box, "cur"), filepath.Join(box, "tmp"), filepath.Join(root, "state")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for i := range messages {
		text := fmt.Sprintf("Subject: %d\n\nbody\n", i)
		if err := os.WriteFile(filepath.Join(box, "new", fmt.Sprintf("%d.M%dP1.host", 1700000000+i, i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// lister gives who lists: the store, or the mutant.
func (t trial) lister(mount, box string) (list func(context.Context) ([]string, error), done func() error, err error) {
	if t.naive {
		return func(context.Context) ([]string, error) { return readOnce(box) }, func() error { return nil }, nil
	}
	root, err := fsx.Open(filepath.Join(mount, "mail"))
	if err != nil {
		return nil, nil, err
	}
	state, err := fsx.Open(filepath.Join(mount, "state"))
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	s, err := maildir.Open(maildir.Options{Root: root, Template: "%u", State: state})
	if err != nil {
		return nil, nil, errors.Join(err, state.Close(), root.Close())
	}
	list = func(ctx context.Context) ([]string, error) {
		b, err := s.Open(ctx, account)
		if err != nil {
			return nil, err
		}
		var uids []string
		for _, m := range b.Messages() {
			uids = append(uids, m.UID)
		}
		return uids, b.Close()
	}
	return list, func() error { return errors.Join(s.Close(), state.Close(), root.Close()) }, nil
}

// readOnce takes the directories for what they seem at a glance.
func readOnce(box string) (uids []string, err error) {
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(box, sub))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			base, _, _ := strings.Cut(e.Name(), ":")
			uids = append(uids, base)
		}
	}
	return uids, nil
}

// rival is another program, which sets and clears flags, and moves mail between
// new and cur as some do.
type rival struct {
	box     string
	random  *rand.Rand
	renamed int
}

func (v *rival) run(ctx context.Context) error {
	where := make([]string, messages)
	for i := range where {
		where[i] = fmt.Sprintf("new/%d.M%dP1.host", 1700000000+i, i)
	}
	endings := []string{":2,", ":2,S", ":2,F", ":2,FS", ":2,FRS"}
	for ctx.Err() == nil {
		i := v.random.IntN(messages)
		to := fmt.Sprintf("%d.M%dP1.host", 1700000000+i, i)
		if v.random.IntN(4) == 0 {
			to = "new/" + to
		} else {
			to = "cur/" + to + endings[v.random.IntN(len(endings))]
		}
		if to == where[i] {
			continue
		}
		if err := os.Rename(filepath.Join(v.box, where[i]), filepath.Join(v.box, to)); err != nil {
			return fmt.Errorf("rivals: %w", err)
		}
		where[i] = to
		v.renamed++
	}
	return nil
}
