package faultfs

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// Choice says which effects that were on their way reach the disk.
type Choice struct {
	name string
	fate func(i int, e *effect) fate // of the i-th effect
}

func (c Choice) String() string { return c.name }

// None is the choice that loses all that was not synced.
func None() Choice {
	return Choice{"nothing unsynced", func(int, *effect) fate { return fate{} }}
}

// All is the choice that loses nothing, as when the process is killed and the
// system lives on.
func All() Choice {
	return Choice{"everything", func(int, *effect) fate { return fate{part: whole} }}
}

func first(n int) Choice {
	return Choice{fmt.Sprintf("the first %d unsynced", n), keepIf(func(i int) bool { return i < n })}
}

func allBut(n int, e *effect) Choice {
	return Choice{fmt.Sprintf("everything but %q", e), keepIf(func(i int) bool { return i != n })}
}

func only(n int, e *effect) Choice {
	return Choice{fmt.Sprintf("of the unsynced only %q", e), keepIf(func(i int) bool { return i == n })}
}

func keepIf(keep func(i int) bool) func(int, *effect) fate {
	return func(i int, _ *effect) fate {
		if keep(i) {
			return fate{part: whole}
		}
		return fate{}
	}
}

// torn keeps effect n in part, the ones before it, and the ones behind it if
// rest says so.
func torn(n int, e *effect, f fate, rest bool) Choice {
	name := fmt.Sprintf("the first %d unsynced, then %s of %q", n, f, e)
	if rest {
		name = fmt.Sprintf("everything, but %s of %q", f, e)
	}
	return Choice{name, func(i int, _ *effect) fate {
		switch {
		case i == n:
			return f
		case i < n || rest:
			return fate{part: whole}
		}
		return fate{}
	}}
}

// random keeps each effect or not, a quarter of them in part.
func random(seed uint64) Choice {
	return Choice{fmt.Sprintf("random %#x", seed), func(i int, e *effect) fate {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		if tears := e.tears(r); len(tears) > 0 && r.IntN(4) == 0 {
			return tears[r.IntN(len(tears))]
		}
		if r.IntN(2) == 0 {
			return fate{}
		}
		return fate{part: whole}
	}}
}

// tears lists ways in which an effect can arrive in part.
func (e *effect) tears(r *rand.Rand) []fate {
	switch {
	case e.kind == Move:
		return []fate{{part: bothNames}}
	case e.kind != Write:
		return nil
	}
	fates := []fate{{part: sizeOnly}}
	if n := len(e.data); n > 1 {
		fates = append(fates, fate{part: beginning, n: 1 + r.IntN(n-1)})
	}
	if e.off/sector != (e.off+int64(len(e.data))-1)/sector {
		fates = append(fates, fate{part: sectors, coins: r.Uint64()})
	}
	return fates
}

func (f fate) String() string {
	switch f.part {
	case nothing:
		return "nothing"
	case beginning:
		return fmt.Sprintf("%d octets", f.n)
	case sectors:
		return fmt.Sprintf("sectors %#x", f.coins)
	case sizeOnly:
		return "the size"
	case bothNames:
		return "the new name"
	}
	return "all"
}

// Choices lists at most limit choices (but always [None] and [All]) for a crash
// now: each prefix of what is unsynced, all but one, only one, one in part; if
// that is too many a sample of it, if too few random ones besides. The same
// seed gives the same choices.
func (s *FS) Choices(limit int, seed uint64) []Choice {
	limit = max(limit, 2)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := rand.New(rand.NewPCG(seed, 0))
	var more []Choice
	for i, e := range s.log {
		more = append(more, first(i), allBut(i, e), only(i, e))
		for _, f := range e.tears(r) {
			more = append(more, torn(i, e, f, false), torn(i, e, f, true))
		}
	}
	r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	if len(s.log) > 1 {
		for range limit - len(more) {
			more = append(more, random(r.Uint64()))
		}
	}
	var (
		list = []Choice{None()}
		seen = map[string]bool{s.key(list[0]): true}
	)
	for _, c := range append([]Choice{All()}, more...) {
		if key := s.key(c); !seen[key] && len(list) < limit {
			seen[key] = true
			list = append(list, c)
		}
	}
	return list
}

// key is the same for choices that mean the same.
func (s *FS) key(c Choice) string {
	var b []byte
	for i, e := range s.log {
		f := c.fate(i, e)
		b = fmt.Appendf(b, "%d.%d.%d ", f.part, f.n, f.coins)
	}
	return string(b)
}

// Crashes yields the disks that a crash now may leave, one for each of
// [FS.Choices].
func (s *FS) Crashes(limit int, seed uint64) iter.Seq[*FS] {
	return func(yield func(*FS) bool) {
		for _, c := range s.Choices(limit, seed) {
			if !yield(s.Crash(c)) {
				return
			}
		}
	}
}

// Crash makes the file system that one finds after a crash now: what is on its
// disk is certain, no lock is held, nothing of hooks, failures and operations
// is left. The crashed one stays as it is and can be crashed again.
func (s *FS) Crash(c Choice) *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := boot{
		fs:    &FS{origin: c.name, octets: s.octets, inodes: s.inodes},
		disk:  map[*inode]*content{},
		nodes: map[*inode]*inode{},
	}
	lost := map[*inode]bool{}
	for i, e := range s.log {
		f := c.fate(i, e)
		e.apply(f, b.onDisk)
		switch {
		case f.part == nothing:
			lost[e.node], lost[e.to] = true, true
		case lost[e.node]:
			b.onDisk(e.node).nudge()
		}
	}
	b.fs.root = b.load(s.root)
	b.fs.root.links++
	b.number()
	return b.fs
}

// boot makes a file system from what a crash left.
type boot struct {
	fs    *FS
	disk  map[*inode]*content // of the crashed one's inodes, with effects
	nodes map[*inode]*inode   // old to new
}

func (b *boot) onDisk(n *inode) *content {
	c := b.disk[n]
	if c == nil {
		c = new(n.disk.clone())
		b.disk[n] = c
	}
	return c
}

// nudge gives a directory that lost an effect before one that arrived a time of
// its own: nobody can have seen it like this, and no time may say so.
func (c *content) nudge() { c.mtime = c.mtime.Add(1) }

// load makes the new inode for n and for what is below it.
func (b *boot) load(n *inode) *inode {
	if m := b.nodes[n]; m != nil {
		return m
	}
	c := *b.onDisk(n)
	m := &inode{num: n.num, mode: n.mode, ctime: c.mtime}
	b.nodes[n] = m
	for name, old := range c.entries {
		c.entries[name] = b.load(old)
		c.entries[name].links++
	}
	m.disk, m.now = c, c.clone()
	b.fs.used.inodes++
	b.fs.used.octets += c.alloc
	return m
}

// number finds which inode numbers are free.
func (b *boot) number() {
	var taken []uint64
	for _, n := range b.nodes {
		taken = append(taken, n.num)
	}
	slices.Sort(taken)
	next := uint64(2)
	for _, num := range taken {
		for ; next < num; next++ {
			b.fs.numbers.free = append(b.fs.numbers.free, next)
		}
		next = num + 1
	}
	b.fs.numbers.next = next
}
