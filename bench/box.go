//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/test/rig"
)

// box is a mailbox that is fetched.
type box struct {
	account string
	n       int
	digests map[[sha256.Size]byte]int // how often each message is there, by its form with CRLF
}

// fillBox makes a mailbox of n messages of size octets.
func (b *bed) fillBox(account string, n, size int) (*box, error) {
	f := newFiller(uint64(2000 + len(b.boxes)))
	dir := b.space.Maildir(account)
	fill := f.fill
	if size > 1<<20 {
		fill = f.fillHuge
	}
	if err := fill(dir, n, func(*rand.Rand) int { return size }); err != nil {
		return nil, err
	}
	x := &box{account: account, n: n, digests: map[[sha256.Size]byte]int{}}
	for _, d := range f.digests {
		x.digests[d]++
	}
	b.boxes[account] = x
	return x, nil
}

// fillHuge is fill for messages that memory has no place for.
func (f *filler) fillHuge(dir string, n int, size func(*rand.Rand) int) error {
	if err := rig.MakeMaildir(dir); err != nil {
		return err
	}
	for i := range n {
		head, block := f.message(i, 1000), f.message(i, 1<<20)
		times := size(f.rand) / len(block)
		wire := func(data []byte) []byte { return bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")) }
		octets := len(wire(head)) + times*len(wire(block))
		name := fmt.Sprintf("%d.M%06dP1.host,S=%d,W=%d:2,S", 1700000000+i, i, len(head)+times*len(block), octets)
		out, err := os.OpenFile(filepath.Join(dir, "cur", name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		digest := sha256.New()
		digest.Write(wire(head))
		_, err = out.Write(head)
		for range times {
			digest.Write(wire(block))
			_, err2 := out.Write(block)
			err = errors.Join(err, err2)
		}
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
		f.octets += int64(octets)
		f.digests = append(f.digests, [sha256.Size]byte(digest.Sum(nil)))
	}
	return rig.Own(dir)
}

// compare checks that a Maildir holds the messages of the box and nothing else,
// each below nothing but header lines.
func (x *box) compare(maildir string) error {
	left := maps.Clone(x.digests)
	paths, err := filepath.Glob(filepath.Join(maildir, "[nc]*", "*")) // new and cur
	if err != nil {
		return err
	}
	for _, p := range paths {
		d, err := digestOf(p)
		if err != nil {
			return err
		}
		if left[d] == 0 {
			return fmt.Errorf("%s is no message of %s, or a second one", p, x.account)
		}
		left[d]--
	}
	if len(paths) != x.n {
		return fmt.Errorf("%d of %d messages of %s came", len(paths), x.n, x.account)
	}
	return nil
}

// digestOf reads a message from the first line on that filler has made.
func digestOf(path string) (d [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	digest := sha256.New()
	r := bufio.NewReader(f)
	for begun := false; ; {
		line, err := r.ReadSlice('\n') // no line of ours is longer than the buffer
		if err == io.EOF {
			return [sha256.Size]byte(digest.Sum(nil)), nil
		}
		if err != nil {
			return d, err
		}
		if begun = begun || bytes.HasPrefix(line, []byte("From: ")); begun {
			digest.Write(bytes.TrimRight(line, "\r\n"))
			digest.Write([]byte("\r\n"))
		}
	}
}
