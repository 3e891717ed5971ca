//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// inFlight is how many commands drain has under way: more make it no faster.
const inFlight = 1024

// drain lets Dovecot send the messages of a box over a link of some length, and
// throws them away.
func (b *bed) drain(x *box, roundTrip time.Duration) error {
	link, err := rig.NewLink("127.0.0.1", b.dovecot().POP3, roundTrip)
	if err != nil {
		return err
	}
	defer link.Close()
	p, err := dialPOP(&rig.Server{POP3: link.Port}, nil, x.account)
	if err != nil {
		return err
	}
	return errors.Join(p.drain(x.n), p.quit())
}

// drain fetches the messages 1 to n.
func (p *pop) drain(n int) error {
	for asked, got := 0, 0; got < n; got++ {
		if asked < n && asked-got <= inFlight/2 {
			var commands bytes.Buffer
			for ; asked < n && asked-got < inFlight; asked++ {
				fmt.Fprintf(&commands, "RETR %d\r\n", asked+1)
			}
			if _, err := p.conn.Write(commands.Bytes()); err != nil {
				return err
			}
		}
		if _, err := p.answer(); err != nil {
			return err
		}
		for {
			line, err := p.r.ReadSlice('\n') // no line of ours is longer than the buffer
			if err != nil {
				return err
			}
			if string(line) == ".\r\n" {
				break
			}
		}
	}
	return nil
}
