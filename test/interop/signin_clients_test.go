//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/postwain/postwain/internal/auth/kerberos"
	"github.com/postwain/postwain/internal/kpop"
	"github.com/postwain/postwain/internal/krb"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/test/rig"
)

// credential is what somebody can show: some of these.
type credential struct {
	user     string // as it is typed
	password string
	token    string // of OAuth
	cert     string // PEM file, the key behind it
	cache    string // with Kerberos tickets
}

// signInJob is one run of a client: to sign in, and to fetch the only message.
type signInJob struct {
	way string
	credential
	stand *stand
	dir   string // its own
}

func (j signInJob) pop3s() string     { return fmt.Sprint(j.stand.server.POP3S) }
func (j signInJob) authority() string { return j.stand.space.TLS.Authority }

// path gives a file's name in the directory of the job.
func (j signInJob) path(name string) string { return filepath.Join(j.dir, name) }

// environment is that of programs that use Kerberos.
func (j signInJob) environment() []string {
	if j.stand.kdc == nil {
		return nil
	}
	return j.stand.kdc.Environment(j.cache)
}

// signInRunner is how one of signInClients is run, and by what it is known that
// it was refused.
type signInRunner struct {
	fetch   func(context.Context, signInJob) ([][]byte, error)
	refused func(error) bool
}

func signInRunners() map[string]signInRunner {
	return map[string]signInRunner{
		"postwain":  {signInPostwain, refusedPostwain},
		"mpop":      {signInMpop, says(`authentication failed`)},
		"fetchmail": {signInFetchmail, says(`exit status 3\b`)}, // PS_AUTHFAIL
		"curl":      {signInCurl, says(`exit status 67\b`)},     // CURLE_LOGIN_DENIED
		"gsasl":     {signInGSASL, says(`exit status 1\n(?s:.*)-ERR \[AUTH\]`)},
		"mutt":      {signInMutt, says(`< -ERR \[AUTH\]`)},
		"poplib":    {signInPoplib, says(`error_proto: b'-ERR \[AUTH\]`)},
		"getmail":   {signInGetmail, says(`-ERR \[AUTH\]`)},
	}
}

// says looks for words in what a program said when it failed.
func says(pattern string) func(error) bool {
	words := regexp.MustCompile(pattern)
	return func(err error) bool { return err != nil && words.MatchString(err.Error()) }
}

func refusedPostwain(err error) bool {
	refused, ok := errors.AsType[*pop3.Error](err)
	return ok && refused.Code == pop3.CodeAuth || errors.Is(err, krb.ErrRefused)
}

// signInPostwain is the client of this project.
func signInPostwain(ctx context.Context, j signInJob) ([][]byte, error) {
	c, err := dialPostwain(ctx, j)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	switch j.way {
	case "KPOP":
		err = c.SignIn(ctx, pop3client.Credentials{User: j.user, Password: "-", Mechanism: "USER", Plaintext: true})
	case "GSSAPI":
		var ticket *krb.Ticket
		if ticket, err = j.ticket(ctx); err == nil {
			err = c.Auth(ctx, kerberos.Client(ticket, j.user), true)
		}
	default:
		k := pop3client.Credentials{User: j.user, Password: j.password, Mechanism: j.way}
		if j.token != "" {
			k.Token = func(context.Context) (string, error) { return j.token, nil }
		}
		err = c.SignIn(ctx, k)
	}
	if err != nil {
		return nil, err
	}
	return retrieve(ctx, c)
}

