package faultfs

import (
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/postwain/postwain/internal/fsx"
)

// inode is a file, a directory, or something that is neither.
type inode struct {
	num    uint64
	mode   fs.FileMode
	links  uint64 // names that programs see
	opens  int
	locked *file
	order  []place // of the names in a directory; nil: to be made
	ctime  time.Time
	now    content // what programs see
	disk   content // what a crash surely leaves
}

// content is what an inode holds at one time.
type content struct {
	data    []byte
	alloc   int64 // the first octets that have room on the disk
	entries map[string]*inode
	mtime   time.Time
}

func (c content) clone() content {
	c.data = slices.Clone(c.data)
	c.entries = maps.Clone(c.entries)
	return c
}

// resize sets the size, filling with zeros.
func (c *content) resize(size int64) {
	if n := size - int64(len(c.data)); n > 0 {
		c.data = append(c.data, make([]byte, n)...)
	}
	c.data = c.data[:size]
}

// write puts p at off, filling a gap with zeros.
func (c *content) write(p []byte, off int64) {
	end := off + int64(len(p))
	if end > int64(len(c.data)) {
		c.resize(end)
	}
	copy(c.data[off:], p)
	c.alloc = max(c.alloc, end)
}

func (c *content) truncate(size int64) {
	c.resize(size)
	c.alloc = min(c.alloc, size)
}

func (c *content) allocate(size int64) {
	if size > int64(len(c.data)) {
		c.resize(size)
	}
	c.alloc = max(c.alloc, size)
}

func (n *inode) isDir() bool { return n.mode.IsDir() }

func (n *inode) touch() {
	n.ctime = time.Now()
	n.now.mtime = n.ctime
}

func (n *inode) info() fsx.Info {
	return fsx.Info{
		Inode:   n.num,
		Size:    int64(len(n.now.data)),
		Links:   n.links,
		Mode:    n.mode,
		ModTime: n.now.mtime,
		Changed: n.ctime,
	}
}

// numbers gives out inode numbers: the free ones first.
type numbers struct {
	free []uint64
	next uint64
}

func (n *numbers) take() uint64 {
	if len(n.free) > 0 {
		num := n.free[0]
		n.free = n.free[1:]
		return num
	}
	n.next++
	return n.next - 1
}

// usage is what of the capacity is taken.
type usage struct{ octets, inodes int64 }

// newInode makes an inode without a name.
func (s *FS) newInode(mode fs.FileMode) *inode {
	n := &inode{num: s.numbers.take(), mode: mode}
	if mode.IsDir() {
		n.now.entries = map[string]*inode{}
		n.disk.entries = map[string]*inode{}
	}
	n.touch()
	n.disk.mtime = n.now.mtime
	s.used.inodes++
	return n
}

// room returns ENOSPC if no more inode can be made.
func (s *FS) room() error {
	if s.inodes > 0 && s.used.inodes >= s.inodes {
		return syscall.ENOSPC
	}
	return nil
}

// reserve makes room for the octets of n below end. It returns how far it got,
// and ENOSPC if that is not end.
func (s *FS) reserve(n *inode, end int64) (int64, error) {
	need := end - n.now.alloc
	if need <= 0 {
		return end, nil
	}
	if s.octets > 0 && need > s.octets-s.used.octets {
		return n.now.alloc + max(0, s.octets-s.used.octets), syscall.ENOSPC
	}
	return end, nil
}

// change runs f, which changes what programs see of n, and keeps the books.
func (s *FS) change(n *inode, f func(*content)) {
	s.used.octets -= n.now.alloc
	f(&n.now)
	s.used.octets += n.now.alloc
	n.touch()
}

// drop gives the space of n back once it has neither a name nor a user.
func (s *FS) drop(n *inode) {
	if n.links == 0 && n.opens == 0 {
		s.used.inodes--
		s.used.octets -= n.now.alloc
		n.now = content{}
	}
}

// enter gives n the name in the directory d, where it is free.
func (d *inode) enter(name string, n *inode) {
	d.now.entries[name] = n
	d.order = nil
	n.links++
	n.ctime = time.Now()
	d.touch()
}

// leave takes the name from the directory d.
func (d *inode) leave(name string) *inode {
	n := d.now.entries[name]
	delete(d.now.entries, name)
	d.order = nil
	n.links--
	n.ctime = time.Now()
	d.touch()
	return n
}
