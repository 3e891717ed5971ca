//go:build linux

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

const (
	// DirectoryBase is the DN that everything in a [Slapd] is below.
	DirectoryBase = "dc=example,dc=org"
	// DirectoryService is who may search there, with [Password].
	DirectoryService = "cn=service," + DirectoryBase
)

// Slapd is Debian's OpenLDAP server. It takes no passwords over TCP without
// TLS, and who has no name sees nothing.
type Slapd struct {
	*Daemon
	LDAP, LDAPS int    // ports
	Unix        string // path of its socket

	dir string
}

var slapdConf = template.Must(template.New("slapd.conf").Parse(`
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {{.Dir}}/slapd.pid
argsfile {{.Dir}}/slapd.args
TLSCertificateFile {{.TLS.Cert}}
TLSCertificateKeyFile {{.TLS.Key}}
security simple_bind=64
database mdb
maxsize 16777216
suffix "{{.Base}}"
directory {{.Dir}}/db
index uid,mail eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{{.Service}}" read by * none
`))

const directoryRoot = `dn: ` + DirectoryBase + `
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ` + DirectoryService + `
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: service
userPassword: ` + Password + `

`

// Slapd starts a directory with the entries of an LDIF, which are below
// [DirectoryBase].
func (s *Space) Slapd(ldif string) (*Slapd, error) {
	dir, err := os.MkdirTemp(s.Dir, "slapd-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	d := &Slapd{dir: dir, LDAP: ports[0], LDAPS: ports[1], Unix: filepath.Join(dir, "ldapi")}
	var b bytes.Buffer
	err = slapdConf.Execute(&b, map[string]any{"Dir": dir, "TLS": s.TLS, "Base": DirectoryBase, "Service": DirectoryService})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.conf(), b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	add := exec.Command("/usr/sbin/slapadd", "-f", d.conf())
	add.Stdin = strings.NewReader(directoryRoot + ldif)
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("rig: slapadd: %w\n%s", err, out)
	}
	return d, d.Start()
}

func (d *Slapd) conf() string { return filepath.Join(d.dir, "slapd.conf") }

// Start starts the server again after it has ended, on the same ports. It does
// not tell when it listens, so that it is tried.
func (d *Slapd) Start() (err error) {
	urls := fmt.Sprintf("ldap://127.0.0.1:%d/ ldaps://127.0.0.1:%d/ ldapi://%s/",
		d.LDAP, d.LDAPS, strings.ReplaceAll(d.Unix, "/", "%2F"))
	if err := os.Remove(d.Unix); err != nil && !os.IsNotExist(err) {
		return err
	}
	d.Daemon, err = startSilent(d.dir, "/usr/sbin/slapd", "-d", "stats", "-f", d.conf(), "-h", urls)
	if err != nil {
		return err
	}
	late := time.Now().Add(patience)
	for _, addr := range []string{fmt.Sprintf("127.0.0.1:%d", d.LDAP), fmt.Sprintf("127.0.0.1:%d", d.LDAPS), d.Unix} {
		if err := d.awaitListener(addr, late); err != nil {
			return errors.Join(fmt.Errorf("rig: slapd did not become ready: %w\n%s", err, d.Log()), d.Kill())
		}
	}
	return nil
}

// startSilent starts a program that does not know sd_notify.
func startSilent(dir string, argv ...string) (*Daemon, error) {
	name := filepath.Base(argv[0])
	d := &Daemon{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.cmd.Wait() // the exit code says nothing that the log does not
		close(d.done)
	}()
	return d, nil
}

// awaitListener waits until the daemon takes connections at a port or, if addr
// is a path, at a Unix socket.
func (d *Daemon) awaitListener(addr string, late time.Time) error {
	network := "tcp"
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	for {
		c, err := net.Dial(network, addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(late) {
			return err
		}
		select {
		case <-d.done:
			return errors.New("it has ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
