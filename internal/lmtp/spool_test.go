package lmtp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/postwain/postwain/maildrop"
)

// sizes around where a message leaves memory.
var sizes = []int{0, 2, 100, memorySize - 2, memorySize, memorySize + 2, 3*memorySize - 2, 3 * memorySize, 3*memorySize + 2, 1 << 20}

func content(size int) string {
	const line = "The quick brown fox jumps over the lazy dog.\r\n"
	s := strings.Repeat(line, size/len(line)+1)[:max(size-2, 0)]
	return (strings.TrimRight(s, "\r\n") + strings.Repeat("x", size))[:max(size-2, 0)] + "\r\n"[:min(size, 2)]
}

// TestLarge delivers messages of many sizes to several recipients, by DATA and
// by BDAT, through files of the system.
func TestLarge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, size := range sizes {
		for _, by := range []string{"DATA", "BDAT"} {
			t.Run(fmt.Sprintf("%s %d", by, size), func(t *testing.T) {
				t.Parallel()
				d := &drops{}
				opt := options(d)
				opt.MaxMessage = 1 << 20
				opt.Spool = SpoolIn(dir)
				srv := NewServer(opt)
				c := dial(t, srv)
				c.hello()
				c.envelope("bob", "carol@example.net", "postmaster")
				want := content(size)
				if by == "DATA" {
					c.data(want)
				} else {
					half := size / 3
					c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", half, want[:half], size-half, want[half:]))
					c.expect("250 2.0.0 Chunk received")
				}
				c.expect("250 2.0.0 Del*", "250 2.0.0 Del*", "250 2.0.0 Del*")
				c.quit()
				for _, account := range []string{"bob", "carol@example.net", "postmaster"} {
					if got := d.of(account); len(got) != 1 || got[0] != want {
						t.Errorf("%s: %d messages, not what was sent", account, len(got))
					}
				}
				if used := srv.room.used.Load(); used != 0 {
					t.Errorf("%d octets of room still used", used)
				}
			})
		}
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the spool: %v %v", left, err)
		}
	})
}

// TestSpoolFaults lets every step of spooling fail.
func TestSpoolFaults(t *testing.T) {
	t.Parallel()
	eio := fmt.Errorf("disk: %w", syscall.EIO)
	for _, tt := range []struct {
		name  string
		spool *fakeSpool
		room  int64
		want  string
	}{
		{"open", &fakeSpool{openErr: eio}, 0, "451 4.3.0 *"},
		{"open, full", &fakeSpool{openErr: &os.PathError{Op: "open", Err: syscall.ENOSPC}}, 0, "452 4.3.1 *"},
		{"open, no more room", &fakeSpool{openErr: fmt.Errorf("spool: %w", maildrop.ErrFull)}, 0, "452 4.3.1 *"},
		{"first write", &fakeSpool{writeErr: eio}, 0, "451 4.3.0 *"},
		{"first write, full", &fakeSpool{writeErr: syscall.ENOSPC}, 0, "452 4.3.1 *"},
		{"first write, quota", &fakeSpool{writeErr: syscall.EDQUOT}, 0, "452 4.3.1 *"},
		{"second write, full", &fakeSpool{writeErr: syscall.ENOSPC, writes: 1}, 0, "452 4.3.1 *"},
		{"last write, full", &fakeSpool{writeErr: syscall.ENOSPC, writes: 3}, 0, "452 4.3.1 *"},
		{"read", &fakeSpool{readErr: eio}, 0, "451 4.3.0 *"},
		{"file cut short", &fakeSpool{readErr: io.EOF}, 0, "451 4.3.0 *"},
		{"server's limit", &fakeSpool{}, 2 * memorySize, "452 4.3.1 *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &drops{}
				opt := options(d)
				opt.MaxMessage, opt.MaxSpool, opt.Spool = 1<<20, tt.room, tt.spool.open
				srv := NewServer(opt)
				c := dial(t, srv)
				c.hello()
				c.envelope("bob", "postmaster")
				c.data(content(3*memorySize + 100))
				c.expect(tt.want, tt.want)
				if d.count() != 0 {
					t.Error("delivered")
				}
				// The session goes on, and what needs no file is taken.
				c.envelope("bob")
				c.data("small\r\n")
				c.expect("250 2.0.0 *")
				c.quit()
				if left, used := tt.spool.left.Load(), srv.room.used.Load(); left != 0 || used != 0 {
					t.Errorf("%d files and %d octets left", left, used)
				}
			})
		})
	}
}

// TestSpoolReleased ends sessions in the middle of a spooled message.
func TestSpoolReleased(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *client, srv *Server){
		"RSET":   func(c *client, _ *Server) { c.send("RSET\r\n") },
		"LHLO":   func(c *client, _ *Server) { c.send("LHLO x\r\n") },
		"QUIT":   func(c *client, _ *Server) { c.send("QUIT\r\n") },
		"cut":    func(c *client, _ *Server) { c.conn.Close() },
		"Close":  func(_ *client, srv *Server) { srv.Close() },
		"in one": func(c *client, _ *Server) { c.send("BDAT 2 LAST\r\n\r"); c.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, spool := &drops{}, &fakeSpool{}
				opt := options(d)
				opt.MaxMessage, opt.Spool = 1<<20, spool.open
				srv := NewServer(opt)
				c := dial(t, srv)
				c.hello()
				c.envelope("bob")
				c.send(fmt.Sprintf("BDAT %d\r\n%s", 3*memorySize, content(3*memorySize)))
				c.expect("250 2.0.0 Chunk received")
				if spool.left.Load() != 1 {
					t.Fatal("not in a file")
				}
				end(c, srv)
				synctest.Wait()
				if left, used := spool.left.Load(), srv.room.used.Load(); left != 0 || used != 0 || d.count() != 0 {
					t.Errorf("%d files and %d octets left, %d delivered", left, used, d.count())
				}
			})
		})
	}
}

// TestCopyReader holds the reader to the rules of readers.
func TestCopyReader(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, memorySize + 10} {
		opt := Options{}.filled()
		sp := newSpool(opt, new(room))
		if err := sp.fill(t.Context(), iotest.HalfReader(strings.NewReader(content(size)))); err != nil {
			t.Fatal(err)
		}
		sp.seal(t.Context())
		for range 2 {
			if err := iotest.TestReader(onlyReader{sp.reader([]byte("head\r\n"))}, []byte("head\r\n"+content(size))); err != nil {
				t.Errorf("%d octets: %v", size, err)
			}
		}
		sp.free()
	}
	want := errors.New("cut")
	sp := newSpool(Options{}.filled(), new(room))
	if err := sp.fill(t.Context(), iotest.ErrReader(want)); err != want {
		t.Errorf("fill: %v", err)
	}
	sp.free()
}

type onlyReader struct{ io.Reader }