// dialPostwain connects inside TLS, or behind KPOP.
func dialPostwain(ctx context.Context, j signInJob) (*pop3client.Client, error) {
	if j.way != "KPOP" {
		trust, err := j.stand.space.TLS.Client()
		if err != nil {
			return nil, err
		}
		return pop3client.Dial(ctx, net.JoinHostPort("127.0.0.1", j.pop3s()), pop3client.TLS, pop3client.Options{TLS: trust})
	}
	ticket, err := j.ticket(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := dialLoopback(ctx, j.stand.kpop)
	if err != nil {
		return nil, err
	}
	if err := kpop.Connect(ctx, conn, ticket); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return pop3client.New(ctx, conn, pop3client.Options{})
}

// ticket gets a ticket for the server from the cache and the KDC.
func (j signInJob) ticket(ctx context.Context) (*krb.Ticket, error) {
	config, err := krb.LoadConfig(j.stand.kdc.Config())
	if err != nil {
		return nil, err
	}
	credentials, err := krb.FromCache(j.cache, config)
	if err != nil {
		return nil, err
	}
	return credentials.Ticket(ctx, kpop.Service, rig.Host)
}

func signInMpop(ctx context.Context, j signInJob) ([][]byte, error) {
	out := j.path("Maildir")
	if err := rig.MakeMaildir(out); err != nil {
		return nil, err
	}
	rc := fmt.Sprintf("account default\nhost %s\nport %s\nuser %s\nauth %s\nkeep on\nuidls_file %s\nreceived_header off\ndelivery maildir %s\n"+
		"tls on\ntls_starttls off\ntls_trust_file %s\n",
		rig.Host, j.pop3s(), j.user, strings.ToLower(j.way), j.path("uidls"), out, j.authority())
	if j.password != "" {
		rc += "password " + j.password + "\n"
	}
	if j.token != "" { // which is too long for a line
		if err := os.WriteFile(j.path("token"), []byte(j.token+"\n"), 0o600); err != nil {
			return nil, err
		}
		rc += "passwordeval cat " + j.path("token") + "\n"
	}
	if j.cert != "" {
		rc += "tls_cert_file " + j.cert + "\ntls_key_file " + j.cert + "\n"
	}
	if err := os.WriteFile(j.path("mpoprc"), []byte(rc), 0o600); err != nil {
		return nil, err
	}
	if _, err := run(ctx, j.environment(), "mpop", "--file", j.path("mpoprc"), "--quiet"); err != nil {
		return nil, err
	}
	return readDelivered(out)
}

// signInFetchmail gives fetchmail a services file of its own for KPOP, which
// has no option for the port.
func signInFetchmail(ctx context.Context, j signInJob) ([][]byte, error) {
	out := j.path("out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(j.path("services"), fmt.Appendf(nil, "kpop\t%d/tcp\n", j.stand.kpop), 0o644); err != nil {
		return nil, err
	}
	how := "service " + j.pop3s() + " proto pop3 auth " + map[string]string{"CRAM-MD5": "cram-md5", "GSSAPI": "gssapi"}[j.way]
	security := "ssl sslproto tls1.2+ sslcertck sslcertfile " + j.authority()
	switch j.way {
	case "USER":
		how = "service " + j.pop3s() + " proto pop3 auth password"
	case "APOP":
		how = "service " + j.pop3s() + " proto apop"
	case "KPOP":
		how, security = "proto kpop auth kerberos_v5", `sslproto ""`
	}
	rc := fmt.Sprintf("set idfile %q\nset invisible\npoll %s %s timeout 30\nuser %q password %q keep %s\nno rewrite\nmda \"cat > $(mktemp %s/XXXXXXXX)\"\n",
		j.path("ids"), rig.Host, how, j.user, j.password, security, out)
	if err := os.WriteFile(j.path("fetchmailrc"), []byte(rc), 0o600); err != nil {
		return nil, err
	}
	_, err := run(ctx, append(j.environment(), "FETCHMAILHOME="+j.dir), "unshare", "--mount",
		"sh", "-c", `mount --bind "$0" /etc/services && exec fetchmail "$@"`, j.path("services"),
		"--fetchmailrc", j.path("fetchmailrc"), "--nosyslog", "--pidfile", j.path("pid"))
	if err != nil {
		return nil, err
	}
	return readFiles(out)
}

// signInCurl signs in by OAUTHBEARER wherever the server has it.
func signInCurl(ctx context.Context, j signInJob) ([][]byte, error) {
	port := j.pop3s()
	if j.way == "XOAUTH2" {
		port = fmt.Sprint(j.stand.xoauth2.POP3S)
	}
	way := map[string]string{"APOP": "+APOP"}[j.way]
	if way == "" {
		way = j.way
	}
	args := []string{"--silent", "--show-error", "--ipv4", "--cacert", j.authority(), "--user", j.user + ":" + j.password, "--login-options", "AUTH=" + way}
	if j.token != "" {
		args = append(args, "--oauth2-bearer", j.token)
	}
	if j.cert != "" {
		args = append(args, "--cert", j.cert)
	}
	data, err := run(ctx, j.environment(), "curl", append(args, fmt.Sprintf("pop3s://%s:%s/1", rig.Host, port))...)
	if err != nil {
		return nil, err
	}
	return [][]byte{data}, nil
}

func signInGSASL(ctx context.Context, j signInJob) ([][]byte, error) {
	args := []string{rig.Host, j.pop3s(), j.authority(), j.way, j.user}
	if j.cert != "" {
		args = append(args, j.cert, j.cert)
	}
	data, err := run(ctx, append(j.environment(), "POP_PASS="+j.password), j.stand.gsasl, args...)
	if err != nil {
		return nil, err
	}
	return [][]byte{data}, nil
}

func signInPoplib(ctx context.Context, j signInJob) ([][]byte, error) {
	data, err := run(ctx, []string{
		"POP_HOST=" + rig.Host, "POP_PORT=" + j.pop3s(), "POP_AUTHORITY=" + j.authority(),
		"POP_WAY=" + j.way, "POP_USER=" + j.user, "POP_PASS=" + j.password,
	}, "/usr/bin/python3", "testdata/poplib_signin.py")
	if err != nil {
		return nil, err
	}
	return [][]byte{data}, nil
}

func signInGetmail(ctx context.Context, j signInJob) ([][]byte, error) {
	out := j.path("out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return nil, err
	}
	deliver, err := filepath.Abs("testdata/getmail_deliver.sh")
	if err != nil {
		return nil, err
	}
	rc := fmt.Sprintf("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = %s\nport = %s\nca_certs = %s\nusername = %s\npassword = %s\nuse_apop = %v\n"+
		"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (%q, %q)\nallow_root_commands = true\n"+
		"[options]\nread_all = false\ndelivered_to = false\nreceived = false\n",
		rig.Host, j.pop3s(), j.authority(), j.user, j.password, j.way == "APOP", deliver, out)
	if err := os.WriteFile(j.path("getmailrc"), []byte(rc), 0o600); err != nil {
		return nil, err
	}
	if _, err := run(ctx, nil, "getmail", "--getmaildir", j.dir); err != nil {
		return nil, err
	}
	return readFiles(out)
}

// signInMutt lets mutt fetch on a pseudo terminal. What went wrong stands there
// for a moment, and in its log.
func signInMutt(ctx context.Context, j signInJob) ([][]byte, error) {
	out := j.path("Maildir")
	if err := rig.MakeMaildir(out); err != nil {
		return nil, err
	}
	rc := fmt.Sprintf(`set pop_host="pops://%s:%s/" pop_user=%q pop_pass=%q pop_authenticators=%q pop_delete=no pop_last=no
set ssl_starttls=no ssl_force_tls=yes ssl_ca_certificates_file=%q certificate_file=""
set folder=%q spoolfile=%q mbox_type=Maildir move=no quit=yes wait_key=no sleep_time=0
push "<fetch-mail><quit>"
`, rig.Host, j.pop3s(), j.user, j.password, strings.ToLower(j.way), j.authority(), j.dir, out)
	if j.token != "" {
		if err := os.WriteFile(j.path("token"), []byte(j.token+"\n"), 0o600); err != nil {
			return nil, err
		}
		rc += fmt.Sprintf("set pop_oauth_refresh_command=\"cat %s\"\n", j.path("token"))
	}
	if j.cert != "" {
		rc += fmt.Sprintf("set ssl_client_cert=%q\n", j.cert)
	}
	if err := os.WriteFile(j.path("muttrc"), []byte(rc), 0o600); err != nil {
		return nil, err
	}
	_, err := run(ctx, append(j.environment(), "TERM=xterm", "HOME="+j.dir),
		"script", "--quiet", "--return", "--command", "mutt -n -d 2 -F "+j.path("muttrc"), "/dev/null")
	if err != nil {
		return nil, err
	}
	mail, err := readDelivered(out)
	if err != nil || len(mail) > 0 {
		return mail, err
	}
	said, err := os.ReadFile(j.path(".muttdebug0")) // it ends with 0 whatever has happened
	if err == nil {
		err = fmt.Errorf("mutt: %s", said)
	}
	return nil, err
}
