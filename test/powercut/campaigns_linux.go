package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postwain/postwain/test/campaign"
)

// Campaigns are losses of power, one for each file system.
func Campaigns() []campaign.Campaign {
	var all []campaign.Campaign
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		c := campaign.Campaign{
			Name: "power cut, " + kind, Unit: "images", Target: 34_000,
			Needs: func() error { return needs(kind) },
			Run:   trial{kind: kind, tales: 6, images: 80}.run,
		}
		for _, m := range mutants() {
			c.Mutants = append(c.Mutants, campaign.Mutant{Name: m.name, Run: func(ctx context.Context) (campaign.Result, error) {
				return trial{kind: kind, tales: 6, images: 80, forgets: m.forgets}.run(ctx, 1)
			}})
		}
		all = append(all, c)
	}
	return all
}

func needs(kind string) error {
	if os.Geteuid() != 0 {
		return errors.New("root, to mount a disk")
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		if _, err := os.Stat(device); err != nil {
			return err
		}
	}
	_, err := exec.LookPath("mkfs." + kind)
	return err
}

type mutant struct {
	name    string
	forgets forgets
}

// mutants forget syncs.
func mutants() []mutant {
	return []mutant{
		{"no sync of the message", func(p string, k kind) bool { return k == syncFile && path.Base(path.Dir(p)) == "tmp" }},
		{"no sync of directories", func(p string, k kind) bool { return k == syncDir && strings.HasPrefix(p, "mail") }},
		{"no sync of commit records", func(p string, k kind) bool { return k == syncData && strings.HasPrefix(p, "state") }},
	}
}

// sizes of disks in octets: about the least that each mkfs is content with.
func size(kind string) int64 {
	return map[string]int64{"ext4": 64 << 20, "xfs": 320 << 20, "btrfs": 128 << 20}[kind]
}

// trial records tales and looks at some of the disks that may be left.
type trial struct {
	kind    string
	tales   int
	images  int // of a tale
	forgets forgets
}

func (t trial) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	image, err := format(t.kind)
	if err != nil {
		return r, err
	}
	d, err := newDisk(image)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := t.furnish(d); err != nil {
		return r, err
	}
	writes, possible := 0, 0
	for i := range t.tales {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		events, err := t.record(d, random)
		if err != nil {
			return r, fmt.Errorf("powercut: seed %d, tale %d: %w", seed, i, err)
		}
		all := cuts(events)
		writes, possible = writes+len(events), possible+len(all)
		if err := t.look(ctx, d, all, random, &r); err != nil {
			return r, err
		}
		d.rewind(events)
		if len(r.Findings) > 0 {
			r.Findings[0] = fmt.Sprintf("seed %d, tale %d: %s", seed, i, r.Findings[0])
			return r, nil
		}
	}
	r.Figures = append(r.Figures,
		campaign.Figure{Name: "writes and flushes on a tape", Value: strconv.Itoa(writes / t.tales)},
		campaign.Figure{Name: "moments at which one can be cut", Value: strconv.Itoa(possible / t.tales)})
	return r, nil
}

// format gives an empty file system of the kind.
func format(kind string) (image []byte, err error) {
	dir, err := os.MkdirTemp("", "postwain-format-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(file, size(kind)); err != nil {
		return nil, err
	}
	force := map[string]string{"ext4": "-F", "xfs": "-f", "btrfs": "-f"}[kind]
	if out, err := exec.Command("mkfs."+kind, "-q", force, file).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("powercut: mkfs.%s: %w: %s", kind, err, out)
	}
	return readSparse(file)
}

// readSparse reads a file. Octets that are all zero take no memory.
func readSparse(file string) (image []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	image = make([]byte, info.Size())
	part, zeros := make([]byte, block), make([]byte, block)
	for at := 0; at < len(image); at += block {
		n, err := f.ReadAt(part, int64(at))
		if err != nil && err != io.EOF {
			return nil, err
		}
		if !bytes.Equal(part[:n], zeros[:n]) {
			copy(image[at:], part[:n])
		}
	}
	return image, nil
}

// furnish has the base of d hold the two directories that an operator makes.
func (t trial) furnish(d *disk) error {
	d.tape = &tape{}
	defer func() { d.tape = nil }()
	detach, err := d.attach(t.kind)
	if err != nil {
		return err
	}
	return errors.Join(
		os.Mkdir(filepath.Join(d.mount, "mail"), 0o700),
		os.Mkdir(filepath.Join(d.mount, "state"), 0o700),
		detach())
}

// record tells a tale on d and gives its tape. The base is then as before.
func (t trial) record(d *disk, random *rand.Rand) (events []event, err error) {
	d.tape = &tape{}
	defer func() {
		d.rewind(d.tape.all())
		d.tape = nil
	}()
	detach, err := d.attach(t.kind)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, detach()) }()
	store, err := open(d.mount, t.forgets)
	if err != nil {
		return nil, err
	}
	tale := &tale{root: d.mount, tape: d.tape, store: store, random: random}
	err = tale.tell(6 + random.IntN(10))
	events = d.tape.all()
	return events, errors.Join(err, store.Close())
}

// look makes disks as they may be left by some of the cuts, and judges them.
func (t trial) look(ctx context.Context, d *disk, all []cut, random *rand.Rand, r *campaign.Result) error {
	for seen, done := 0, 0; seen < t.images; {
		// From the beginning to the end, as what is sure is put onto the base.
		left := t.images - seen
		next := done + 1 + random.IntN(max(1, 2*(len(all)-done)*4/left))
		if next > len(all) {
			return nil
		}
		c := all[next-1]
		before := 0
		if done > 0 {
			before = len(all[done-1].sure)
		}
		d.settle(c.sure[before:])
		done = next
		for _, f := range fates(random, len(c.open)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			seen++
			r.Count++
			d.arrive(c.writes(f))
			if err := t.find(d, c); err != nil {
				r.Find("power cut behind event %d of %d, of %d unflushed writes %s: %v", c.n, all[len(all)-1].n, len(c.open), f.name, err)
				return nil
			}
		}
	}
	return nil
}

// find mounts the disk and judges what is on it.
func (t trial) find(d *disk, c cut) error {
	detach, err := d.attach(t.kind)
	if err != nil {
		return err
	}
	err = judge(d.mount, c.ledger.Clone())
	return errors.Join(err, detach())
}
