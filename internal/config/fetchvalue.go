package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/postwain/postwain/pop3"
)

// Source is a mailbox on a POP3 server.
type Source struct {
	pop3.URL
	KPOP bool // behind a Kerberos ticket
}

// kpopPort is where Kerberized POP is spoken. No registry has it.
const kpopPort = 1109

// UnmarshalText reads "pops://user@host:port". What it says of a source with a
// password in it does not tell the password.
func (s *Source) UnmarshalText(text []byte) error {
	if hasPassword(string(text)) {
		return errors.New("a source with a password in it: take it out, and give it by a file or a command")
	}
	plain, kpop := cutKPOP(string(text))
	u, err := pop3.ParseURL(plain)
	if err != nil {
		return fmt.Errorf("%q is no source; write \"pops://user@host\", \"pop://user@host\" or \"kpop://user@host\"", text)
	}
	if u.User == "" {
		return fmt.Errorf("%q has no user; write \"%s://user@%s\"", text, scheme(u.TLS, kpop), u.Host)
	}
	var m Mechanism
	if u.Auth == "*" {
		u.Auth = ""
	}
	if u.Auth != "" {
		if err := m.UnmarshalText([]byte(strings.TrimPrefix(u.Auth, "+"))); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		u.Auth = string(m)
	}
	if kpop && u.Port == 0 {
		u.Port = kpopPort
	}
	s.URL, s.KPOP = u, kpop
	return nil
}

// cutKPOP makes a pop:// of a kpop://, which is the same in all but how to sign
// in.
func cutKPOP(s string) (plain string, kpop bool) {
	name, rest, found := strings.Cut(s, "://")
	if !found || !pop3.EqualASCII(name, "KPOP") {
		return s, false
	}
	return "pop://" + rest, true
}

func scheme(tls, kpop bool) string {
	switch {
	case kpop:
		return "kpop"
	case tls:
		return "pops"
	}
	return "pop"
}

// String gives what UnmarshalText takes.
func (s Source) String() string {
	if s.KPOP {
		return "k" + s.URL.String()
	}
	return s.URL.String()
}

// hasPassword reports whether there is a colon in the user's part of a URL,
// or of what may have been meant as one.
func hasPassword(s string) bool {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	at := strings.LastIndexByte(s, '@')
	return at >= 0 && strings.IndexByte(s[:at], ':') >= 0
}

// Kind is a kind of destination.
type Kind string

// The kinds of destinations.
const (
	ToMaildir Kind = "maildir"
	ToMbox    Kind = "mbox"
	ToLMTP    Kind = "lmtp"
	ToSMTP    Kind = "smtp"
	ToIMAP    Kind = "imap"
	ToExec    Kind = "exec"
)

// Destination is where fetched mail goes.
type Destination struct {
	Kind    Kind
	Path    string   // of maildir, mbox, and lmtp at a socket
	Command []string // of exec
	TLS     bool     // of smtps and imaps: TLS from the first octet
	User    string   // of smtp and imap; may be empty
	Host    string   // of lmtp, smtp and imap: a name, or an address without brackets
	Port    int      // of these; never 0
	Mailbox string   // of imap
}

const destinations = `write "maildir:PATH", "mbox:PATH", "lmtp:PATH", "lmtp://host:port", "smtp://host:port", "smtps://host", "imaps://user@host/Mailbox" or "exec:COMMAND"`

// UnmarshalText reads the forms that Fetch.To lists.
func (d *Destination) UnmarshalText(text []byte) error {
	s := string(text)
	kind, rest, ok := strings.Cut(s, ":")
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("there is a NUL in it")
	}
	remote, isURL := strings.CutPrefix(rest, "//")
	switch {
	case !ok || rest == "":
		return fmt.Errorf("%q is no destination; %s", s, destinations)
	case kind == "maildir" || kind == "mbox" || kind == "lmtp" && !isURL:
		*d = Destination{Kind: Kind(kind), Path: rest}
		return nil
	case kind == "exec":
		var c Command
		if err := c.UnmarshalText([]byte(rest)); err != nil {
			return err
		}
		*d = Destination{Kind: ToExec, Command: c}
		return nil
	case isURL:
		if ports, known := remotes[kind]; known {
			return d.remote(ports, remote)
		}
	}
	return fmt.Errorf("%q is no destination; %s", kind, destinations)
}

// remotes are the destinations of the network, with their own ports.
var remotes = map[string]Destination{
	"lmtp":  {Kind: ToLMTP, Port: 24},
	"smtp":  {Kind: ToSMTP, Port: 25},
	"smtps": {Kind: ToSMTP, Port: 465, TLS: true},
	"imap":  {Kind: ToIMAP, Port: 143, Mailbox: "INBOX"},
	"imaps": {Kind: ToIMAP, Port: 993, TLS: true, Mailbox: "INBOX"},
}

