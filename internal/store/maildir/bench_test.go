package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
)

// benchStore makes a store on the disk, with n messages of alice that are older
// than rest.
func benchStore(b *testing.B, n int) (disk, string) {
	b.Helper()
	dir := b.TempDir()
	for _, name := range []string{"state", "mail/example.org/alice/new", "mail/example.org/alice/cur", "mail/example.org/alice/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	names := namer{pid: 1}
	for i := range n {
		name := fileName(names.next(time.Unix(1_700_000_000+int64(i), 0), random()), 5, 6)
		if err := os.WriteFile(filepath.Join(dir, "mail/example.org/alice/new", name), []byte("hello\n"[:5]), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	root, err := fsx.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { root.Close() })
	if n > 0 {
		<-time.NewTimer(rest).C // until the directories are at rest
	}
	return disk{root}, dir
}

func poll(b *testing.B, s *Store, want int) {
	box, err := s.Open(b.Context(), alice)
	if err != nil {
		b.Fatal(err)
	}
	if n := len(box.Messages()); n != want {
		b.Fatalf("%d messages, not %d", n, want)
	}
	if err := box.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPoll is a login to a maildrop that has not changed.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{0, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, _ := benchStore(b, n)
			s := d.mustOpen(b)
			poll(b, s, n)
			for b.Loop() {
				poll(b, s, n)
			}
		})
	}
}

// BenchmarkHuge opens a maildrop of 100,000 messages in a server that has just
// been started: without an index, with one, and once more.
func BenchmarkHuge(b *testing.B) {
	const n = 100_000
	d, dir := benchStore(b, n)
	index := filepath.Join(dir, "mail/example.org/alice", indexName)
	run := func(name string, before func(), prime bool) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				before()
				s, err := d.open()
				if err != nil {
					b.Fatal(err)
				}
				if prime {
					poll(b, s, n)
				}
				b.StartTimer()
				poll(b, s, n)
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
	run("cold", func() { os.Remove(index) }, false)
	run("index", func() {}, false)
	run("again", func() {}, true)
}

// BenchmarkDeliver is 16 deliveries at a time, to one maildrop and to many.
func BenchmarkDeliver(b *testing.B) {
	text := "Subject: bench\r\n\r\n" + strings.Repeat("A line of some sixty-odd octets, as they are in most messages.\r\n", 60)
	for _, users := range []int{1, 100} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			d, _ := benchStore(b, 0)
			s := d.mustOpen(b)
			var n atomic.Int64
			b.SetParallelism(8) // times two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					to := fmt.Sprintf("user%d@example.org", n.Add(1)%int64(users))
					if err := s.Deliver(b.Context(), to, maildrop.Incoming{}, strings.NewReader(text)); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkInbox is 64 deliveries at a time, and beside them what the disk can
// do: as many files, each written, synced and moved, and one sync at the end.
func BenchmarkInbox(b *testing.B) {
	text := strings.Repeat("A line of some sixty-odd octets, as they are in most messages..\n", 64)
	parallel := func(b *testing.B, do func(n int64) error) {
		var n atomic.Int64
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := do(n.Add(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("inbox", func(b *testing.B) {
		d, _ := benchStore(b, 0)
		i := d.mustInbox(b)
		parallel(b, func(n int64) error {
			return i.Deliver(b.Context(), "", maildrop.Incoming{Key: fmt.Sprint(n)}, strings.NewReader(text))
		})
	})
	b.Run("files", func(b *testing.B) {
		_, dir := benchStore(b, 0)
		home := filepath.Join(dir, "mail/example.org/alice")
		parallel(b, func(n int64) error {
			tmp, name := filepath.Join(home, "tmp", fmt.Sprint(n)), filepath.Join(home, "new", fmt.Sprint(n))
			f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err == nil {
				_, err = f.WriteString(text)
			}
			if err == nil {
				err = f.Sync()
			}
			return errors.Join(err, f.Close(), os.Rename(tmp, name))
		})
		f, err := os.Open(filepath.Join(home, "new"))
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkQuit is a session that removes one message.
func BenchmarkQuit(b *testing.B) {
	d, _ := benchStore(b, 1000)
	s := d.mustOpen(b)
	n := 0
	for b.Loop() {
		box, err := s.Open(b.Context(), alice)
		if err != nil {
			b.Fatal(err)
		}
		if len(box.Messages()) > 0 {
			err = box.Commit(b.Context(), []int{0})
		}
		if err != nil {
			b.Fatal(err)
		}
		box.Close()
		n++
	}
}
