package fetch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/pop3client"
)

// Ten thousand messages take some dozens of syncs.
func TestSyncsAreShared(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(10_000), exactly()
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 10_000 || m.left() != 0 {
		t.Fatalf("%+v", r)
	}
	syncs := 0
	for _, op := range f.Ops() {
		if op.Kind == faultfs.SyncData || op.Kind == faultfs.Sync {
			syncs++
		}
	}
	if syncs > 100 {
		t.Errorf("%d syncs", syncs)
	}
	if to.highest > to.parallel {
		t.Errorf("%d at a time", to.highest)
	}
	if m.logins > 2 {
		t.Errorf("%d sessions", m.logins)
	}
}

// counting is a destination that keeps nothing, and looks at the memory in use.
type counting struct {
	octets  int64
	highest uint64
}

func (c *counting) Parallel() int { return 1 }
func (c *counting) Exact() bool   { return true }
func (c *counting) Close() error  { return nil }
func (c *counting) Sync() error   { return nil }

func (c *counting) Put(_ context.Context, _ sink.Message, r io.Reader) error {
	for {
		n, err := io.CopyN(io.Discard, r, 64<<20)
		c.octets += n
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.highest = max(c.highest, m.HeapAlloc)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stream serves one message of so many octets.
func stream(conn net.Conn, octets int64) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	line := strings.Repeat("x", 1022) + "\r\n"
	part := []byte(strings.Repeat(line, 32))
	io.WriteString(conn, "+OK\r\n")
	for {
		command, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(command), " "); verb {
		case "CAPA":
			io.WriteString(conn, "+OK\r\nUIDL\r\nPIPELINING\r\n.\r\n")
		case "UIDL":
			io.WriteString(conn, "+OK\r\n1 a-very-long-message\r\n.\r\n")
		case "LIST":
			fmt.Fprintf(conn, "+OK\r\n1 %d\r\n.\r\n", octets)
		case "RETR":
			io.WriteString(conn, "+OK\r\n")
			for n := octets; n > 0; n -= int64(len(part)) {
				if _, err := conn.Write(part[:min(n, int64(len(part)))]); err != nil {
					return
				}
			}
			io.WriteString(conn, ".\r\n")
		default:
			io.WriteString(conn, "+OK\r\n")
		}
	}
}

// A message of a gigabyte takes no more memory than one of a line.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() || race {
		t.Skip("a gigabyte")
	}
	const octets = 1 << 30
	to := &counting{}
	a := newModel(0).account(exactly(), Policy{Keep: true})
	a.Sink = to
	a.Dial = func(ctx context.Context) (*pop3client.Client, error) {
		client, server := testkit.Pipe()
		go stream(server, octets)
		return pop3client.New(ctx, client, pop3client.Options{})
	}
	if r := once(faultfs.New().Root(), a); r.Err != nil || r.Octets != octets || to.octets != octets {
		t.Fatalf("%+v", r)
	}
	if mib := to.highest >> 20; mib > 64 {
		t.Errorf("%d MiB of memory", mib)
	}
}

// BenchmarkFetch fetches 10,000 messages of 4 KB into memory with a journal on
// the disk.
func BenchmarkFetch(b *testing.B) {
	for range b.N {
		b.StopTimer()
		dir, err := fsx.Open(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		m := newModel(10_000)
		for i := range m.letters {
			m.letters[i].text = fmt.Sprint("Subject: ", i, "\r\n\r\n", strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
		}
		to := exactly()
		b.StartTimer()
		if r := once(dir, m.account(to, Policy{})); r.Err != nil || r.Fetched != 10_000 {
			b.Fatalf("%+v", r)
		}
		b.StopTimer()
		dir.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "messages/s")
}
