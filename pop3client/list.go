package pop3client

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/postwain/postwain/pop3"
)

// Listed is a row of LIST and of UIDL.
type Listed struct {
	Number int    // of the message in this session, from 1
	Size   int64  // octets. Servers count as they like: a hint. 0: unknown
	UID    string // any octets but CR and LF, also none or very many; empty: unknown
}

// Stat returns how many messages there are, and their octets together, a hint:
// 0 if the server says nothing that is a number.
func (c *Client) Stat(ctx context.Context) (count int, octets int64, err error) {
	s := command(pop3.Stat)
	text, err := c.simple(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	number, rest := word(text)
	if count, err = pop3.ParseNumber(number); err != nil {
		return 0, 0, c.fail(s, garbage("by answering", c.show(text)))
	}
	number, _ = word(rest)
	return count, size(number), nil
}

// List returns the messages by number, with their sizes and without UIDs.
//
// A row whose number cannot be read is left out. A size that cannot be read, or
// of which there are two, is unknown.
func (c *Client) List(ctx context.Context) ([]Listed, error) {
	return c.listing(ctx, command(pop3.List), func(l *Listed, rest []byte) {
		number, _ := word(rest)
		l.Size = size(number)
	}, func(first *Listed, second Listed) bool {
		if first.Size != second.Size {
			first.Size = 0
		}
		return true
	})
}

// UIDL returns the messages by number, with their UIDs and without sizes. It
// may be sent to servers that do not announce it; the error is then a
// *pop3.Error.
//
// A row whose number cannot be read is left out. Two UIDs for one number are
// ErrProtocol: to choose would be to guess. UIDs that occur twice are listed
// twice.
func (c *Client) UIDL(ctx context.Context) ([]Listed, error) {
	return c.listing(ctx, command(pop3.Uidl),
		func(l *Listed, rest []byte) { l.UID = string(rest) },
		func(first *Listed, second Listed) bool { return first.UID == second.UID })
}

// listing reads a listing, in which parse reads what stands behind the number.
// Two rows of one number are merged, if merge can.
func (c *Client) listing(ctx context.Context, s step, parse func(*Listed, []byte), merge func(*Listed, Listed) bool) ([]Listed, error) {
	if _, err := c.simple(ctx, s); err != nil {
		return nil, err
	}
	var list []Listed
	sorted, tooLarge := true, false
	err := c.rows(ctx, s, c.opt.Limits.Messages, func(row []byte) {
		number, rest := word(row)
		n, err := pop3.ParseNumber(number)
		if err != nil || n < 1 {
			return
		}
		tooLarge = tooLarge || n > c.opt.Limits.Messages
		sorted = sorted && (len(list) == 0 || n > list[len(list)-1].Number)
		list = append(list, Listed{Number: n})
		parse(&list[len(list)-1], rest)
	})
	if err != nil {
		return nil, err
	}
	if tooLarge {
		return nil, c.fail(s, fmt.Errorf("%w: a message number over %d", ErrLimit, c.opt.Limits.Messages))
	}
	if sorted {
		return list, nil
	}
	slices.SortStableFunc(list, func(a, b Listed) int { return cmp.Compare(a.Number, b.Number) })
	kept := list[:1]
	for _, l := range list[1:] {
		last := &kept[len(kept)-1]
		switch {
		case l.Number != last.Number:
			kept = append(kept, l)
		case !merge(last, l):
			return nil, c.fail(s, fmt.Errorf("%w by listing message %d twice, with different UIDs", ErrProtocol, l.Number))
		}
	}
	return kept, nil
}

// rows reads the rows of a multi-line reply to its end dot, at most most of
// them. What they may take together is bounded too.
func (c *Client) rows(ctx context.Context, s step, most int, each func(row []byte)) error {
	if err := c.wire.watch(ctx); err != nil {
		return c.fail(s, err) // the rows are on their way
	}
	defer c.end()
	c.wire.flow()
	room := bufferSize + most*rowOctets
	for n := 0; ; n++ {
		row, err := c.line(s)
		if err != nil {
			return err
		}
		if len(row) > 0 && row[0] == '.' {
			if len(row) == 1 {
				return nil
			}
			row = row[1:]
		}
		if room -= len(row); room < 0 || n == most {
			return c.fail(s, fmt.Errorf("%w: a reply of more than %d lines, or of too many octets", ErrLimit, most))
		}
		each(row)
	}
}

// word splits a row behind its first word and the blanks that follow.
func word(row []byte) (first, rest []byte) {
	row = bytes.TrimLeft(row, " \t")
	i := bytes.IndexAny(row, " \t")
	if i < 0 {
		return row, nil
	}
	return row[:i], bytes.TrimLeft(row[i:], " \t")
}

// size is the number that a hint gives; 0 if it is none.
func size(number []byte) int64 {
	n, err := pop3.ParseNumber(number)
	if err != nil {
		return 0
	}
	return int64(n)
}
