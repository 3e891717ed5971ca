//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles the program into the directory and gives its path. It is to
// be called from inside the module.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "postwain")
	out, err := exec.Command("go", "build", "-o", path, "github.com/postwain/postwain/cmd/postwain").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rig: go build: %w\n%s", err, out)
	}
	return path, nil
}

// Postwain is a configured Postwain, running or not. A second Start finds the
// state of the first and listens on the same ports.
type Postwain struct {
	Server
	dir    string
	binary string
}

// Postwain writes the configuration for the mail of the space and starts the
// program. The text more is added to the configuration.
func (s *Space) Postwain(binary, more string) (*Postwain, error) {
	dir, err := os.MkdirTemp(s.Dir, "postwain-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(dir, MailID, MailID), os.Chmod(dir, 0o755)); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	p := &Postwain{dir: dir, binary: binary}
	p.Server = Server{POP3: ports[0], POP3S: ports[1], LMTP: ports[2], Unix: filepath.Join(dir, "lmtp.sock")}
	conf := fmt.Sprintf(`hostname = %q

[mail]
store = "maildir"
path = %q

[accounts]
passwd_file = %q

[tls]
cert = %q
key = %q

[[listen]]
proto = "pop3"
addr = "127.0.0.1:%d"

[[listen]]
proto = "pop3s"
addr = "127.0.0.1:%d"

[[listen]]
proto = "lmtp"
addr = "127.0.0.1:%d"

[[listen]]
proto = "lmtp"
addr = %q
mode = "0666"

%s
`, Host, s.Mail+"/%d/%n", s.Passwd(), s.TLS.Cert, s.TLS.Key, p.POP3, p.POP3S, p.LMTP, "unix:"+p.Unix, more)
	if err := os.WriteFile(p.config(), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	return p, p.Start()
}

func (p *Postwain) config() string { return filepath.Join(p.dir, "postwain.toml") }

// Data is where the program keeps its state.
func (p *Postwain) Data() string { return filepath.Join(p.dir, "data") }

// Start starts the program, after Stop or Kill once more.
func (p *Postwain) Start() error { return p.StartUnder() }

// StartUnder is Start by another program, which is given the command line as
// its last arguments and has to become it.
func (p *Postwain) StartUnder(argv ...string) error {
	var err error
	p.Daemon, err = launch{
		dir:  p.dir,
		argv: append(argv, p.binary, "serve", "--config", p.config(), "--data", p.Data()),
		uid:  MailID,
	}.start()
	return err
}
