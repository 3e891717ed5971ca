//go:build bucket

package bucket

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/postwain/postwain/maildrop"
)

var clusterTime = flag.Duration("cluster", 20*time.Second, "how long the servers of one bucket work")

// Three servers have the same maildrops, over networks that lose answers, cut
// bodies and fail, and now and then hold all requests of a server for longer than
// its leases live, to let them go on to the store when others own its maildrops.
// What all of them did is what one maildrop could have done, a deed at a time.
func TestCluster(t *testing.T) {
	first := gateway(t)
	endpoint := *first.objects.(*s3Objects).client.Options().BaseEndpoint
	var servers []*server
	for i := range 3 {
		n := newNetwork(t, endpoint)
		s := gatewayAt(t, n.url, first.prefix)
		s.ttl, s.objects.(*s3Objects).stall = clusterTTL, 4*clusterTTL
		servers = append(servers, &server{store: s, network: n, id: i})
	}
	drops := make([]*history, 3)
	tokens := new(atomic.Int64)
	ctx, cancel := context.WithTimeout(t.Context(), *clusterTime)
	defer cancel()
	var busy sync.WaitGroup
	for i := range drops {
		drops[i] = &history{began: time.Now()}
		for _, s := range servers {
			w := &worker{server: s, history: drops[i], account: fmt.Sprintf("user%d", i), tokens: tokens, known: map[string]string{}}
			busy.Go(func() { w.deliver(ctx) })
			busy.Go(func() { w.visit(ctx) })
		}
	}
	for _, s := range servers {
		busy.Go(func() { s.suffer(ctx) })
	}
	busy.Wait()
	for _, s := range servers {
		s.network.repair()
	}
	for i, h := range drops {
		w := &worker{server: servers[0], history: h, account: fmt.Sprintf("user%d", i), known: map[string]string{}}
		w.last(t)
		t.Logf("user%d: %d delivered, %d in doubt; %d looks; %d QUITs, %d refused, %d in doubt", i,
			h.count(delivers, done), h.count(delivers, unknown), h.count(looks, done), h.count(quits, done), h.count(quits, refused), h.count(quits, unknown))
		if got := h.check(); got != porcupine.Ok {
			t.Errorf("user%d: what %d deeds did is %s for one maildrop", i, len(h.ops), got)
		}
	}
	for _, s := range servers {
		t.Logf("server %d: %d freezes, %v", s.id, s.frozen.Load(), s.network.did)
		for _, f := range s.faults() {
			t.Error(f)
		}
	}
}

// server is a server's store with its way to the bucket.
type server struct {
	id      int
	store   *Store
	network *network
	frozen  atomic.Int64

	mu    sync.Mutex
	found []string
}

func (s *server) find(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, fmt.Sprintf(format, args...))
}

func (s *server) faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

// suffer has the server's network hold its requests, or lose most, now and then.
func (s *server) suffer(ctx context.Context) {
	for rest(ctx, clusterTTL+rand.N(3*clusterTTL)) {
		if rand.IntN(2) == 0 {
			s.network.worsen(poor)
			rest(context.WithoutCancel(ctx), hold)
			s.network.worsen(fair)
			continue
		}
		s.network.freeze()
		rest(context.WithoutCancel(ctx), hold)
		s.network.thaw()
		s.frozen.Add(1)
	}
}

// rest waits, and reports whether ctx has not ended.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// worker works on one maildrop by one server.
type worker struct {
	server  *server
	history *history
	account string
	tokens  *atomic.Int64     // given to messages so far, by all workers
	known   map[string]string // tokens by UID
}

func (w *worker) deliver(ctx context.Context) {
	for rest(ctx, rand.N(2*time.Second)) {
		token := fmt.Sprintf("t%06d", w.tokens.Add(1))
		began := w.history.since()
		// It is not given up with ctx, so that few are in doubt.
		err := w.server.store.Deliver(context.WithoutCancel(ctx), w.account, maildrop.Incoming{}, strings.NewReader(text(token)))
		f := done
		if err != nil {
			f = unknown
		}
		w.history.enter(w.server.id, deed{delivers, []string{token}}, began, f)
	}
}

func text(token string) string {
	return "Subject: " + token + "\r\n\r\n" + strings.Repeat("A line of "+token+".\r\n", 40)
}

func (w *worker) visit(ctx context.Context) {
	for rest(ctx, rand.N(50*time.Millisecond)) {
		w.session(context.WithoutCancel(ctx))
	}
}

// session looks, and removes some of what it has seen.
func (w *worker) session(ctx context.Context) {
	began := w.history.since()
	b, err := w.server.store.Open(ctx, w.account)
	if err != nil {
		return
	}
	ended := w.history.since()
	defer b.Close()
	seen, ok := w.read(ctx, b)
	if !ok {
		return
	}
	w.look(began, ended, seen)
	var marked []int
	var removed []string
	for i, token := range seen {
		if rand.IntN(3) > 0 {
			marked, removed = append(marked, i), append(removed, token)
		}
	}
	if len(marked) == 0 {
		return
	}
	rest(ctx, rand.N(clusterTTL/4)) // a client thinks
	began = w.history.since()
	err = b.Commit(ctx, marked)
	f := refused
	switch {
	case err == nil:
		f = done
	case errors.Is(err, maildrop.ErrUnknownOutcome):
		f = unknown
	}
	w.history.enter(w.server.id, deed{quits, removed}, began, f)
}

func (w *worker) look(began, ended int64, seen []string) {
	w.history.enter(w.server.id, deed{looks, append([]string(nil), seen...)}, began, done)
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	w.history.ops[len(w.history.ops)-1].Return = ended
}

// read gives the tokens of all messages, if it can read them: a network may fail
// a reader, who must be told. Nothing may ever be read whole that is not right.
func (w *worker) read(ctx context.Context, b maildrop.Box) (seen []string, ok bool) {
	for i, m := range b.Messages() {
		token, known := w.known[m.UID]
		if !known {
			got, err := whole(ctx, b, i)
			if err != nil {
				return nil, false
			}
			token, _, _ = strings.Cut(strings.TrimPrefix(string(got), "Subject: "), "\r\n")
			if string(got) != text(token) || int64(len(got)) != m.Size {
				w.server.find("%s: a message of %d octets, read whole, is %.100q", w.account, m.Size, got)
			}
			w.known[m.UID] = token
		}
		seen = append(seen, token)
	}
	return seen, true
}

// whole reads a message, up to three times if need be.
func whole(ctx context.Context, b maildrop.Box, i int) (got []byte, err error) {
	for range 3 {
		var r io.ReadCloser
		if r, err = b.Get(ctx, i, -1); err != nil {
			continue
		}
		got, err = io.ReadAll(r)
		r.Close()
		if err == nil {
			break
		}
	}
	return got, err
}

// last looks when all is over and every lease has run out.
func (w *worker) last(t *testing.T) {
	for limit := time.Now().Add(time.Minute); ; rest(t.Context(), clusterTTL/4) {
		began := w.history.since()
		b, err := w.server.store.Open(t.Context(), w.account)
		if err != nil {
			if time.Now().After(limit) {
				t.Fatalf("%s cannot be opened when all is over: %v", w.account, err)
			}
			continue
		}
		defer b.Close()
		ended := w.history.since()
		seen, ok := w.read(t.Context(), b)
		if !ok {
			t.Fatalf("%s cannot be read when all is over", w.account)
		}
		w.look(began, ended, seen)
		return
	}
}
