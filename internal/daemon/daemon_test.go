package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/config"
)

const patience = 30 * time.Second

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// site is a server under test.
type site struct {
	t        *testing.T
	out, log buffer
	signals  chan os.Signal
	done     chan error
	manager  *net.UnixConn
	at       map[string]string // addresses by protocol
}

// start runs a server until it is ready.
func start(t *testing.T, run func(context.Context, Options) error) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, signals: make(chan os.Signal, 4), done: make(chan error, 1), manager: manager}
	env := map[string]string{"NOTIFY_SOCKET": path, "USER": "alice", "HOME": "/none", "WATCHDOG_USEC": "2000000"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.done <- run(ctx, Options{Stdout: &s.out, Terminal: true, Stderr: &s.log, Getenv: func(k string) string { return env[k] }, Signals: s.signals})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = manager.Close()
	})
	s.told("READY=1")
	return s
}

var listening = regexp.MustCompile(`(pop3s?|lmtp) (?:unix:)?([^,\n]+)`)

// told waits until the service manager is told something.
func (s *site) told(what string) {
	s.t.Helper()
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		_ = s.manager.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := s.manager.Read(buf)
		if err == nil && strings.HasPrefix(string(buf[:n]), what) {
			if what == "READY=1" {
				s.at = make(map[string]string)
				for _, m := range listening.FindAllStringSubmatch(string(buf[:n]), -1) {
					s.at[m[1]] = m[2]
				}
			}
			return
		}
		select {
		case err := <-s.done:
			s.t.Fatalf("the server ended: %v\n%s", err, s.log.String())
		default:
		}
	}
	s.t.Fatalf("%s was not told\n%s", what, s.log.String())
}

// end waits for the end of Run.
func (s *site) end() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(patience):
		s.t.Fatalf("the server does not end\n%s", s.log.String())
		return nil
	}
}

// dial connects to a listener; the connection has a deadline.
func (s *site) dial(proto string) net.Conn {
	s.t.Helper()
	network := "tcp"
	if proto == "lmtp" {
		network = "unix"
	}
	conn, err := net.Dial(network, s.at[proto])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// say sends lines and reads until what comes back has the text wanted.
func (s *site) say(conn net.Conn, lines, wanted string) string {
	s.t.Helper()
	if _, err := io.WriteString(conn, lines); err != nil {
		s.t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(got), wanted) {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			s.t.Fatalf("%v after %q, want %q\n%s", err, got, wanted, s.log.String())
		}
	}
	return string(got)
}

var shown = regexp.MustCompile(`(?m)^  password  (\S+)$`)

// The first start makes all that is needed and shows the password once.
func TestZero(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "100% mine")
	z := Zero{Data: data}
	s := start(t, z.Run)
	m := shown.FindStringSubmatch(s.out.String())
	if m == nil || len(m[1]) < 26 {
		t.Fatalf("no password in\n%s", s.out.String())
	}
	login := "USER alice\r\nPASS " + m[1] + "\r\n"
	if got := s.say(s.dial("pop3"), login+"RETR 1\r\nQUIT\r\n", "+OK Goodbye"); !strings.Contains(got, "Subject: Welcome") {
		t.Errorf("got %q", got)
	}

	// STLS, by the certificate that the text names.
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(data, "tls", "cert.pem"))
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	clear := s.dial("pop3")
	s.say(clear, "", "+OK")
	s.say(clear, "STLS\r\n", "+OK")
	s.say(tls.Client(clear, &tls.Config{RootCAs: roots, ServerName: "localhost"}), login+"QUIT\r\n", "+OK Goodbye")
	s.say(tls.Client(s.dial("pop3s"), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}), login+"QUIT\r\n", "+OK Goodbye")

	// A file that is copied into new/ is mail.
	if err := os.WriteFile(filepath.Join(data, "mail", "alice", "new", "message.eml"), []byte("Subject: copied\n\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.say(s.dial("pop3"), login+"RETR 1\r\nRETR 2\r\nQUIT\r\n", "+OK Goodbye"); !strings.Contains(got, "Subject: copied") {
		t.Errorf("got %q", got)
	}
	for _, wanted := range []string{"curl --user alice:" + m[1] + " pop3://" + s.at["pop3"] + "/1", "--data '" + data + "'", s.at["lmtp"]} {
		if !strings.Contains(s.out.String(), wanted) {
			t.Errorf("no %q in\n%s", wanted, s.out.String())
		}
	}
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	private := func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && path != data && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}
	if err := filepath.WalkDir(data, private); err != nil {
		t.Error(err)
	}

	// The second start.
	again := start(t, z.Run)
	if strings.Contains(again.out.String(), m[1]) || !strings.Contains(again.out.String(), "postwain user passwd alice") {
		t.Errorf("the second start says\n%s", again.out.String())
	}
	if got := again.say(again.dial("pop3"), login+"STAT\r\nQUIT\r\n", "+OK Goodbye"); !strings.Contains(got, "+OK 2 ") {
		t.Errorf("got %q", got)
	}
	for _, log := range []string{s.log.String(), again.log.String()} {
		if strings.Contains(log, m[1]) {
			t.Errorf("the password is in the log:\n%s", log)
		}
	}
}

