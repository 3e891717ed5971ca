package config

import (
	"errors"
	"path/filepath"
	"strings"
	"time"
)

// Fetch is a mailbox on another server that postwain fetch empties, or reads,
// into a place of yours. docs/FETCH.md has examples.
type Fetch struct {
	// Name names the mailbox in logs, in reports, and on the command line of
	// postwain fetch. No two sections have the same. Unset: the user and the
	// host of source.
	Name string `toml:"name"`
	// Source is the mailbox: "pops://user@host" (TLS, port 995),
	// "pop://user@host" (TLS by STLS, port 110) or "kpop://user@host" (a
	// Kerberos ticket instead of a password, and no TLS, port 1109), with :port
	// behind it where the port is another. A user's own @ needs no escape. A
	// password never stands here.
	Source Source `toml:"source"`
	// To is where the mail goes: "maildir:PATH", "mbox:PATH", "lmtp:PATH" of a
	// socket, "lmtp://host:port", "smtp://host:port" (TLS by STARTTLS),
	// "smtps://host", "imaps://user@host/Mailbox", "imap://user@host/Mailbox"
	// (TLS by STARTTLS), or "exec:COMMAND ARGS", which is run without a shell
	// and reads the message from its standard input.
	To Destination `toml:"to"`

	// PasswordFile is a file whose first line is the password.
	PasswordFile string `toml:"password_file"`
	// PasswordCommand is a command that prints the password as its first line,
	// such as "pass show mail/helpdesk". It is run without a shell.
	PasswordCommand Command `toml:"password_command"`
	// PasswordEnv is the name of the environment variable with the password.
	PasswordEnv string `toml:"password_env"`
	// TokenCommand is a command that prints an OAuth 2 access token as its
	// first line. It is run without a shell, for each sign-in anew.
	TokenCommand Command `toml:"token_command"`
	// Auth is how to sign in: "USER", "APOP" (inside TLS only), "PLAIN",
	// "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", one of these two
	// with "-PLUS", with a token "XOAUTH2" or "OAUTHBEARER", or with a Kerberos
	// ticket "GSSAPI". Unset: the best for passwords, or for tokens, that the
	// server has.
	Auth Mechanism `toml:"auth"`
	// OneLine sends a token on the line of AUTH. Unset: in a second step,
	// which Exchange wants.
	OneLine bool `toml:"one_line"`
	// Keytab is a file with the keys of a principal, for kpop:// and "GSSAPI"
	// where nobody runs kinit. Unset: the tickets in the credential cache, as
	// kinit leaves them.
	Keytab string `toml:"keytab"`
	// Principal is whose keys of keytab are used, such as
	// "robot@EXAMPLE.ORG". Unset: the user of source without what is behind an
	// @, in the default realm.
	Principal string `toml:"principal"`

	// CA is a file with the certificates, in PEM, that the server's
	// certificate must come from. Unset: those that the system trusts.
	CA string `toml:"ca"`
	// Plaintext connects to a pop:// source without TLS: the password and the
	// mail can be read on the way.
	Plaintext bool `toml:"plaintext"`
	// Timeout is how long each step may take: connecting, the answer to a
	// command, progress in a message.
	Timeout time.Duration `toml:"timeout"`
	// Serial sends no command before the last one is answered. For servers
	// that announce PIPELINING and cannot do it.
	Serial bool `toml:"serial"`
	// NoCapa never sends CAPA. For servers that hang up at it.
	NoCapa bool `toml:"no_capa"`

	// Keep leaves all mail on the server.
	Keep bool `toml:"keep"`
	// DeleteAfter deletes mail from the server so long after it was fetched,
	// such as "7d". Unset: as soon as it is stored.
	DeleteAfter time.Duration `toml:"delete_after"`
	// OnlyNew takes what is in the mailbox at the very first contact for
	// fetched, and leaves it there.
	OnlyNew bool `toml:"only_new"`
	// MaxSize is the largest message that is fetched, such as "50MiB". Larger
	// ones stay on the server and are reported. Unset: no limit.
	MaxSize Size `toml:"max_size"`
	// Batch is how many messages are fetched before the server is made to
	// carry out the deletions. Unset: 1000.
	Batch int `toml:"batch"`
	// Limit is how many messages are fetched in a run at most. Unset: all.
	Limit int `toml:"limit"`
	// Every is the pause between two runs, in the place of --every's. Without
	// --every there is one run whatever is written here.
	Every time.Duration `toml:"every"`

	// Received puts a Received line in front of each message, except for imap,
	// where a message is known by its octets, which must be the same each time.
	Received bool `toml:"received"`
	// DeliveredTo is the address of a Delivered-To line in front of each
	// message. Unset: no such line.
	DeliveredTo string `toml:"delivered_to"`
	// From is the envelope's sender for lmtp, smtp and exec. Unset: the empty
	// one, to which nobody sends errors.
	From string `toml:"from"`
	// Recipient is the envelope's recipient for lmtp and smtp, which need one,
	// and exec.
	Recipient string `toml:"recipient"`

	// ToUser is who signs in at an smtp or imap destination. It can be written
	// in to as well.
	ToUser string `toml:"to_user"`
	// ToPasswordFile is as password_file, for the destination.
	ToPasswordFile string `toml:"to_password_file"`
	// ToPasswordCommand is as password_command, for the destination.
	ToPasswordCommand Command `toml:"to_password_command"`
	// ToPasswordEnv is as password_env, for the destination.
	ToPasswordEnv string `toml:"to_password_env"`
	// ToCA is as ca, for an smtp or imap destination.
	ToCA string `toml:"to_ca"`
	// ToPlaintext connects to an smtp:// or imap:// destination without TLS.
	ToPlaintext bool `toml:"to_plaintext"`

	OAuth OAuth `toml:"oauth"`

	// Further is how many sections before this one fetch the same remote
	// mailbox.
	Further int `toml:"-"`
}

