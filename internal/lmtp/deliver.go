package lmtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postwain/postwain/maildrop"
)

// deliver gives the message to every target and notes the outcomes there.
// Once begun it runs to its end, although the client may have gone: then it
// comes again, which is the lesser evil.
func (c *session) deliver() {
	ctx, cancel := c.backend()
	defer cancel()
	targets := c.tx.targets
	now := time.Now()
	if len(targets) == 1 {
		c.deliverTo(ctx, &targets[0], now)
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(targets), c.opt.MaxParallel) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(targets)); i = next.Add(1) - 1 {
				c.deliverTo(ctx, &targets[i], now)
			}
		})
	}
	workers.Wait()
}

// deliverTo delivers to one target. It changes nothing but t.
func (c *session) deliverTo(ctx context.Context, t *target, now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			t.err = fmt.Errorf("lmtp: panic in delivery: %v\n%s", p, debug.Stack())
		}
	}()
	r := c.tx.spool.reader(c.head(t.address, now))
	t.err = c.opt.Deliverer.Deliver(ctx, t.account, maildrop.Incoming{}, r)
}

// deliveryReply puts the outcome of a delivery into words.
func deliveryReply(err error, id string) reply {
	switch {
	case err == nil:
		return reply("250 2.0.0 Delivered as " + id + "\r\n")
	case errors.Is(err, maildrop.ErrFull):
		return replyMailFull
	case errors.Is(err, maildrop.ErrNoDrop):
		return replyNoSuchUser
	}
	return replyOutage
}

// head is what stands on top of the copy for address. Every part of it has
// been checked to be free of control characters, so it is three fields.
func (c *session) head(address string, now time.Time) []byte {
	b := make([]byte, 0, 320+2*len(address)+len(c.tx.from))
	b = append(b, "Return-Path: <"...)
	b = append(b, c.tx.from...)
	b = append(b, ">\r\nDelivered-To: "...)
	b = append(b, address...)
	b = append(b, "\r\nReceived: from "...)
	b = append(b, c.client...)
	b = appendPeer(b, c.wire.conn.RemoteAddr())
	b = append(b, "\r\n\tby "...)
	b = append(b, c.opt.Hostname...)
	if c.tx.utf8 {
		b = append(b, " with UTF8LMTP id "...) // RFC 6531 §4.3
	} else {
		b = append(b, " with LMTP id "...) // RFC 3848
	}
	b = append(b, c.tx.id...)
	b = append(b, "\r\n\tfor <"...)
	b = append(b, address...)
	b = append(b, ">; "...)
	b = now.AppendFormat(b, "Mon, 2 Jan 2006 15:04:05 -0700")
	return append(b, "\r\n"...)
}

// appendPeer adds the address of a TCP client (RFC 5321 §4.4, TCP-info).
func appendPeer(b []byte, peer net.Addr) []byte {
	if peer == nil {
		return b
	}
	from, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return b
	}
	ip := from.Addr().Unmap().WithZone("")
	b = append(b, " (["...)
	if ip.Is6() {
		b = append(b, "IPv6:"...)
	}
	b = ip.AppendTo(b)
	return append(b, "])"...)
}
