//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/postwain/postwain/test/rig"
)

// fetchmail hands every message to a command, which files it. It is told to
// leave out its own Received line and to rewrite nothing.
var fetchmail = client{
	name: "fetchmail",
	alters: map[string]string{
		"line of 70 KiB": "breaks lines that exceed its buffer of 8 KiB",
		"header only":    "adds the empty line behind the header",
	},
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		security := map[transport]string{
			inClear:  `sslproto ""`,
			stls:     "sslproto tls1.2+ sslcertck sslcertfile " + j.authority,
			implicit: "ssl sslproto tls1.2+ sslcertck sslcertfile " + j.authority,
		}[j.transport]
		keep := "keep"
		if j.delete {
			keep = "no keep fetchall"
		}
		rc := fmt.Sprintf(`set idfile %q
set invisible
poll %s service %s proto pop3 uidl timeout 30
user %q password %q %s %s
no rewrite no mimedecode pass8bits no forcecr no stripcr no dropstatus no dropdelivered
mda "cat > $(mktemp %s/XXXXXXXX)"
`, filepath.Join(j.state, "ids"), rig.Host, j.port(), j.account, rig.Password, keep, security, j.out)
		path := filepath.Join(j.state, "fetchmailrc")
		if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
			return nil, err
		}
		_, err := run(ctx, []string{"FETCHMAILHOME=" + j.state}, "fetchmail", "--fetchmailrc", path, "--nosyslog",
			"--pidfile", filepath.Join(j.state, "pid"), "--bad-header", "accept")
		if code := exitCode(err); code != 0 && code != 1 { // 1: no new mail
			return nil, err
		}
		return readFiles(j.out)
	},
}

// mpop has its own Maildir delivery. It uses PIPELINING where it is announced.
var mpop = client{
	name:   "mpop",
	alters: map[string]string{"lone CR": "takes a CR before a line end away"},
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		keep := "on"
		if j.delete {
			keep = "off"
		}
		security := map[transport]string{
			inClear:  "tls off",
			stls:     "tls on\ntls_starttls on\ntls_trust_file " + j.authority,
			implicit: "tls on\ntls_starttls off\ntls_trust_file " + j.authority,
		}[j.transport]
		rc := fmt.Sprintf("account default\nhost %s\nport %s\nuser %s\npassword %s\nauth user\nkeep %s\nonly_new on\n"+
			"uidls_file %s\nreceived_header off\ndelivery maildir %s\n%s\n",
			rig.Host, j.port(), j.account, rig.Password, keep, filepath.Join(j.state, "uidls"), j.out, security)
		path := filepath.Join(j.state, "mpoprc")
		if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
			return nil, err
		}
		if err := rig.MakeMaildir(j.out); err != nil {
			return nil, err
		}
		if _, err := run(ctx, nil, "mpop", "--file", path, "--quiet"); err != nil {
			return nil, err
		}
		return readDelivered(j.out)
	},
}

// getmail has no STLS in the version that Debian 12 ships. It writes a
// Return-Path line of its own where the message has none.
var getmail = client{
	name:  "getmail6",
	lacks: []transport{stls},
	alters: map[string]string{
		"header only": "adds the empty line behind the header",
		"lone CR":     "takes a lone CR for a line end",
	},
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		retriever := "SimplePOP3Retriever"
		if j.transport == implicit {
			retriever = "SimplePOP3SSLRetriever\nca_certs = " + j.authority
		}
		deliver, err := filepath.Abs("testdata/getmail_deliver.sh")
		if err != nil {
			return nil, err
		}
		rc := fmt.Sprintf(`[retriever]
type = %s
server = %s
port = %s
username = %s
password = %s
[destination]
type = MDA_external
path = /bin/sh
arguments = (%q, %q)
allow_root_commands = true
[options]
read_all = false
delete = %v
delivered_to = false
received = false
`, retriever, rig.Host, j.port(), j.account, rig.Password, deliver, j.out, j.delete)
		if err := os.WriteFile(filepath.Join(j.state, "getmailrc"), []byte(rc), 0o600); err != nil {
			return nil, err
		}
		if _, err := run(ctx, nil, "getmail", "--getmaildir", j.state, "--quiet"); err != nil {
			return nil, err
		}
		all, err := readFiles(j.out)
		for i := range all {
			all[i] = bytes.TrimPrefix(all[i], []byte("Return-Path: <unknown>\n"))
		}
		return all, err
	},
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}
