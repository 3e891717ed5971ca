package simulation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// world is what outlives a server: its disk, and what its clients know.
type world struct {
	seed        uint64
	mutant      string
	disk        *faultfs.FS
	ledger      *maildroptest.Ledger
	certificate tls.Certificate
	pool        *x509.CertPool

	mu       sync.Mutex
	lives    int
	tokens   int
	stored   int // messages, by LMTP
	sessions int64
	findings []string
}

func (w *world) find(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.findings = append(w.findings, fmt.Sprintf("seed %d, life %d: %s", w.seed, w.lives, fmt.Sprintf(format, args...)))
}

func (w *world) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions++
}

func (w *world) nextToken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	return fmt.Sprintf("t%d", w.tokens)
}

// livesPerWorld is how often the server is started on one disk.
const livesPerWorld = 4

// play lets a world of one seed have its lives.
func play(t *testing.T, seed uint64, mutant string) *world {
	w := &world{seed: seed, mutant: mutant, disk: emptyDisk(t), ledger: &maildroptest.Ledger{}}
	w.certificate, w.pool = testkit.Certificate(t)
	random := rand.New(rand.NewPCG(seed, 0))
	for range livesPerWorld {
		w.lives++
		// Each bubble begins in the year 2000: after a life in the future, the
		// clock has been put back.
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Duration(random.IntN(20*365)) * 24 * time.Hour)
			w.live(t.Context(), random)
		})
		synctest.Test(t, func(t *testing.T) { w.judge(t.Context(), random) })
		if len(w.findings) > 0 {
			break
		}
	}
	return w
}

// emptyDisk has the two directories that an operator makes.
func emptyDisk(t *testing.T) *faultfs.FS {
	f := faultfs.New()
	for _, name := range []string{"mail", "state"} {
		d, err := fsx.MakeDirs(f.Foreign(), 0o700, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// live has people use a server until they have had enough or the power is gone.
func (w *world) live(ctx context.Context, random *rand.Rand) {
	dies := random.IntN(3) > 0
	if dies {
		w.disk.CrashAt(1 + random.IntN(2500))
	}
	l, err := w.start(random)
	if err != nil {
		if !dies {
			w.find("the server does not start: %v", err)
		}
		return
	}
	l.setDiskFaulty(random.IntN(2) == 0)
	var people sync.WaitGroup
	for _, kind := range []func(context.Context, *rand.Rand, int){
		l.sender, l.sender, l.sender, l.reader, l.reader, l.reader, l.brute, l.stranger,
	} {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		people.Go(func() { kind(ctx, own, 1+own.IntN(8)) })
	}
	people.Wait()
	l.setDiskFaulty(false)
	if !dies {
		l.serves(ctx)
	}
	l.end(!dies)
}

// disks that each end may leave, one of which the next life finds.
const disks = 4

// judge holds what is on the disk after a life against what was promised.
func (w *world) judge(ctx context.Context, random *rand.Rand) {
	choices := w.disk.Choices(disks, random.Uint64())
	next := random.IntN(len(choices))
	ledger := w.ledger
	for i, choice := range choices {
		disk, clone := w.disk.Crash(choice), ledger.Clone()
		if err := check(ctx, disk, clone); err != nil {
			w.find("after a loss of power, %v: %v", choice, err)
			return
		}
		if i == next {
			defer func() { w.disk, w.ledger = disk.Crash(faultfs.All()), clone }()
		}
	}
}

func check(ctx context.Context, disk *faultfs.FS, ledger *maildroptest.Ledger) error {
	s, err := open(disk)
	if err != nil {
		return err
	}
	if err := ledger.Check(ctx, s); err != nil {
		return err
	}
	return s.Close()
}

// mutated is the store with the fault of a mutant.
func (l *life) mutated(s maildrop.Store) maildrop.Store {
	if l.mutant == "" {
		return s
	}
	return faulty{s, l}
}

type faulty struct {
	maildrop.Store
	life *life
}

func (f faulty) Open(ctx context.Context, account string) (maildrop.Box, error) {
	b, err := f.Store.Open(ctx, account)
	if err != nil {
		return nil, err
	}
	if f.life.mutant == mutantForgetful {
		if _, err := f.life.disk.Root().Dir("mail"); err != nil {
			return nil, err
		}
	}
	return &faultyBox{Box: b, life: f.life}, nil
}

type faultyBox struct {
	maildrop.Box
	life   *life
	closed bool
	done   bool
}

func (b *faultyBox) Commit(ctx context.Context, deleted []int) error {
	b.done = true
	return b.Box.Commit(ctx, deleted)
}

func (b *faultyBox) Close() error {
	if !b.closed && !b.done {
		switch b.closed = true; b.life.mutant {
		case mutantEager:
			if n := len(b.Messages()); n > 0 {
				_ = b.Box.Commit(context.Background(), []int{n - 1})
			}
		case mutantLocked:
			return nil
		}
	}
	return b.Box.Close()
}

func knownMutant(name string) bool { return name == "" || slices.Contains(mutants(), name) }
