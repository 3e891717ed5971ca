//go:build interop

package interop

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

const (
	guessers   = 1000
	guessFor   = 5 * time.Second // of each siege
	guessPause = 300 * time.Millisecond
	owners     = 8
	strangers  = 256

	// rightLogin is how long the 99th percentile of right logins, and of STAT,
	// may take on two cores.
	rightLogin = time.Second

	// guessedMemory bounds the process at its peak. Two processors run two
	// hashes at once (auth.Options.Parallel), of 19 MiB each
	// (passwdfile.newArgon). The collector lets the heap grow to twice of what
	// is in use (GOGC=100), and hashes that begin while it works come on top:
	// once more for each processor. The rest is the program itself, and 32 KiB
	// for each connection, twice again.
	guessedMemory = (2*2+2)*19<<20 + 24<<20 + 2*guessers*32<<10
	// restedMemory is what may be left of it when everybody has gone.
	restedMemory = 64 << 20
)

// siege is a thousand connections that guess passwords, as fast as the server
// answers but for the way to it, and honest clients among them. All are of
// other networks: they come by a proxy.
type siege struct {
	t       *testing.T
	port    int
	guesser func(i int) netip.Addr

	mu    sync.Mutex
	took  map[string][]time.Duration
	wrong map[string]int // answers to guesses

	connected, most int
}

// TestGuessing: while a thousand connections guess passwords that are hashed by
// Argon2id, whoever has the right one signs in, who is in goes on, and memory
// has its bound. Those who have never signed in before are there only where
// the guessers are of few networks: else nothing tells them apart.
func TestGuessing(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2") // of the server, on any machine
	for _, tt := range []struct {
		name    string
		guesser func(i int) netip.Addr
		honest  []string
	}{
		{"three networks", ofThreeNetworks, []string{"poll", "owner", "stranger", "STAT"}},
		{"a thousand networks", ofManyNetworks, []string{"poll", "owner", "STAT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			space := newSpace(t)
			accounts := []string{"poll", "reader"}
			for i := range owners {
				accounts = append(accounts, ownerAccount(i))
			}
			for i := range strangers {
				accounts = append(accounts, strangerAccount(i))
			}
			addLines(t, space.Passwd(), accounts, storedPassword(t, "ARGON2ID"))
			postwain, port := startBehindProxy(t, space, "text")
			s := &siege{t: t, port: port, guesser: tt.guesser, took: map[string][]time.Duration{}, wrong: map[string]int{}}
			sockets := socketsOf(t, postwain.PID())
			before := cpuOf(t, postwain.Daemon)
			s.run(tt.honest)
			t.Logf("the server used %v of 2 processors", (cpuOf(t, postwain.Daemon) - before).Round(10*time.Millisecond))
			s.judge(tt.honest)
			s.judgeMemory(postwain.PID(), sockets)
			if t.Failed() {
				t.Log(postwain.Log())
			}
		})
	}
}

func ofThreeNetworks(i int) netip.Addr {
	net := [][4]byte{{198, 51, 100}, {203, 0, 113}, {192, 0, 2}}[i%3]
	net[3] = byte(1 + i/3%254)
	return netip.AddrFrom4(net)
}

func ofManyNetworks(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}) }

func ownerAccount(i int) string    { return fmt.Sprint("owner-", i) }
func strangerAccount(i int) string { return fmt.Sprint("stranger-", i) }

// Honest clients are in 198.18.0.0/15, an owner in a network of its own.
func ownerAt(i, host int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i), byte(host)}) }
func strangerAt(host int) netip.Addr { return netip.AddrFrom4([4]byte{198, 19, byte(host), 1}) }
func pollerAt() netip.Addr           { return netip.MustParseAddr("198.18.200.1") }
func (s *siege) note(what string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[what] = append(s.took[what], d)
}

// connect counts guessers.
func (s *siege) connect(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected += n
	s.most = max(s.most, s.connected)
}

