//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/test/rig"
)

// filler writes a Maildir as a delivery agent that records sizes leaves it.
type filler struct {
	rand    *rand.Rand
	octets  int64               // of all messages, in the form with CRLF
	digests [][sha256.Size]byte // of each, in that form
}

func newFiller(seed uint64) *filler { return &filler{rand: rand.New(rand.NewPCG(seed, 0))} }

func (f *filler) fill(dir string, n int, size func(*rand.Rand) int) error {
	if err := rig.MakeMaildir(dir); err != nil {
		return err
	}
	for i := range n {
		data := f.message(i, size(f.rand))
		wire := bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
		f.octets += int64(len(wire))
		f.digests = append(f.digests, sha256.Sum256(wire))
		// In cur, so that no server has to move it first.
		name := fmt.Sprintf("%d.M%06dP1.host,S=%d,W=%d:2,S", 1700000000+i, i, len(data), len(wire))
		path := filepath.Join(dir, "cur", name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return rig.Own(dir)
}

// message makes a message of about size octets with LF line ends: a header
// and lines of text, one in thirty with a dot in front.
func (f *filler) message(i, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Ann <ann@example.net>\nTo: bob@example.org\nSubject: message %d\n", i)
	fmt.Fprintf(&b, "Message-ID: <%d.%d@example.net>\n\n", i, f.rand.Uint64())
	const letters = "abcdefghijklmnopqrstuvwxyz      ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	for b.Len() < size {
		if f.rand.IntN(30) == 0 {
			b.WriteByte('.')
		}
		for range 20 + f.rand.IntN(56) {
			b.WriteByte(letters[f.rand.IntN(len(letters))])
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
