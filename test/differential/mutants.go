package differential

import (
	"context"
	"strings"

	"github.com/postwain/postwain/maildrop"
)

// mutants are servers of ours with a fault.
func mutants() map[string]trial {
	return map[string]trial{
		"numbers may have a zero before": {hears: func(line string) string { return strings.Replace(line, " 0", " ", 1) }},
		"letters are folded as in Unicode": {hears: func(line string) string {
			return strings.Replace(line, "ſ", "s", 1)
		}},
		"a bare LF ends a command": {hears: func(line string) string {
			return strings.ReplaceAll(strings.ReplaceAll(line, "\r\n", "\n"), "\n", "\r\n")
		}},
		"LIST says an octet too many": {wrap: func(s maildrop.Store) maildrop.Store { return faulty{Store: s, more: 1} }},
		"QUIT leaves a message":       {wrap: func(s maildrop.Store) maildrop.Store { return faulty{Store: s, leaves: true} }},
	}
}

// faulty is a store with a fault.
type faulty struct {
	maildrop.Store
	more   int64 // octets that are added to the size of the last message
	leaves bool  // the last of those that are to be removed
}

func (f faulty) Open(ctx context.Context, account string) (maildrop.Box, error) {
	b, err := f.Store.Open(ctx, account)
	return faultyBox{b, f}, err
}

type faultyBox struct {
	maildrop.Box
	f faulty
}

func (b faultyBox) Messages() []maildrop.Message {
	all := append([]maildrop.Message(nil), b.Box.Messages()...)
	if n := len(all); n > 0 {
		all[n-1].Size += b.f.more
	}
	return all
}

func (b faultyBox) Commit(ctx context.Context, deleted []int) error {
	if n := len(deleted); b.f.leaves && n > 0 {
		deleted = deleted[:n-1]
	}
	return b.Box.Commit(ctx, deleted)
}