// Where what is printed may end in a log, the password is left in a file.
func TestZeroWithoutTerminal(t *testing.T) {
	t.Parallel()
	z := Zero{Data: t.TempDir()}
	file := filepath.Join(z.Data, "first-password")
	if err := os.WriteFile(file, []byte("stale"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(ctx context.Context, o Options) error {
		o.Terminal = false
		return z.Run(ctx, o)
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	password := strings.TrimSpace(string(text))
	s.say(s.dial("pop3"), "USER alice\r\nPASS "+password+"\r\nQUIT\r\n", "+OK Goodbye")
	if strings.Contains(s.out.String()+s.log.String(), password) {
		t.Errorf("the password is in\n%s%s", s.out.String(), s.log.String())
	}
	if hint := `curl --user "alice:$(cat ` + quote(file) + `)" pop3://` + s.at["pop3"]; !strings.Contains(s.out.String(), hint) {
		t.Errorf("no %q in\n%s", hint, s.out.String())
	}
}

// A first start that fails does not swallow the password.
func TestZeroFirstStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	z := Zero{Data: t.TempDir(), POP3S: taken.Addr().(*net.TCPAddr).Port}
	var out, log buffer
	o := Options{Stdout: &out, Stderr: &log, Getenv: func(string) string { return "" }}
	if err := z.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Fatalf("got %v", err)
	}
	if out.String() != "" {
		t.Errorf("printed %q", out.String())
	}
	z.POP3S = 0
	s := start(t, z.Run)
	m := shown.FindStringSubmatch(s.out.String())
	if m == nil {
		t.Fatalf("no password in\n%s", s.out.String())
	}
	if got := s.say(s.dial("pop3"), "USER alice\r\nPASS "+m[1]+"\r\nSTAT\r\nQUIT\r\n", "+OK Goodbye"); !strings.Contains(got, "+OK 1 ") {
		t.Errorf("got %q", got)
	}
}

// The log says who holds a maildrop that another session wants.
func TestHolderIsLogged(t *testing.T) {
	t.Parallel()
	s, login := run(t, func(*config.Config) {})
	first := s.dial("pop3")
	s.say(first, login, "+OK Maildrop")
	s.say(s.dial("pop3"), login, "-ERR [IN-USE]")
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`INFO pop3-login: not opened user=<alice> method=USER rip=127.0.0.1 .* holder=` + regexp.QuoteMeta(first.LocalAddr().String()) + ` reason=`)
	if !line.MatchString(s.log.String()) {
		t.Errorf("got\n%s", s.log.String())
	}
}

// The log names the account whose maildrop does not open, whatever command
// brought the name.
func TestNotOpenedIsLogged(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *config.Config) {
		c.Mail.Path = filepath.Join(filepath.Dir(c.Mail.Path), "%d", "%n") // alice has no domain
		line, err := os.ReadFile(c.Accounts.PasswdFile)
		if err == nil {
			err = os.WriteFile(c.Accounts.PasswdFile, append(line, "bob:{PLAIN}secret\n"...), 0o600)
		}
		err = errors.Join(err, os.Chmod(c.Accounts.PasswdFile, 0o604))
		if err != nil {
			t.Error(err)
		}
	})
	s.say(s.dial("pop3"), "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\nQUIT\r\n", "Goodbye")
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pop3-login: not opened user=<bob> method=PLAIN ", "pop3: fault user=<bob> "} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("no %q in\n%s", want, s.log.String())
		}
	}
	if !strings.Contains(s.log.String(), "everybody may read it (mode 0604)") {
		t.Errorf("no warning in\n%s", s.log.String())
	}
}

// A flood of silent connections keeps nobody out and throws nobody out.
func TestFlood(t *testing.T) {
	t.Parallel()
	s, login := run(t, func(c *config.Config) { c.Limits.Connections = 3 })
	inside := s.dial("pop3")
	s.say(inside, login, "+OK Maildrop")
	for range 20 {
		s.say(s.dial("pop3"), "", "+OK")
	}
	s.say(s.dial("pop3"), "USER alice\r\nPASS wrong\r\nQUIT\r\n", "+OK Goodbye")
	s.say(inside, "NOOP\r\n", "+OK")
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.log.String(), " end=evicted\n") || strings.Contains(s.log.String(), "use of closed") {
		t.Errorf("got\n%s", s.log.String())
	}
}

