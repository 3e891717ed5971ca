// Package config reads the configuration of postwain serve and postwain fetch.
//
// The file is TOML and is read strictly: a key that does not exist or a value
// that makes no sense is an error, and all errors are reported at once, each
// with its file and line. The comments of the structs below are the user's
// manual: docs/config.md is made from them by go generate.
//
// A file that loads today loads for ever: keys are added, never renamed, and
// what a key means does not change.
package config

//go:generate go test -run TestManualIsCurrent -update .

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Config is a whole configuration file.
type Config struct {
	// File is where it was read from; empty if it was made by the program.
	File string `toml:"-"`

	// Hostname is the name of this server, as clients know it. LMTP accepts a
	// bare account name at this domain. Unset: the name of the machine.
	Hostname string `toml:"hostname"`
	// StateDir is the directory of what the server must remember beside the
	// mail: its commit journal and its lock. It must be on a local disk, and
	// each server has its own. --data comes before it. Unset: $STATE_DIRECTORY
	// (systemd sets it), else /var/lib/postwain for root and
	// ~/.local/state/postwain for anybody else.
	StateDir string `toml:"state_dir"`

	Mail     Mail     `toml:"mail"`
	Bucket   Bucket   `toml:"bucket"`
	Accounts Accounts `toml:"accounts"`
	SASL     SASL     `toml:"sasl"`
	Kerberos Kerberos `toml:"kerberos"`
	TLS      TLS      `toml:"tls"`
	Listen   []Listen `toml:"listen"`
	Limits   Limits   `toml:"limits"`
	Log      Log      `toml:"log"`
	Fetch    []Fetch  `toml:"fetch"`
}

// Mail says where the mail lies and how it is served.
type Mail struct {
	// Store is the kind of the mail store: "maildir", or "bucket" for an object
	// store (see [bucket]).
	Store Store `toml:"store"`
	// Path is the Maildir of an account. %u stands for the whole account name,
	// %n for its local part, %d for its domain, %% for a per cent sign. A
	// relative path begins at the directory of this file.
	Path string `toml:"path"`
	// Lock is "exclusive", where one session at a time may open an account
	// (a second one is answered [IN-USE]), or "snapshot", where each session
	// sees the mail of its beginning and others may come and go. The field
	// lock= of an account in the passwd_file comes before it.
	Lock Lock `toml:"lock"`
	// UTF8 is "as-stored", where every message goes out as it came in, or
	// "strict", where a message with UTF-8 in its header is answered
	// -ERR [UTF8] until the client has given the command UTF8 (RFC 6856).
	UTF8 UTF8 `toml:"utf8"`
	// UIDLFormat is the pop3_uidl_format of the Dovecot that served the mail
	// before. Where it left its list, its UIDLs are taken over, so that clients
	// do not fetch their mail again.
	UIDLFormat string `toml:"uidl_format"`
}

// TLS names the server's certificate. The lowest version is TLS 1.2. The files
// are read again at SIGHUP.
type TLS struct {
	// Cert is a file with the certificate and the chain that leads to its
	// issuer, in PEM.
	Cert string `toml:"cert"`
	// Key is the file with the private key of cert, in PEM. Nobody but the
	// server's user should be able to read it.
	Key string `toml:"key"`
	// ClientCA is a file with the certificates, in PEM, of those who may vouch
	// for clients: who has a certificate of theirs may sign in by EXTERNAL to
	// the account of its mail address. Unset: clients are not asked for one.
	ClientCA string `toml:"client_ca"`
	// ClientCRL is a file with the revocation lists of client_ca, in PEM.
	ClientCRL string `toml:"client_crl"`

	ACME ACME `toml:"acme"`

	Certificate []Certificate `toml:"certificate"`
}

// Certificate is a further certificate. A client that asks for a name gets the
// first certificate that is valid for it, and the one of [tls] if none is.
type Certificate struct {
	// Cert is as in [tls].
	Cert string `toml:"cert"`
	// Key is as in [tls].
	Key string `toml:"key"`
}

