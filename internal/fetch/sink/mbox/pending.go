package mbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
)

const (
	// textStart is where the message begins; the head of the file is before.
	textStart = 512
	headMark  = "postwain-mbox 1"
	// maxIdle is how much of a message that is stored is left in the file.
	maxIdle = 1 << 20
)

// pending is the file with the message that is about to be stored. Its head is
// one line: the mark, the key, where in the mbox file it is to be, the line
// ends that must stand before it, its length and SHA-256, and the CRC-32C of
// all that. It is written when the message is whole and its place known; so a
// head that fits the text says that the message may be in its place.
type pending struct {
	file  fsx.File
	valid bool // the head on the disk, and place, are about the text
	place
}

type place struct {
	key    string
	offset int64
	pad    string // "", "\n" or "\n\n"
	length int64
	sum    [sha256.Size]byte
}

// end is where in the mbox file the message ends.
func (p *place) end() int64 { return p.offset + int64(len(p.pad)) + p.length }

func (p *place) head() []byte {
	text := fmt.Sprintf("%s %s %d %d %d %x", headMark, p.key, p.offset, len(p.pad), p.length, p.sum)
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// parseHead reads what head wrote.
func parseHead(data []byte) (p place, ok bool) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Split(string(line), " ")
	if len(fields) != 8 {
		return p, false
	}
	p.key = fields[2]
	var pad int64
	for i, to := range []*int64{&p.offset, &pad, &p.length} {
		n, err := strconv.ParseInt(fields[3+i], 10, 64)
		if err != nil || n < 0 || n > 1<<60 {
			return p, false
		}
		*to = n
	}
	sum, err := hex.DecodeString(fields[6])
	if err != nil || len(sum) != len(p.sum) || pad > 2 || !validKey(p.key) {
		return p, false
	}
	p.pad = "\n\n"[:pad]
	p.sum = [sha256.Size]byte(sum)
	return p, bytes.Equal(p.head(), append(line[:len(line):len(line)], '\n'))
}

func openPending(dir fsx.Dir, name string) (*pending, error) {
	f, err := dir.OpenUpdate(name, filePerm)
	if err != nil {
		return nil, err
	}
	p := &pending{file: f}
	if err := p.load(); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

func (p *pending) load() error {
	data := make([]byte, textStart)
	n, err := p.file.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return err
	}
	var ok bool
	if p.place, ok = parseHead(data[:n]); !ok {
		return nil
	}
	sum := sha256.New()
	length, err := io.Copy(sum, p.text())
	if err != nil {
		return err
	}
	p.valid = length == p.length && bytes.Equal(sum.Sum(nil), p.sum[:])
	return nil
}

// text gives the message as it is to stand in the file.
func (p *pending) text() io.Reader {
	return io.NewSectionReader(p.file, textStart, p.length)
}

// all gives it with what must stand before it.
func (p *pending) all() io.Reader {
	return io.MultiReader(strings.NewReader(p.pad), p.text())
}

// fill takes a message over. The head still is that of the one before.
func (p *pending) fill(ctx context.Context, m sink.Message, r io.Reader) error {
	p.valid = false
	sum := sha256.New()
	count := &counter{w: io.NewOffsetWriter(p.file, textStart)}
	w := bufio.NewWriterSize(io.MultiWriter(count, sum), 32<<10)
	if err := render(ctx, w, m.Time, r); err != nil {
		return err
	}
	p.place = place{key: m.Key, length: count.n, sum: [sha256.Size]byte(sum.Sum(nil))}
	return p.file.Truncate(textStart + p.length)
}

// put notes the place of the message, durably. From then on it may be there.
func (p *pending) put(offset int64, pad string) error {
	p.offset, p.pad = offset, pad
	p.valid = true
	if _, err := p.file.WriteAt(p.head(), 0); err != nil {
		return err
	}
	return p.file.Sync()
}

// clear notes that the message is not in its place, durably.
func (p *pending) clear() error {
	if _, err := p.file.WriteAt(make([]byte, textStart), 0); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	p.valid = false
	return nil
}

// shrink gives back the room of a big message that is stored.
func (p *pending) shrink() {
	if p.length > maxIdle {
		p.file.Truncate(textStart) // or the next message does it
	}
}

// counter counts what it passes on.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