func TestFirstUser(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"alice": "alice", "a.b": "postwain", "": "postwain", "root": "postwain", "../x": "postwain", "-x": "postwain", "a b": "postwain", "x_1-y": "x_1-y",
	} {
		if got := firstUser(func(string) string { return name }); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// run starts a server with a changed configuration.
func run(t *testing.T, change func(*config.Config)) (s *site, login string) {
	t.Helper()
	z := Zero{Data: t.TempDir()}
	user, password, err := z.prepare(func(string) string { return "alice" })
	if err != nil {
		t.Fatal(err)
	}
	c := z.Config()
	change(c)
	s = start(t, func(ctx context.Context, o Options) error {
		d := &Daemon{options: o, load: func() (*config.Config, error) { return c, nil }}
		return d.run(ctx, func() error { return nil })
	})
	return s, "USER " + user + "\r\nPASS " + password + "\r\n"
}

// SIGTERM tells idle clients, waits for messages that have begun, and ends.
func TestDrain(t *testing.T) {
	t.Parallel()
	s, login := run(t, func(*config.Config) {})
	idle := s.dial("pop3")
	s.say(idle, login, "+OK Maildrop")
	mail := s.dial("lmtp")
	s.say(mail, "LHLO x.example.org\r\nMAIL FROM:<>\r\nRCPT TO:<alice@localhost>\r\nDATA\r\n", "354 ")
	s.signals <- syscall.SIGTERM
	s.told("STOPPING=1")
	s.say(idle, "", "-ERR [SYS/TEMP]")
	s.say(mail, "Subject: x\r\n\r\nx\r\n.\r\n", "250 ")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", s.at["pop3"]); err == nil {
		t.Error("the port is still open")
	}
	if _, err := os.Stat(s.at["lmtp"]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A message that does not end is waited for no longer than configured.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *config.Config) { c.Limits.StopTimeout = 50 * time.Millisecond })
	s.say(s.dial("lmtp"), "LHLO x.example.org\r\nMAIL FROM:<>\r\nRCPT TO:<alice@localhost>\r\nDATA\r\n", "354 ")
	s.signals <- syscall.SIGTERM
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
}

// The second signal ends at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *config.Config) { c.Limits.StopTimeout = time.Hour })
	s.say(s.dial("lmtp"), "LHLO x.example.org\r\nMAIL FROM:<>\r\nRCPT TO:<alice@localhost>\r\nDATA\r\n", "354 ")
	s.signals <- syscall.SIGTERM
	s.told("STOPPING=1")
	s.signals <- syscall.SIGHUP // means nothing any more
	s.signals <- syscall.SIGINT
	if err := s.end(); !errors.Is(err, errForced) {
		t.Fatalf("got %v", err)
	}
}

// A session outlives a reload, also one of a listener that is gone.
func TestReloadKeepsSessions(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var current *config.Config
	z := Zero{Data: t.TempDir()}
	_, password, err := z.prepare(func(string) string { return "alice" })
	if err != nil {
		t.Fatal(err)
	}
	current = z.Config()
	s := start(t, func(ctx context.Context, o Options) error {
		d := &Daemon{options: o, load: func() (*config.Config, error) {
			mu.Lock()
			defer mu.Unlock()
			return current, nil
		}}
		return d.run(ctx, func() error { return nil })
	})
	session := s.dial("pop3")
	s.say(session, "USER alice\r\nPASS "+password+"\r\n", "+OK Maildrop")
	old := s.at["pop3"]
	changed := z.Config()
	changed.Listen = changed.Listen[1:]
	mu.Lock()
	current = changed
	mu.Unlock()
	s.signals <- syscall.SIGHUP
	s.told("RELOADING=1\nMONOTONIC_USEC=")
	kept := s.at["pop3s"]
	s.told("READY=1")
	if s.at["pop3"] != "" || s.at["pop3s"] != kept {
		t.Errorf("listeners: %v", s.at)
	}
	if _, err := net.Dial("tcp", old); err == nil {
		t.Error("the listener that was taken away is open")
	}
	s.say(session, "NOOP\r\n", "+OK")
	s.signals <- syscall.SIGTERM
	s.say(session, "", "-ERR [SYS/TEMP]")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
}

// The service manager hears that the server lives.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(*config.Config) {})
	s.told("WATCHDOG=1")
}
