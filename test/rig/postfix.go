//go:build linux

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// Postfix is a running private Postfix.
type Postfix struct {
	SMTP int // port of 127.0.0.1
	conf string
}

var mainCF = template.Must(template.New("main.cf").Parse(`
compatibility_level = 3.6
config_directory = {{.Dir}}/etc
queue_directory = {{.Dir}}/queue
data_directory = {{.Dir}}/data
maillog_file = {{.Dir}}/log
maillog_file_prefixes = {{.Dir}}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {{.Host}}
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = {{.Domain}}
virtual_mailbox_base = {{.Space.Mail}}
virtual_mailbox_maps = inline:{ {{.Boxes}} }
virtual_uid_maps = static:{{.MailID}}
virtual_gid_maps = static:{{.MailID}}
virtual_mailbox_limit = 0
message_size_limit = 0
lmtp_line_length_limit = 0
transport_maps = inline:{ { {{.LMTPAccount}} = lmtp:unix:{{.LMTP}} } }
`))

const masterCF = `
127.0.0.1:%d inet n - n - - smtpd
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
flush    unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
virtual  unix - n n - - virtual
lmtp     unix - - n - - lmtp
error    unix - - n - - error
retry    unix - - n - - error
anvil    unix - - n - 1 anvil
scache   unix - - n - 1 scache
postlog  unix-dgram n - n - 1 postlogd
`

// Postfix starts Debian's Postfix. It delivers mail for accounts into their
// Maildirs itself, with its virtual(8) agent, and mail for lmtpAccount to the
// LMTP server that listens on the socket.
func (s *Space) Postfix(socket, lmtpAccount string, accounts ...string) (*Postfix, error) {
	dir := filepath.Join(s.Dir, "postfix")
	for _, d := range []string{"etc", "queue", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("rig: chown: %w\n%s", err, out)
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	var boxes strings.Builder
	for _, a := range append(accounts, lmtpAccount) {
		local, _, _ := strings.Cut(a, "@")
		fmt.Fprintf(&boxes, "{ %s = %s/%s/ } ", a, Domain, local)
	}
	p := &Postfix{SMTP: ports[0], conf: filepath.Join(dir, "etc")}
	var main strings.Builder
	err = mainCF.Execute(&main, map[string]any{
		"Dir": dir, "Space": s, "Host": Host, "Domain": Domain, "MailID": MailID,
		"Boxes": boxes.String(), "LMTPAccount": lmtpAccount, "LMTP": socket,
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(p.conf, "main.cf"), []byte(main.String()), 0o644); err != nil {
		return nil, err
	}
	master := fmt.Sprintf(masterCF, p.SMTP)
	if err := os.WriteFile(filepath.Join(p.conf, "master.cf"), []byte(master), 0o644); err != nil {
		return nil, err
	}
	return p, p.postfix("start") // returns when master(8) is ready
}

// Stop stops Postfix and waits until it has ended.
func (p *Postfix) Stop() error { return p.postfix("stop") }

// Log gives what Postfix has logged so far.
func (p *Postfix) Log() string {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(p.conf), "log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (p *Postfix) postfix(command string) error {
	out, err := exec.Command("postfix", "-c", p.conf, command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rig: postfix %s: %w\n%s", command, err, out)
	}
	return nil
}
