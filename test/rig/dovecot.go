//go:build linux

package rig

import (
	"os"
	"path/filepath"
	"text/template"
)

// Server is what clients need to know of a running server.
type Server struct {
	*Daemon
	POP3  int    // port of 127.0.0.1, clear and STLS
	POP3S int    // port of 127.0.0.1, TLS from the first octet
	LMTP  int    // port of 127.0.0.1
	IMAP  int    // port of 127.0.0.1, in clear; Dovecot's alone
	Unix  string // path of the LMTP socket
}

// DovecotStyle is how Debian's Dovecot is set up.
type DovecotStyle struct {
	// Stock keeps the process model of a fresh installation, one process for
	// every login and every session. Otherwise it is the high-performance
	// model of Dovecot's manual: processes are kept and serve many in turn.
	Stock bool
	// Processes is how many of each kind the high-performance model keeps.
	Processes int
	// Connections is how many sessions may be open at the same time.
	Connections int
}

var dovecotConf = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = /dev/stderr
protocols = pop3 imap lmtp
listen = 127.0.0.1
mail_location = maildir:{{.Space.Mail}}/%d/%n
mail_uid = {{.MailID}}
mail_gid = {{.MailID}}
mail_home = {{.Dir}}/home/%n
first_valid_uid = {{.MailID}}
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{{.Space.TLS.Cert}}
ssl_key = <{{.Space.TLS.Key}}
ssl_min_protocol = TLSv1.2
auth_mechanisms = plain
auth_cache_size = 64M
auth_cache_ttl = 1 hour
mail_max_userip_connections = {{.Style.Connections}}
# Durable deliveries: file and directory are synced before the answer. This is
# the default, written down because the comparison rests on it.
mail_fsync = optimized
lmtp_add_received_header = no
lmtp_save_to_detail_mailbox = no
postmaster_address = postmaster@{{.Domain}}
hostname = {{.Host}}
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {{.Space.Passwd}}
}
userdb {
  driver = static
  args = uid={{.MailID}} gid={{.MailID}} home={{.Dir}}/home/%n
}
protocol pop3 {
  pop3_no_flag_updates = yes
}
service pop3-login {
  inet_listener pop3 {
    port = {{.POP3}}
  }
  inet_listener pop3s {
    port = {{.POP3S}}
    ssl = yes
  }
{{if .Style.Stock}}  process_limit = {{.Style.Connections}}
{{else}}  service_count = 0
  client_limit = {{.LoginClients}}
  process_min_avail = {{.Style.Processes}}
  process_limit = {{.Style.Processes}}
{{end}}}
service pop3 {
  process_limit = {{.Style.Connections}}
{{if not .Style.Stock}}  service_count = 0
  process_min_avail = {{.Style.Processes}}
{{end}}}
service imap-login {
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
  unix_listener {{.Unix}} {
    mode = 0666
  }
{{if not .Style.Stock}}  service_count = 0
  process_min_avail = 16
{{end}}}
service auth {
  client_limit = {{.AuthClients}}
}
service anvil {
  client_limit = {{.AuthClients}}
}
service stats {
  client_limit = {{.AuthClients}}
}
`))

// Dovecot starts Debian's Dovecot on the mail of the space.
func (s *Space) Dovecot(style DovecotStyle) (*Server, error) {
	dir, err := os.MkdirTemp(s.Dir, "dovecot-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, err
	}
	if err := Own(home); err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	v := &Server{POP3: ports[0], POP3S: ports[1], LMTP: ports[2], IMAP: ports[3], Unix: filepath.Join(dir, "lmtp.sock")}
	conf := filepath.Join(dir, "dovecot.conf")
	f, err := os.Create(conf)
	if err != nil {
		return nil, err
	}
	err = dovecotConf.Execute(f, map[string]any{
		"Dir": dir, "Space": s, "Style": style, "MailID": MailID, "Domain": Domain, "Host": Host,
		"POP3": v.POP3, "POP3S": v.POP3S, "LMTP": v.LMTP, "IMAP": v.IMAP, "Unix": v.Unix,
		"LoginClients": 2*style.Connections + 100, "AuthClients": 4*style.Connections + 1000,
	})
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	v.Daemon, err = launch{dir: dir, argv: []string{"/usr/sbin/dovecot", "-F", "-c", conf}}.start()
	return v, err
}
