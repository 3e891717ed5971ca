//go:build linux

package rig

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// Realm is the realm of a [KDC].
const Realm = "EXAMPLE.ORG"

// KDC is Debian's krb5kdc, with a realm of its own on a port of loopback.
type KDC struct {
	*Daemon
	Port int // of TCP and UDP

	dir string
}

var kdcConf = template.Must(template.New("krb5").Parse(`{{define "krb5.conf"}}
[libdefaults]
	default_realm = {{.Realm}}
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
[realms]
	{{.Realm}} = {
		kdc = 127.0.0.1:{{.Port}}
	}
[domain_realm]
	{{.Host}} = {{.Realm}}
{{end}}{{define "kdc.conf"}}
[kdcdefaults]
	kdc_listen = 127.0.0.1:{{.Port}}
	kdc_tcp_listen = 127.0.0.1:{{.Port}}
[realms]
	{{.Realm}} = {
		database_name = {{.Dir}}/principal
		key_stash_file = {{.Dir}}/stash
		acl_file = {{.Dir}}/acl
		max_life = 1h
		supported_enctypes = aes256-cts:normal aes128-cts:normal aes256-sha2:normal aes128-sha2:normal
	}
[logging]
	kdc = STDERR
{{end}}`))

// KDC starts a KDC with an empty realm. Its users have [Password].
func (s *Space) KDC() (*KDC, error) {
	dir, err := os.MkdirTemp(s.Dir, "kdc-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	k := &KDC{dir: dir, Port: ports[0]}
	data := map[string]any{"Realm": Realm, "Port": k.Port, "Host": Host, "Dir": dir}
	for _, name := range []string{"krb5.conf", "kdc.conf"} {
		var b bytes.Buffer
		if err := kdcConf.ExecuteTemplate(&b, name, data); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			return nil, err
		}
	}
	if err := k.run("kdb5_util", "create", "-s", "-r", Realm, "-P", Password); err != nil {
		return nil, err
	}
	k.Daemon, err = k.start()
	return k, err
}

// Config is the path of the krb5.conf for clients and servers.
func (k *KDC) Config() string { return filepath.Join(k.dir, "krb5.conf") }

// Environment makes a program use the realm, and the credential cache in a
// file.
func (k *KDC) Environment(cache string) []string {
	return []string{"KRB5_CONFIG=" + k.Config(), "KRB5CCNAME=FILE:" + cache}
}

// AddUser adds a user with [Password], who must prove to know it, and one key
// of that encryption type.
func (k *KDC) AddUser(name, encryption string) error {
	return k.admin("addprinc +requires_preauth -e " + encryption + ":normal -pw " + Password + " " + name)
}

// Service makes new random keys for a service, such as pop/localhost, of one
// encryption type, in which its tickets have their keys too, and writes them to
// a keytab in place of what was there. It returns the keytab's path.
func (k *KDC) Service(name, encryption string) (keytab string, err error) {
	keytab = filepath.Join(k.dir, strings.ReplaceAll(name, "/", "-")+".keytab")
	if err := os.Remove(keytab); err != nil { // it is a new one
		if !os.IsNotExist(err) {
			return "", err
		}
		if err := k.admin("addprinc -randkey " + name); err != nil {
			return "", err
		}
	}
	if err := k.admin("setstr " + name + " session_enctypes " + encryption); err != nil {
		return "", err
	}
	return keytab, k.admin("ktadd -k " + keytab + " -e " + encryption + ":normal " + name)
}

// Init gets a user's first ticket, with [Password], into a credential cache.
func (k *KDC) Init(user, cache string) error {
	cmd := exec.Command("kinit", "-c", "FILE:"+cache, user)
	cmd.Env = append(os.Environ(), k.Environment(cache)...)
	cmd.Stdin = strings.NewReader(Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: kinit: %w\n%s", err, out)
	}
	return nil
}

func (k *KDC) admin(query string) error { return k.run("kadmin.local", "-r", Realm, "-q", query) }

func (k *KDC) environment() []string {
	return append(os.Environ(), "KRB5_CONFIG="+k.Config(), "KRB5_KDC_PROFILE="+filepath.Join(k.dir, "kdc.conf"))
}

// run runs one of the KDC's tools. kadmin.local reports no failures.
func (k *KDC) run(program string, args ...string) error {
	cmd := exec.Command("/usr/sbin/"+program, args...)
	cmd.Env = k.environment()
	out, err := cmd.CombinedOutput()
	if err == nil && program == "kadmin.local" && bytes.Contains(out, []byte("while ")) {
		err = fmt.Errorf("%s failed", args[len(args)-1])
	}
	if err != nil {
		return fmt.Errorf("rig: %s: %w\n%s", program, err, out)
	}
	return nil
}

// start starts krb5kdc, which does not know sd_notify: it says "starting..."
// when it listens.
func (k *KDC) start() (*Daemon, error) {
	d := &Daemon{name: "krb5kdc", log: filepath.Join(k.dir, "krb5kdc.log"), done: make(chan struct{})}
	out, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	d.cmd = exec.Command("/usr/sbin/krb5kdc", "-n", "-r", Realm)
	d.cmd.Env, d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = k.environment(), k.dir, write, write
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.cmd.Wait() // the exit code says nothing that the log does not
		close(d.done)
	}()
	ready := make(chan struct{})
	go func() {
		defer out.Close()
		defer read.Close()
		for sc, told := bufio.NewScanner(read), false; sc.Scan(); {
			fmt.Fprintln(out, sc.Text())
			if !told && strings.Contains(sc.Text(), "starting...") {
				told = true
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
		return d, nil
	case <-d.done:
	case <-time.After(patience):
	}
	return nil, fmt.Errorf("rig: krb5kdc did not become ready: %w\n%s", d.Kill(), d.Log())
}

var gssapiConf = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = /dev/stderr
protocols = pop3
listen = 127.0.0.1
mail_location = maildir:{{.Space.Mail}}/{{.Domain}}/%n
first_valid_uid = {{.MailID}}
ssl = yes
ssl_cert = <{{.Space.TLS.Cert}}
ssl_key = <{{.Space.TLS.Key}}
auth_mechanisms = gssapi
auth_failure_delay = 0
auth_gssapi_hostname = {{.Host}}
auth_krb5_keytab = {{.Keytab}}
import_environment = $import_environment KRB5_CONFIG={{.Config}}
passdb {
  driver = static
  args = password=none
}
userdb {
  driver = static
  args = uid={{.MailID}} gid={{.MailID}} home={{.Dir}} allow_all_users=yes
}
service auth {
  user = root
}
service pop3-login {
  inet_listener pop3 {
    port = {{.POP3}}
  }
  inet_listener pop3s {
    port = 0
  }
}
`))

// Dovecot starts Debian's Dovecot as a server of the realm: it takes tickets
// for the service whose keytab it is given, by GSSAPI, and no passwords.
func (k *KDC) Dovecot(s *Space, keytab string) (*Server, error) {
	dir, err := os.MkdirTemp(s.Dir, "dovecot-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	v := &Server{POP3: ports[0]}
	var b bytes.Buffer
	err = gssapiConf.Execute(&b, map[string]any{
		"Dir": dir, "Space": s, "MailID": MailID, "Domain": Domain, "Host": Host, "POP3": v.POP3, "Keytab": keytab, "Config": k.Config(),
	})
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, b.Bytes(), 0o644); err != nil {
		return nil, err
	}
	v.Daemon, err = launch{dir: dir, argv: []string{"/usr/sbin/dovecot", "-F", "-c", conf}}.start()
	return v, err
}
