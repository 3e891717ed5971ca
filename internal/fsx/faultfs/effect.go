package faultfs

import (
	"fmt"
	"slices"
	"time"
)

// effect is a change on its way to the disk. Kind says what and is the kind of
// the operation that made it, where Create and Mkdir are Link.
type effect struct {
	kind Kind
	path string
	dest string // Move, Replace: the path afterwards
	at   time.Time
	node *inode // the file, or the directory of the name
	off  int64  // Write; the size of Truncate and Allocate
	data []byte // Write
	mod  time.Time

	name   string
	as     string // Move, Replace
	to     *inode // Move: the directory moved to
	target *inode // what the name stands for
}

func (e *effect) String() string {
	switch e.kind {
	case Write:
		return fmt.Sprintf("write %s @%d +%d", e.path, e.off, len(e.data))
	case Move, Replace:
		return fmt.Sprintf("%s %s -> %s", e.kind, e.path, e.dest)
	}
	return fmt.Sprintf("%s %s", e.kind, e.path)
}

// fate is how much of an effect reaches the disk.
type fate struct {
	part  part
	n     int    // octets of beginning
	coins uint64 // a bit for each sector of sectors, over and over
}

type part int

const (
	nothing   part = iota
	whole          //
	beginning      // Write: the first n octets
	sectors        // Write: some sectors
	sizeOnly       // Write: zeros as far as it makes the file longer
	bothNames      // Move: the new name, while the old one stays
)

const sector = 512

// apply makes the effect, as far as it gets, on what holder says is on the disk
// of an inode.
func (e *effect) apply(f fate, holder func(*inode) *content) {
	if f.part == nothing {
		return
	}
	c := holder(e.node)
	switch e.kind {
	case Write:
		e.applyWrite(f, c)
		c.mtime = e.at
	case Truncate:
		c.truncate(e.off)
		c.mtime = e.at
	case Allocate:
		c.allocate(e.off)
		c.mtime = e.at
	case Touch:
		c.mtime = e.mod
	case Link:
		set(c, e.name, e.target, e.at)
	case Remove:
		unset(c, e.name, e.target, e.at)
	case Replace:
		unset(c, e.name, e.target, e.at)
		set(c, e.as, e.target, e.at)
	case Move:
		set(holder(e.to), e.as, e.target, e.at)
		if f.part != bothNames {
			unset(c, e.name, e.target, e.at)
		}
	}
}

func (e *effect) applyWrite(f fate, c *content) {
	end := e.off + int64(len(e.data))
	switch f.part {
	case whole:
		c.write(e.data, e.off)
	case beginning:
		c.write(e.data[:f.n], e.off)
	case sectors, sizeOnly:
		c.allocate(end)
		if f.part == sizeOnly {
			return
		}
		for i, from := 0, e.off; from < end; i++ {
			to := min(end, (from/sector+1)*sector)
			if f.coins>>(i%64)&1 != 0 {
				c.write(e.data[from-e.off:to-e.off], from)
			}
			from = to
		}
	}
}

func set(c *content, name string, n *inode, at time.Time) {
	c.entries[name] = n
	c.mtime = at
}

// unset removes a name unless it has come to stand for something else.
func unset(c *content, name string, n *inode, at time.Time) {
	if c.entries[name] == n {
		delete(c.entries, name)
		c.mtime = at
	}
}

// sync brings the effects on n to the disk, or loses them if it was made to fail.
func (s *FS) sync(n *inode, op Kind, injected error) error {
	if injected == ErrSkip {
		return nil
	}
	s.settle(n, op, injected != nil)
	return injected
}

// settle takes the effects that a sync of n brings to the disk out of the log
// and, unless the sync failed, makes them there.
func (s *FS) settle(n *inode, op Kind, failed bool) {
	s.log = slices.DeleteFunc(s.log, func(e *effect) bool {
		switch {
		case e.kind == Move && e.to != n, e.kind == Touch && op == SyncData:
			return false
		case e.kind == Move, e.node == n:
			// It is brought to the disk, or lost.
		default:
			return false
		}
		if failed {
			return true
		}
		if e.kind == Move && e.node != n {
			e.apply(fate{part: bothNames}, onDisk)
			// The other half waits for the other directory.
			*e = effect{kind: Remove, path: e.path, at: e.at, node: e.node, name: e.name, target: e.target}
			return false
		}
		e.apply(fate{part: whole}, onDisk)
		return true
	})
}

// syncAll brings all effects to the disk, or loses them if it was made to fail.
func (s *FS) syncAll(injected error) error {
	if injected == ErrSkip {
		return nil
	}
	if injected == nil {
		for _, e := range s.log {
			e.apply(fate{part: whole}, onDisk)
		}
	}
	s.log = nil
	return injected
}

func onDisk(n *inode) *content { return &n.disk }
