package listen

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is set on the listening socket holds for the accepted ones.
func TestAcceptedSocketsInheritOptions(t *testing.T) {
	t.Parallel()
	l, err := Open(t.Context(), Socket{Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct{ level, name, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 105000},
	} {
		var got int
		var failed error
		if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), o.level, o.name) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		if got != o.want {
			t.Errorf("option %d/%d is %d, want %d", o.level, o.name, got, o.want)
		}
	}
}

// 0.0.0.0 and [::] are one family each, so that both can be at one port; an
// empty host is both.
func TestFamilies(t *testing.T) {
	t.Parallel()
	open := func(address string) (net.Listener, error) {
		return Open(t.Context(), Socket{Network: "tcp", Address: address})
	}
	four, err := open("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	_, port, _ := net.SplitHostPort(four.Addr().String())
	six, err := open("[::]:" + port)
	if err != nil {
		t.Fatalf("[::] beside 0.0.0.0 at one port: %v", err)
	}
	defer six.Close()
	both, err := open(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	_, port, _ = net.SplitHostPort(both.Addr().String())
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("an empty host does not hear %s: %v", host, err)
			continue
		}
		c.Close()
	}
}

func TestTakenPortNamesItsHolder(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := Open(t.Context(), Socket{Network: "tcp", Address: address})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = Open(t.Context(), Socket{Network: "tcp", Address: l.Addr().String()})
		self, _ := os.ReadFile("/proc/self/comm")
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(string(self))) || !strings.Contains(err.Error(), "choose another port") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	open := func() (net.Listener, error) {
		return Open(t.Context(), Socket{Network: "unix", Address: path, Mode: 0o660})
	}
	l, err := open()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a crash does
	_ = l.Close()
	if l, err = open(); err != nil {
		t.Fatalf("a socket that is left over is in the way: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("got %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("a file that is no socket was touched")
	}
	if _, err := Open(t.Context(), Socket{Network: "unix", Address: path + ".no/such", Mode: 0o660}); err == nil {
		t.Error("listens in a directory that is not there")
	}
	if _, err := Open(t.Context(), Socket{Network: "unix", Address: path + "2", Group: "no-such-group"}); err == nil {
		t.Error("takes a group that is not there")
	}
	if _, err := os.Stat(path + "2"); err == nil {
		t.Error("a socket without its group was left open")
	}
}

// TestActivated runs itself as a service that systemd has passed sockets.
func TestActivated(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		passed, err := Activated(os.Getenv)
		if err != nil || len(passed) != 2 {
			t.Fatalf("%v, %v", passed, err)
		}
		for _, p := range passed {
			conn, err := p.Accept()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(p.Name))
			_ = conn.Close()
		}
		return
	}
	if passed, err := Activated(os.Getenv); len(passed) != 0 || err != nil {
		t.Fatalf("%v, %v", passed, err)
	}
	cmd := exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$; exec "$0" -test.run='^TestActivated$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=pop3:lmtp")
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []interface{ File() (*os.File, error) }{tcp, local} {
		file, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ network, address, want string }{{"tcp", tcp.Addr().String(), "pop3"}, {"unix", path, "lmtp"}} {
		conn, err := net.Dial(at.network, at.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		got := make([]byte, 4)
		if _, err := conn.Read(got); err != nil || string(got) != at.want {
			t.Errorf("%s: %q, %v", at.network, got, err)
		}
		_ = conn.Close()
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the service manager's socket was removed")
	}
}

func TestActivatedRefusesNonsense(t *testing.T) {
	t.Parallel()
	pid := func(count string) func(string) string {
		return func(key string) string {
			return map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": count}[key]
		}
	}
	for _, count := range []string{"", "x", "-1", "100000"} {
		if _, err := Activated(pid(count)); err == nil {
			t.Errorf("LISTEN_FDS=%q is taken", count)
		}
	}
}