// Listen is one address to listen on. A socket that systemd passes in takes
// the place of the listener with the same address, else of the first one whose
// proto is the socket's FileDescriptorName.
type Listen struct {
	// Proto is what is spoken: "pop3" (with STLS where there is a
	// certificate), "pop3s" (TLS from the first octet), "lmtp" or "kpop"
	// (POP3 behind a Kerberos ticket; see [kerberos]).
	Proto Proto `toml:"proto"`
	// Addr is host:port, or unix: and the path of a socket. Without a host, as
	// in ":995", it is all addresses of the machine, IPv4 and IPv6.
	Addr Addr `toml:"addr"`
	// InsecureAuth allows passwords in clear text on this listener. Clients
	// on the same machine may always send them so.
	InsecureAuth bool `toml:"insecure_auth"`
	// Legacy lets machines in that know nothing newer than TLS 1.0, RSA and
	// 3DES, such as old scanners. It is for a private network, and refused on
	// an address that everybody can reach.
	Legacy bool `toml:"legacy"`
	// LegacyPublic lets a legacy listener be on such an address all the same.
	LegacyPublic bool `toml:"legacy_public"`
	// ProxyFrom names the networks, or single addresses, of proxies that
	// begin each connection with a PROXY header, version 1 or 2. Connections
	// from there without one are closed; one from elsewhere is not believed.
	// A client that the proxy does not know ("UNKNOWN") counts as a stranger.
	ProxyFrom []Network `toml:"proxy_from"`
	// Allow names the networks, or single addresses, that may connect. Unset:
	// all, but for lmtp, which asks for no password, this machine only.
	Allow []Network `toml:"allow"`
	// Mode is the access mode of a Unix socket, in octal digits. Unset: "0660".
	Mode Mode `toml:"mode"`
	// Group is the group that owns a Unix socket. Unset: the server's own.
	Group string `toml:"group"`
}

// Limits bounds what clients may use, and states the policies that a client is
// told by CAPA. Durations are written "90s", "10m", "12h", "30d", sizes
// "512KiB", "64MiB", "1GiB".
type Limits struct {
	// LoginDelay is the least time between two logins to the same account
	// (RFC 2449 §6.5). An account's own login_delay comes first.
	LoginDelay time.Duration `toml:"login_delay"`
	// Expire is how long mail is kept: "never" removes none, "30d" removes
	// mail older than thirty days, "after-retrieval" removes what a session
	// has retrieved when it quits (RFC 2449 §6.7). An account's own expire
	// comes first.
	Expire Expire `toml:"expire"`
	// Connections is how many POP3 connections there may be at a time, but
	// never more than half of the files that the system lets the server
	// open. When they are all in use a new one takes the place of one that has
	// not signed in: the oldest of the network (IPv4 /24, IPv6 /48) that has the
	// most of those.
	Connections int `toml:"connections"`
	// ConnectionsPerAddress is how many there may be from one IPv4 address or
	// one IPv6 /64 network. The machine's own addresses are not counted.
	ConnectionsPerAddress int `toml:"connections_per_address"`
	// SessionsPerAccount is how many sessions of one account there may be at a
	// time, where mail.lock lets there be more than one.
	SessionsPerAccount int `toml:"sessions_per_account"`
	// LMTPConnections is how many LMTP connections there may be at a time.
	LMTPConnections int `toml:"lmtp_connections"`
	// MessageSize is the largest message that LMTP accepts.
	MessageSize Size `toml:"message_size"`
	// LoginTimeout is how long a client may take to sign in, in all.
	LoginTimeout time.Duration `toml:"login_timeout"`
	// IdleTimeout is how long a client that has signed in may be silent. The
	// standard wants at least ten minutes (RFC 1939 §3).
	IdleTimeout time.Duration `toml:"idle_timeout"`
	// WriteTimeout is how long a client may take no octet of what is sent.
	WriteTimeout time.Duration `toml:"write_timeout"`
	// StopTimeout is how long the server waits at SIGTERM for commands that
	// are being answered.
	StopTimeout time.Duration `toml:"stop_timeout"`
}

// Log says how the server tells what it does. It writes to standard error.
type Log struct {
	// Format is "text" or "json". Either way an event is one line.
	Format Format `toml:"format"`
}