// OAuth says how to get OAuth 2 tokens for the [[fetch]] above it. The client
// is one that you have registered with the provider. postwain fetch authorize
// NAME gets the first token.
type OAuth struct {
	// Profile is "google" or "microsoft", which know the addresses and the
	// scopes. Unset: auth_url, token_url and scopes say them.
	Profile Profile `toml:"profile"`
	// ClientID is the client's id.
	ClientID string `toml:"client_id"`
	// ClientSecretFile is a file whose first line is the client's secret, if
	// it has one.
	ClientSecretFile string `toml:"client_secret_file"`
	// Tenant is the Microsoft tenant: its id or its domain. Unset: "common",
	// that of whoever signs in.
	Tenant string `toml:"tenant"`
	// Flow is "code" (a browser on this machine), "device" (a browser
	// anywhere, with a code to type in) or "client" (no person; needs
	// client_secret_file).
	Flow Flow `toml:"flow"`
	// TokenFile is where the token is kept, for the user of fetch only. Unset:
	// a file in the state directory.
	TokenFile string `toml:"token_file"`
	// AuthURL is where a browser signs in, in the place of the profile's.
	AuthURL string `toml:"auth_url"`
	// DeviceURL is where the flow "device" begins, in the place of the
	// profile's.
	DeviceURL string `toml:"device_url"`
	// TokenURL is where tokens come from, in the place of the profile's.
	TokenURL string `toml:"token_url"`
	// Scopes are what the token is to allow, in the place of the profile's.
	Scopes []string `toml:"scopes"`
}

// NewFetch gives the values of keys that are unset.
func NewFetch() Fetch {
	return Fetch{Received: true, Timeout: 30 * time.Second, OAuth: OAuth{Flow: Code}}
}

func (f *Fetch) setDefaults() { *f = NewFetch() }

// Title is the name, or where there is none the user and the host of source.
func (f *Fetch) Title() string {
	if f.Name != "" {
		return f.Name
	}
	if strings.Contains(f.Source.User, "@") {
		return f.Source.User
	}
	return f.Source.User + "@" + f.Source.Host
}

// Authorized reports whether tokens of [fetch.oauth] sign in.
func (f *Fetch) Authorized() bool { return f.OAuth.given() }

// Ticket reports whether a Kerberos ticket signs in.
func (f *Fetch) Ticket() bool {
	return f.Source.KPOP || f.Auth == gssapi || f.Auth == "" && f.Source.Auth == string(gssapi)
}

// Client is the principal whose keys in the keytab sign in. Its realm may be
// missing.
func (f *Fetch) Client() string {
	if f.Principal != "" {
		return f.Principal
	}
	user, _, _ := strings.Cut(f.Source.User, "@")
	return user
}

func (o *OAuth) given() bool {
	return o.Profile != "" || o.ClientID != "" || o.ClientSecretFile != "" || o.Tenant != "" || o.TokenFile != "" ||
		o.AuthURL != "" || o.DeviceURL != "" || o.TokenURL != "" || len(o.Scopes) > 0
}

// Resolve makes the paths of f independent of the working directory. Relative
// ones begin at dir, those with ~/ in front at home; where home is empty they
// are an error.
func (f *Fetch) Resolve(dir, home string) error {
	paths := []*string{
		&f.To.Path, &f.PasswordFile, &f.Keytab, &f.CA, &f.ToPasswordFile, &f.ToCA, &f.OAuth.ClientSecretFile, &f.OAuth.TokenFile,
	}
	for _, p := range paths {
		rest, own := strings.CutPrefix(*p, "~/")
		switch {
		case own && home == "":
			return errors.New("config: " + *p + " needs a home directory, and HOME is not set")
		case own:
			*p = filepath.Join(home, rest)
		case filepath.IsAbs(*p):
			*p = filepath.Clean(*p)
		case *p != "":
			*p = filepath.Join(dir, *p)
		}
	}
	return nil
}