// run lets the honest sign in once, strangers excepted, then all at once.
func (s *siege) run(honest []string) {
	setup, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for i := range owners {
		s.signIn(setup, "", ownerAt(i, 1), ownerAccount(i))
	}
	s.signIn(setup, "", pollerAt(), "poll")
	reader := s.enter(setup, pollerAt(), "reader")
	if s.t.Failed() {
		return
	}
	defer reader.Close()

	ctx, stop := context.WithTimeout(s.t.Context(), guessFor)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for i := range guessers {
		all.Go(func() { s.guess(ctx, i) })
	}
	do := map[string]func(n int){
		"poll": func(int) { s.signIn(ctx, "poll", pollerAt(), "poll") },
		// From another address at home each time: the server cannot remember it.
		"owner":    func(n int) { s.signIn(ctx, "owner", ownerAt(n%owners, 2+n/owners), ownerAccount(n%owners)) },
		"stranger": func(n int) { s.signIn(ctx, "stranger", strangerAt(n), strangerAccount(n%strangers)) },
		"STAT":     func(int) { s.stat(ctx, reader) },
	}
	for _, what := range honest {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				do[what](n)
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
}

// pause is the way between a client and the server.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// over reports whether the siege is over; connections may know it first.
func over(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Now().After(end)
}

// guess tries passwords, of the owners, who are many, and of nobody.
func (s *siege) guess(ctx context.Context, i int) {
	name := ownerAccount(i % owners)
	if i%2 == 0 {
		name = fmt.Sprint("nobody-", i)
	}
	for n := 0; ctx.Err() == nil; {
		c, err := visit(ctx, s.port, s.guesser(i))
		if err == nil {
			s.connect(1)
		}
		for ; err == nil; n++ {
			var answer string
			if answer, err = c.ask(plain(rig.Account(name), fmt.Sprint("guess ", i, " ", n))); err == nil {
				s.mu.Lock()
				s.wrong[strings.TrimSpace(answer)]++
				s.mu.Unlock()
				pause(ctx, guessPause)
			}
		}
		if c != nil {
			s.connect(-1)
			c.Close()
		}
		pause(ctx, guessPause)
	}
}

// enter signs in and stays. Nil: it has failed, or the siege is over.
func (s *siege) enter(ctx context.Context, from netip.Addr, account string) *visitor {
	c, err := visit(ctx, s.port, from)
	if err == nil {
		var answer string
		if answer, err = c.ask(plain(rig.Account(account), rig.Password)); err == nil && strings.HasPrefix(answer, "+OK") {
			return c
		}
		c.Close()
		err = errors.Join(err, fmt.Errorf("answer %q", answer))
	}
	if !over(ctx) {
		s.t.Errorf("%s from %v: %v", account, from, err)
	}
	return nil
}

// signIn notes how long it takes from the first octet of a connection until
// the client is in.
func (s *siege) signIn(ctx context.Context, what string, from netip.Addr, account string) {
	began := time.Now()
	c := s.enter(ctx, from, account)
	if c == nil {
		return
	}
	defer c.Close()
	s.note(what, time.Since(began))
	if answer, err := c.ask("QUIT"); !over(ctx) && (err != nil || !strings.HasPrefix(answer, "+OK")) {
		s.t.Errorf("QUIT of %s: %q, %v", account, answer, err)
	}
}

func (s *siege) stat(ctx context.Context, c *visitor) {
	began := time.Now()
	answer, err := c.ask("STAT")
	if err != nil || !strings.HasPrefix(answer, "+OK") {
		if !over(ctx) {
			s.t.Errorf("STAT: %q, %v", answer, err)
		}
		return
	}
	s.note("STAT", time.Since(began))
}

// judge prints the figures of all clients. Of less than a hundred times the
// 99th percentile is the worst.
func (s *siege) judge(honest []string) {
	for _, what := range honest {
		all := slices.Sorted(slices.Values(s.took[what]))
		if len(all) == 0 {
			s.t.Errorf("%s: never", what)
			continue
		}
		p50, p99 := all[len(all)/2], all[len(all)*99/100]
		s.t.Logf("%-8s %4d times, p50 %v, p99 %v, worst %v", what, len(all),
			p50.Round(time.Millisecond), p99.Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
		if p99 > rightLogin {
			s.t.Errorf("%s: p99 is %v, more than %v", what, p99, rightLogin)
		}
	}
	s.t.Logf("guessers: %d at once; answers: %v", s.most, s.wrong)
	if s.most < guessers {
		s.t.Errorf("only %d guessers at once", s.most)
	}
	for answer := range s.wrong {
		if !strings.HasPrefix(answer, "-ERR [AUTH]") && !strings.HasPrefix(answer, "-ERR [SYS/TEMP]") {
			s.t.Errorf("a wrong password got %q", answer)
		}
	}
}

// judgeMemory checks the peak, waits until the connections are gone, and then
// for the memory.
func (s *siege) judgeMemory(pid, sockets int) {
	peak := memoryOf(s.t, pid, "VmHWM")
	if peak > guessedMemory {
		s.t.Errorf("memory was %d MiB, more than %d MiB", peak>>20, guessedMemory>>20)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 25*time.Second)
	defer cancel()
	began := time.Now()
	for socketsOf(s.t, pid) > sockets && ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
	}
	gone := time.Since(began)
	for memoryOf(s.t, pid, "VmRSS") > restedMemory && ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
	}
	left, rest := socketsOf(s.t, pid)-sockets, memoryOf(s.t, pid, "VmRSS")
	s.t.Logf("memory: peak %d MiB of %d MiB; connections gone after %v; %d MiB after %v",
		peak>>20, guessedMemory>>20, gone.Round(time.Millisecond), rest>>20, time.Since(began).Round(time.Millisecond))
	if left > 0 {
		s.t.Errorf("%d connections are left", left)
	}
	if rest > restedMemory {
		s.t.Errorf("%d MiB are left, more than %d MiB", rest>>20, restedMemory>>20)
	}
}

func memoryOf(t *testing.T, pid int, field string) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no %s of process %d", field, pid)
	return 0
}

func cpuOf(t *testing.T, d *rig.Daemon) time.Duration {
	t.Helper()
	used, err := d.CPU()
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// socketsOf counts the sockets that a process has open.
func socketsOf(t *testing.T, pid int) (n int) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func plain(name, password string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password))
}

// visitor is a connection whose client is somewhere else.
type visitor struct {
	net.Conn
	in *bufio.Reader
}

// visit connects and reads the greeting. The connection ends with ctx.
func visit(ctx context.Context, port int, from netip.Addr) (*visitor, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	c := &visitor{conn, bufio.NewReader(conn)}
	deadline, _ := ctx.Deadline()
	_, own, _ := strings.Cut(conn.LocalAddr().String(), ":")
	err = errors.Join(conn.SetDeadline(deadline), c.greeted(from, own))
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *visitor) greeted(from netip.Addr, port string) error {
	if _, err := fmt.Fprintf(c, "PROXY TCP4 %s 127.0.0.1 %s 110\r\n", from, port); err != nil {
		return err
	}
	greeting, err := c.in.ReadString('\n')
	if err == nil && !strings.HasPrefix(greeting, "+OK") {
		err = fmt.Errorf("greeting %q", greeting)
	}
	return err
}

// ask sends a command and reads the first line of its answer.
func (c *visitor) ask(command string) (string, error) {
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	return c.in.ReadString('\n')
}
