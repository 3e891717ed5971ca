package fetch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// What can be wrong with a message that has arrived.
var (
	errKnown = errors.New("the message was stored before under another UID")
	errEmpty = errors.New("the server lists the message and gives nothing for it")
)

// errTooLarge is a message above Policy.MaxSize, which LIST did not tell.
type errTooLarge int64

func (e errTooLarge) Error() string { return fmt.Sprintf("it has more than %d octets", int64(e)) }

// incoming is a message on its way from the wire to a destination: a reader
// that puts lines in front, counts and hashes. At the end it may refuse the
// message; then the destination has never seen it end, and drops it.
type incoming struct {
	head  []byte
	ahead []byte // of the body, read before
	end   error  // of the body; nil: it goes on behind what was read before
	body  io.Reader
	most  int64                 // octets; 0: no limit
	judge func(*incoming) error // at the end

	hash   hash.Hash
	octets int64
	digest digest
	ended  bool  // it was read to its end
	whole  bool  // and is good
	err    error // what Read gives from now on
	broken bool  // because the connection is

	once sync.Once
	over chan struct{} // closed when the wire is free for the next reply
}

func newIncoming(head []byte, body io.Reader) *incoming {
	return &incoming{head: head, body: body, hash: sha256.New(), over: make(chan struct{})}
}

// readAhead reads from the wire what buf holds. all says that this was the
// rest of the message: the wire is free.
func (in *incoming) readAhead(buf []byte) (all bool) {
	n := 0
	for idle := 0; n < len(buf) && in.end == nil && idle < 100; idle++ {
		var m int
		if m, in.end = in.body.Read(buf[n:]); m > 0 {
			idle = 0
		}
		n += m
	}
	in.ahead = buf[:n]
	return in.end == io.EOF
}

// next gives octets of the body.
func (in *incoming) next(p []byte) (n int, err error) {
	if len(in.ahead) == 0 && in.end == nil {
		return in.body.Read(p)
	}
	n = copy(p, in.ahead)
	if in.ahead = in.ahead[n:]; len(in.ahead) == 0 {
		err = in.end
	}
	return n, err
}

// Read gives io.EOF only at the end of a message that is whole and wanted.
func (in *incoming) Read(p []byte) (n int, err error) {
	if len(in.head) > 0 {
		n = copy(p, in.head)
		in.head = in.head[n:]
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	n, err = in.next(p)
	in.octets += int64(n)
	in.hash.Write(p[:n])
	switch {
	case in.most > 0 && in.octets > in.most:
		n, err = 0, errTooLarge(in.most)
	case err == io.EOF:
		in.ended = true
		in.hash.Sum(in.digest[:0])
		if in.judge != nil {
			if refused := in.judge(in); refused != nil {
				n, err = 0, refused
			}
		}
		in.whole = err == io.EOF
	case err != nil:
		in.broken = true
	}
	if err != nil {
		in.err = err
		in.release()
	}
	return n, err
}

// release frees the wire.
func (in *incoming) release() { in.once.Do(func() { close(in.over) }) }
