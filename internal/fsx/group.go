package fsx

import (
	"errors"
	"sync"
)

// Group shares one sync among all who ask for it at the same time (group
// commit). The zero value is ready. All callers of one Group must mean the same
// sync, for instance that of one directory.
type Group struct {
	mu   sync.Mutex
	next *batch // takes callers until its sync starts
	last *batch // the newest, which may have ended
}

type batch struct {
	done chan struct{}
	err  error // valid once done is closed
}

var errSyncDied = errors.New("sync did not end")

// Do returns after a call of sync that began after Do was called has ended,
// with the result of that call, be it this caller's sync or another's. Syncs of
// one Group never overlap.
func (g *Group) Do(sync func() error) error {
	g.mu.Lock()
	if b := g.next; b != nil {
		g.mu.Unlock()
		<-b.done
		return b.err
	}
	b := &batch{done: make(chan struct{}), err: errSyncDied}
	prev := g.last
	g.next, g.last = b, b
	g.mu.Unlock()

	defer close(b.done) // also when sync panics, which nobody may take for success
	if prev != nil {
		<-prev.done
	}
	g.mu.Lock()
	g.next = nil // who comes from here on needs the sync after this one
	g.mu.Unlock()
	b.err = sync()
	return b.err
}
