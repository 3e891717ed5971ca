package cli_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/postwain/postwain/internal/cli"
	"github.com/postwain/postwain/internal/listen"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postwain": func() {
		os.Exit(cli.Main(cli.Env{
			Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
			Signals: func() <-chan os.Signal {
				signals := make(chan os.Signal, 4)
				signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
				return signals
			},
		}))
	}})
}

// Each script is one behaviour that a user can see.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["server"] = new(server)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":   serve,
			"signal":  signalServer,
			"stopped": stopped,
			"talk":    talk,
			"deliver": deliver,
			"occupy":  occupy,
			"issue":   issue,
		},
	})
}

const patience = 30 * time.Second

// server is a running postwain.
type server struct {
	cmd    *exec.Cmd
	notify *net.UnixConn
	exited chan error
}

var ports = regexp.MustCompile(`(pop3s?|lmtp) ((?:unix:)?[^,\n]+)`)

// serve starts postwain serve and waits until it is ready. Its addresses are in
// $pop3, $pop3s and $lmtp, its process in $pid, its output in serve.out and
// serve.err.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	socket := filepath.Join(ts.Getenv("TMPDIR"), "notify")
	_ = os.Remove(socket)
	_ = os.MkdirAll(filepath.Dir(socket), 0o700)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	ts.Check(err)
	program, err := exec.LookPath("postwain")
	ts.Check(err)
	s := ts.Value("server").(*server)
	*s = server{cmd: exec.Command(program, append([]string{"serve"}, args...)...), notify: notify, exited: make(chan error, 1)}
	s.cmd.Dir = ts.Getenv("WORK")
	for _, key := range []string{"HOME", "PATH", "TMPDIR", "USER", "XDG_STATE_HOME", "GOCOVERDIR"} {
		s.cmd.Env = append(s.cmd.Env, key+"="+ts.Getenv(key))
	}
	s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+socket)
	out, err := os.Create(ts.MkAbs("serve.out"))
	ts.Check(err)
	log, err := os.Create(ts.MkAbs("serve.err"))
	ts.Check(err)
	s.cmd.Stdout, s.cmd.Stderr = out, log
	ts.Check(s.cmd.Start())
	go func() { s.exited <- s.cmd.Wait() }()
	ts.Setenv("pid", strconv.Itoa(s.cmd.Process.Pid))
	ts.Defer(func() {
		_ = s.cmd.Process.Kill()
		for _, c := range []io.Closer{out, log, notify} {
			_ = c.Close()
		}
	})
	s.ready(ts)
}

// ready waits for READY=1.
func (s *server) ready(ts *testscript.TestScript) {
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(patience); ; {
		ts.Check(s.notify.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
		n, err := s.notify.Read(buf)
		if err == nil && bytes.HasPrefix(buf[:n], []byte("READY=1\n")) {
			for _, m := range ports.FindAllStringSubmatch(string(buf[:n]), -1) {
				ts.Setenv(m[1], strings.TrimPrefix(m[2], "unix:"))
			}
			return
		}
		select {
		case err := <-s.exited:
			ts.Fatalf("the server ended: %v\n%s", err, ts.ReadFile("serve.err"))
		default:
		}
		if err != nil && time.Now().After(deadline) {
			ts.Fatalf("the server is not ready\n%s", ts.ReadFile("serve.err"))
		}
	}
}

// signalServer sends HUP and waits until the server is ready again, or TERM.
func signalServer(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*server)
	switch args[0] {
	case "HUP":
		ts.Check(s.cmd.Process.Signal(syscall.SIGHUP))
		s.ready(ts)
	case "TERM":
		ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
	default:
		ts.Fatalf("signal HUP|TERM")
	}
}

// stopped waits for the server's end and compares its exit code.
func stopped(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*server)
	select {
	case err := <-s.exited:
		if code := s.cmd.ProcessState.ExitCode(); strconv.Itoa(code) != args[0] {
			ts.Fatalf("exit code %d (%v)\n%s", code, err, ts.ReadFile("serve.err"))
		}
	case <-time.After(patience):
		ts.Fatalf("the server does not stop")
	}
}

// talk [-tls CERT NAME] ADDRESS LINE... sends the lines at once and prints all
// answers; with ! there must be none.
func talk(ts *testscript.TestScript, neg bool, args []string) {
	var config *tls.Config
	if args[0] == "-tls" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[1])))
		config = &tls.Config{RootCAs: roots, ServerName: args[2]}
		args = args[3:]
	}
	got, err := dialog(args[0], config, args[1:])
	if neg {
		if err == nil && got != "" {
			ts.Fatalf("got %s", got)
		}
		return
	}
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), got)
	ts.Check(err)
	ts.Setenv("answer", got)
}

func dialog(address string, config *tls.Config, lines []string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if config != nil {
		conn = tls.Client(conn, config)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

// deliver SOCKET ADDRESS CODE TEXT sends a message by LMTP and compares the
// code of the answer.
func deliver(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := net.Dial("unix", args[0])
	ts.Check(err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewScanner(conn)
	say := func(want int, line string) {
		if line != "" {
			_, err := io.WriteString(conn, line+"\r\n")
			ts.Check(err)
		}
		for answers.Scan() {
			if answer := answers.Text(); len(answer) > 3 && answer[3] == ' ' {
				if answer[:3] != strconv.Itoa(want) {
					ts.Fatalf("%s: %s", line, answer)
				}
				return
			}
		}
		ts.Fatalf("%s: no answer: %v", line, answers.Err())
	}
	code, err := strconv.Atoi(args[2])
	ts.Check(err)
	say(220, "")
	say(250, "LHLO client.example.org")
	say(250, "MAIL FROM:<sender@example.org>")
	if code >= 500 {
		say(code, "RCPT TO:<"+args[1]+">")
		return
	}
	say(250, "RCPT TO:<"+args[1]+">")
	say(354, "DATA")
	say(code, "Subject: "+args[3]+"\r\n\r\n"+args[3]+"\r\n.")
}

// occupy listens on a free port, which is then in $occupied.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv("occupied", l.Addr().String())
}

// issue CERT KEY NAME makes a certificate.
func issue(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(listen.SelfSigned(listen.Pair{Cert: ts.MkAbs(args[0]), Key: ts.MkAbs(args[1])}, args[2:]))
}