// Default gives the value of every key that is unset.
func Default() *Config {
	return &Config{
		Mail:   Mail{Store: Maildir, Lock: Exclusive, UTF8: AsStored, UIDLFormat: "%08Xu%08Xv"},
		Bucket: Bucket{LeaseTime: time.Minute},
		Limits: Limits{
			Connections:           10000,
			ConnectionsPerAddress: 100,
			SessionsPerAccount:    10,
			LMTPConnections:       200,
			MessageSize:           64 << 20,
			LoginTimeout:          time.Minute,
			IdleTimeout:           10 * time.Minute,
			WriteTimeout:          5 * time.Minute,
			StopTimeout:           30 * time.Second,
		},
		TLS: TLS{ACME: ACME{Challenge: TLSALPN01}},
		Accounts: Accounts{
			LDAP:    LDAP{Filter: "(|(uid=%u)(mail=%u))", Timeout: 10 * time.Second},
			SQL:     SQL{Timeout: 10 * time.Second},
			PAM:     PAM{Helper: "/usr/local/libexec/postwain-pam", Timeout: 30 * time.Second},
			Command: Program{Timeout: 30 * time.Second},
			Masters: Masters{Separator: "*"},
		},
		Log: Log{Format: Text},
	}
}

// Purpose is what a configuration must be fit for.
type Purpose int

// The purposes.
const (
	Serving  Purpose = iota // postwain serve: the server's sections must be there
	Fetching                // postwain fetch: [[fetch]] must be there
	Either                  // the server's sections, or [[fetch]], or both
)

// Load reads and checks a file that postwain serve is to use. The error is an
// *fs.PathError, or Problems that tell everything that is wrong.
func Load(file string) (*Config, error) { return LoadFor(Serving, file) }

// LoadFor is Load for another purpose. Whatever it is, all sections that are
// there are checked.
func LoadFor(p Purpose, file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(p, file, data)
}

// Parse reads and checks the contents of a file; file names it in errors, and
// relative paths begin at its directory, those of [[fetch]] excepted, which
// wait for Fetch.Resolve. The error is Problems.
func Parse(p Purpose, file string, data []byte) (*Config, error) {
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, Problems{syntax(file, err)}
	}
	c := Default()
	c.File = file
	d := decoder{file: file, lines: lines(data), failed: make(map[string]bool)}
	d.table("", tree, c)
	if p == Serving || serves(tree) || p == Either && tree["fetch"] == nil {
		d.check(c)
	}
	if p == Fetching && tree["fetch"] == nil {
		d.fail("fetch", "there is no [[fetch]]; nothing would be fetched")
	}
	d.checkFetch(c)
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	c.resolve(filepath.Dir(file))
	return c, nil
}

// serves reports whether there is a section that only a server needs.
func serves(tree map[string]any) bool {
	for _, key := range []string{"mail", "bucket", "accounts", "sasl", "kerberos", "tls", "listen", "limits"} {
		if tree[key] != nil {
			return true
		}
	}
	return false
}

// syntax describes what is no TOML at all.
func syntax(file string, err error) Problem {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return Problem{File: file, Text: err.Error()}
	}
	line, _ := at.Position()
	return Problem{File: file, Line: line, Text: at.Error()}
}

// resolve makes the paths of c independent of the working directory.
func (c *Config) resolve(dir string) {
	a := &c.Accounts
	paths := []*string{
		&c.StateDir, &c.Mail.Path, &c.Bucket.SecretKeyFile, &c.TLS.Cert, &c.TLS.Key, &c.TLS.ClientCA, &c.TLS.ClientCRL, &c.TLS.ACME.CA,
		&c.TLS.ACME.Dir, &c.TLS.ACME.EABKeyFile, &c.Kerberos.Keytab,
		&a.PasswdFile, &a.AppPasswords, &a.Masters.PasswdFile, &a.LDAP.CA, &a.LDAP.BindPasswordFile, &a.SQL.DSNFile,
		&a.PAM.Helper, &a.OAuth.ClientSecretFile, &a.OAuth.CA,
	}
	for i := range c.TLS.Certificate {
		paths = append(paths, &c.TLS.Certificate[i].Cert, &c.TLS.Certificate[i].Key)
	}
	for i := range c.Listen {
		if c.Listen[i].Addr.Network == "unix" {
			paths = append(paths, &c.Listen[i].Addr.Address)
		}
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