// remote reads [user@]host[:port][/mailbox].
func (d *Destination) remote(known Destination, s string) error {
	authority, mailbox, _ := strings.Cut(s, "/")
	if hasPassword(authority) {
		return errors.New("a destination with a password in it: take it out, and give it by a file or a command")
	}
	host := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, err := url.PathUnescape(authority[:at])
		if err != nil || user == "" || strings.ContainsFunc(user, isControl) {
			return fmt.Errorf("%q: the user cannot be read", s)
		}
		if known.Kind == ToLMTP {
			return fmt.Errorf("%q: nobody signs in by LMTP; the recipient is a key of its own", s)
		}
		known.User, host = user, authority[at+1:]
	}
	if mailbox != "" {
		name, err := url.PathUnescape(mailbox)
		if err != nil || strings.ContainsFunc(name, isControl) {
			return fmt.Errorf("%q: the mailbox cannot be read", s)
		}
		if known.Kind != ToIMAP {
			return fmt.Errorf("%q: only imap has mailboxes behind the host", s)
		}
		known.Mailbox = name
	}
	if err := known.hostPort(host); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	*d = known
	return nil
}

func (d *Destination) hostPort(s string) error {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return errors.New("the port must be a number up to 65535")
		}
		host, d.Port = s[:i], int(n)
	}
	bare, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		host = strings.TrimSuffix(bare, "]")
	}
	_, err := netip.ParseAddr(host)
	if err != nil && (bracketed || !validHost(host)) {
		return errors.New("the host is no address and no name")
	}
	d.Host = host
	return nil
}

// Addr gives host:port.
func (d Destination) Addr() string { return joinHost(d.Host, d.Port) }

func joinHost(host string, port int) string {
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

// String gives a form for people. Of a command it is the program only: the
// arguments may be nobody's business.
func (d Destination) String() string {
	switch {
	case d.Kind == ToExec:
		return "exec:" + d.Command[0]
	case d.Host == "":
		return string(d.Kind) + ":" + d.Path
	}
	s := string(d.Kind)
	if d.TLS {
		s += "s"
	}
	s += "://"
	if d.User != "" {
		s += d.User + "@"
	}
	s += d.Addr()
	if d.Kind == ToIMAP {
		s += "/" + d.Mailbox
	}
	return s
}

func isControl(r rune) bool { return r < ' ' || r == 0x7F }

// Command is a program and its arguments.
type Command []string

// UnmarshalText splits words at blanks. Quotes of either kind keep blanks in a
// word; a backslash, which means nothing in single quotes, takes the next
// character as it is. There are no variables and no other signs.
func (c *Command) UnmarshalText(text []byte) error {
	words, err := splitWords(string(text))
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if len(words) == 0 || words[0] == "" {
		return errors.New("there is no command")
	}
	*c = words
	return nil
}

func splitWords(s string) ([]string, error) {
	var words []string
	var word []byte
	inWord, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == 0:
			return nil, errors.New("there is a NUL in it")
		case c == '\\' && quote != '\'':
			if i++; i == len(s) {
				return nil, errors.New("a backslash stands at the end")
			}
			word, inWord = append(word, s[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if inWord {
				words = append(words, string(word))
			}
			word, inWord = nil, false
		default:
			word, inWord = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, nil
}

// Mechanism is a way to sign in.
type Mechanism string

// UnmarshalText accepts the names of the mechanisms in either case.
func (m *Mechanism) UnmarshalText(text []byte) error {
	all := []Mechanism{
		"USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS",
		"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER", gssapi,
	}
	for _, known := range all {
		if pop3.EqualASCII(string(text), string(known)) {
			*m = known
			return nil
		}
	}
	return choose(m, text, all)
}

// gssapi is the one mechanism that needs a Kerberos ticket.
const gssapi Mechanism = "GSSAPI"

// token reports whether the mechanism sends a token.
func (m Mechanism) token() bool { return m == "XOAUTH2" || m == "OAUTHBEARER" }

// Profile is a provider whose addresses are known.
type Profile string

// The profiles.
const (
	Google    Profile = "google"
	Microsoft Profile = "microsoft"
)

// UnmarshalText accepts the names of the profiles.
func (p *Profile) UnmarshalText(text []byte) error {
	return choose(p, text, []Profile{Google, Microsoft})
}

// Flow is a way to a token.
type Flow string

// The flows.
const (
	Code   Flow = "code"
	Device Flow = "device"
	Client Flow = "client"
)

// UnmarshalText accepts the names of the flows.
func (f *Flow) UnmarshalText(text []byte) error {
	return choose(f, text, []Flow{Code, Device, Client})
}
