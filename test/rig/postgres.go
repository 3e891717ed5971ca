//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Postgres is Debian's PostgreSQL with one database, mail. Its users, but for
// postgres at the socket, give a password.
type Postgres struct {
	*Daemon
	Port int
	Unix string // the directory of its socket

	dir, bin string
	uid      uint32
}

// Postgres starts a server and runs a script of SQL in its database. The server
// runs as the user postgres, since it refuses to run as root.
func (s *Space) Postgres(script string) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(owner.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.Dir, "postgres-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Port: ports[0], Unix: dir, dir: dir, bin: bin, uid: uint32(uid)}
	if err := own(dir, int(uid)); err != nil {
		return nil, err
	}
	err = p.run("", "initdb", "--pgdata", p.data(), "--username", "postgres", "--encoding", "UTF8", "--locale", "C.UTF-8",
		"--auth-local", "peer", "--auth-host", "scram-sha-256", "--no-sync")
	if err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	err = p.run("", "createdb", "--host", p.Unix, "--port", strconv.Itoa(p.Port), "mail")
	if err == nil {
		err = p.Run(script)
	}
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// postgresPrograms is where Debian keeps those of the newest version.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("rig: no PostgreSQL in /usr/lib/postgresql")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start starts the server again after it has ended, on the same port.
func (p *Postgres) Start() (err error) {
	p.Daemon, err = launch{dir: p.dir, uid: p.uid, argv: []string{filepath.Join(p.bin, "postgres"), "-D", p.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(p.Port), "-c", "unix_socket_directories=" + p.Unix,
		"-c", "fsync=off", "-c", "log_statement=all"}}.start()
	return err
}

// Run runs SQL in the database as its superuser.
func (p *Postgres) Run(script string) error {
	return p.run(script, "psql", "--host", p.Unix, "--port", strconv.Itoa(p.Port), "--dbname", "mail",
		"--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1")
}

// End ends the server at once, with its connections.
func (p *Postgres) End() error {
	if err := p.Signal(syscall.SIGQUIT); err != nil { // children outlive one that is killed, and keep its memory
		return err
	}
	<-p.done
	return nil
}

// Stop asks the server to end without waiting for clients to leave.
func (p *Postgres) Stop() error {
	if err := p.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Daemon.Stop()
}

// run runs one of PostgreSQL's programs as the user postgres.
func (p *Postgres) run(input, program string, args ...string) error {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: %s: %w\n%s", program, err, out)
	}
	return nil
}
