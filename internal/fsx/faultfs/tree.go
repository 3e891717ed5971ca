package faultfs

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Plant puts something that is neither a file nor a directory at a path, of
// which all but the last component must be directories: a link
// (fs.ModeSymlink), a pipe, a socket or a device, by its type in mode. It is on
// the disk at once.
func (s *FS) Plant(name string, mode fs.FileMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	where, base := path.Split(name)
	d := s.root
	for part := range strings.SplitSeq(strings.Trim(where, "/"), "/") {
		if part == "" {
			continue
		}
		if d = d.now.entries[part]; d == nil || !d.isDir() {
			return &fs.PathError{Op: "plant", Path: name, Err: syscall.ENOTDIR}
		}
	}
	if d.now.entries[base] != nil {
		return &fs.PathError{Op: "plant", Path: name, Err: syscall.EEXIST}
	}
	n := s.newInode(mode)
	d.enter(base, n)
	d.disk.entries[base] = n
	return nil
}

// Tree lists all that programs see, a line for each name: path, inode, mode,
// size, and the beginning of a file's contents.
func (s *FS) Tree() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	s.root.list(&b, "")
	return b.String()
}

func (d *inode) list(b *strings.Builder, at string) {
	for _, name := range slices.Sorted(maps.Keys(d.now.entries)) {
		n, p := d.now.entries[name], path.Join(at, name)
		fmt.Fprintf(b, "%s #%d %v", p, n.num, n.mode)
		if n.mode.IsRegular() {
			const shown = 60
			data := n.now.data
			fmt.Fprintf(b, " %d %.*q", len(data), shown, data)
		}
		b.WriteByte('\n')
		if n.isDir() {
			n.list(b, p)
		}
	}
}
