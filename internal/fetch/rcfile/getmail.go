package rcfile

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/pop3"
)

// retriever is a retriever of getmail that speaks POP3.
type retriever struct {
	tls  bool
	note string
}

var retrievers = map[string]retriever{
	"SimplePOP3Retriever":        {false, ""},
	"SimplePOP3SSLRetriever":     {true, ""},
	"BrokenUIDLPOP3Retriever":    {false, brokenUIDL},
	"BrokenUIDLPOP3SSLRetriever": {true, brokenUIDL},
	"MultidropPOP3Retriever":     {false, multidrop},
	"MultidropPOP3SSLRetriever":  {true, multidrop},
	"MultidropSDPSRetriever":     {false, "SDPS: the envelope's recipients are not asked for; " + multidrop},
}

const brokenUIDL = "the server's unique ids were not used; here they are, and a server that has none is dealt with by itself"

// getmail reads an rc file of getmail, which is one mailbox.
func (in *importer) getmail(text []byte) error {
	sections, err := parseINI(string(text))
	if err != nil {
		return err
	}
	by := map[string]*section{}
	for _, s := range sections {
		by[s.name] = s
	}
	from, to := by["retriever"], by["destination"]
	switch {
	case from == nil:
		return syntax(1, "there is no section [retriever]")
	case to == nil:
		return syntax(1, "there is no section [destination]")
	}
	options := by["options"]
	if options == nil {
		options = &section{line: from.line}
	}
	e := Entry{Line: from.line, Received: true, Timeout: 180 * time.Second}
	url, ok := in.retriever(&e, from)
	if !ok { // then there is nothing to say of the rest
		return nil
	}
	in.destination(&e, to)
	in.options(&e, options)
	for _, s := range sections {
		in.unused(s)
	}
	return in.add(e, url)
}

// unused notes what nobody has asked for.
func (in *importer) unused(s *section) {
	switch s.name {
	case "retriever", "destination", "options":
		for _, k := range s.keys {
			if k.used {
				continue
			}
			why := unused[k.name]
			if why == "" {
				why = unlisted
			}
			in.note(k.line, "%s: %s", strconv.QuoteToASCII(k.name), why)
		}
	default:
		why := "destinations besides [destination] are not taken over"
		if len(s.name) >= 6 && pop3.EqualASCII(s.name[:6], "FILTER") {
			why = "filters are not possible: use a destination exec:COMMAND that filters"
		}
		in.note(s.line, "section %s: %s", strconv.QuoteToASCII(s.name), why)
	}
}

// unused are the keys that are not taken over, with the reason.
var unused = map[string]string{
	"envelope_recipient":    multidrop,
	"keyfile":               rules["sslkey"].yes,
	"certfile":              rules["sslcert"].yes,
	"ssl_fingerprints":      rules["sslfingerprint"].yes,
	"ssl_cert_hostname":     rules["sslcommonname"].yes,
	"ssl_version":           "TLS 1.2 and later are used",
	"ssl_ciphers":           "TLS 1.2 and later are used, with safe ciphers",
	"delete_dup_msgids":     "messages with the same unique id are told apart and fetched",
	"use_netrc":             "passwords in ~/.netrc are not looked up: write password_file",
	"netrc_file":            "passwords in ~/.netrc are not looked up: write password_file",
	"delete_bigger_than":    "large messages are deleted like all others, once they are fetched",
	"max_bytes_per_session": unlisted + ": limit counts messages",
	"verbose":               "see postwain fetch --help for what it prints",
	"message_log":           "the log goes to standard error",
	"message_log_verbose":   "the log goes to standard error",
	"message_log_syslog":    "the log goes to standard error; let a service manager pass it on",
	"fingerprint":           "certificates are checked instead of shown",
	"skip_imap_fetch_size":  "it is about IMAP",
	"user":                  "all mail is written by the user that runs postwain",
	"group":                 "all mail is written by the user that runs postwain",
	"filemode":              "mail is for its owner only, mode 0600",
	"locktype":              "the mbox is locked in all the usual ways",
	"unixfrom":              "commands get no From_ line",
	"allow_root_commands":   unlisted,
	"ignore_stderr":         "what a command writes to its standard error does not matter, only its exit code",
	"pipe_stdout":           unlisted,
	"fallback":              "there is one recipient: mail that is refused stays on the server",
	"destinations":          "there is one destination",
	"locals":                multidrop,
	"default":               multidrop,
	"use_peek":              "it is about IMAP",
	"mailboxes":             "it is about IMAP",
	"move_on_delete":        "it is about IMAP",
	"record_mailbox":        "it is about IMAP",
	"use_cram_md5":          "the best way that the server has is used",
	"use_kerberos":          "Kerberos is not possible",
	"imap_search":           "it is about IMAP",
	"imap_on_delete":        "it is about IMAP",
}

// retriever reads where the mail comes from; false if that is not POP3.
func (in *importer) retriever(e *Entry, s *section) (pop3.URL, bool) {
	kindOf, line := s.get("type")
	r, ok := retrievers[kindOf]
	if !ok {
		in.note(max(line, s.line), "the mailbox is left out: a retriever %s is not possible, only those with POP3", strconv.QuoteToASCII(kindOf))
		return pop3.URL{}, false
	}
	if r.note != "" {
		in.note(line, "%s: %s", kindOf, r.note)
	}
	url := pop3.URL{TLS: r.tls}
	url.Host, _ = s.get("server")
	url.User, _ = s.get("username")
	own := 110
	if r.tls {
		own = 995
	}
	e.Server, e.Port = url.Host, own
	if text, line := s.get("port"); line > 0 {
		if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
			in.note(line, "port: it is no number up to 65535; the usual one is taken")
		} else if e.Port = int(n); e.Port != own {
			url.Port = e.Port
		}
	}
	if !r.tls {
		in.note(line, "getmail sends the password in clear text with this type; here STLS is needed, or plaintext = true")
	}
	if n, line := in.number(s, "timeout"); line > 0 {
		e.Timeout = seconds(n)
	}
	if e.CA, line = s.get("ca_certs"); e.CA != "" {
		e.CA = in.path(line, "ca_certs", e.CA)
	}
	in.credentials(e, s)
	return url, true
}

func (in *importer) credentials(e *Entry, s *section) {
	password, _ := s.get("password")
	e.Password = Clear(password)
	if text, line := s.get("password_command"); line > 0 {
		argv, err := parseTuple(text)
		if err != nil || len(argv) == 0 {
			in.note(line, "password_command: it is no tuple of strings, such as (\"pass\", \"mail\")")
		}
		e.PasswordCommand = argv
	}
	if e.Password != "" && len(e.PasswordCommand) > 0 {
		e.PasswordCommand = nil // getmail prefers the password
		in.note(s.line, "password_command: it has no effect beside password")
	}
	if in.boolean(s, "use_apop", false) {
		e.Auth = "APOP"
	}
	if in.boolean(s, "use_xoauth2", false) {
		e.Auth = "XOAUTH2"
		e.TokenCommand, e.PasswordCommand = e.PasswordCommand, nil
		if len(e.TokenCommand) == 0 {
			in.note(s.line, "use_xoauth2: write token_command or [fetch.oauth]")
		}
	}
	if e.Password == "" && len(e.PasswordCommand) == 0 && len(e.TokenCommand) == 0 {
		in.note(s.line, "there is no password: getmail asks for it or finds it in a keyring or ~/.netrc; write password_file or password_command")
	}
}

// options reads what is done with the mail.
func (in *importer) options(e *Entry, s *section) {
	e.Keep = !in.boolean(s, "delete", false)
	if n, line := in.number(s, "delete_after"); n > 0 {
		e.Keep = false
		e.DeleteAfter = time.Duration(min(n, maxSeconds/86400)) * 24 * time.Hour
		if in.boolean(s, "delete", false) {
			e.DeleteAfter = 0
			in.note(line, "delete_after: it has no effect beside delete")
		}
	}
	if in.boolean(s, "read_all", true) && (e.Keep || e.DeleteAfter > 0) {
		_, line := s.get("read_all")
		in.note(max(line, s.line), "read_all: mail that stays on the server is fetched once, not in each run")
	}
	e.MaxSize, _ = in.number(s, "max_message_size")
	n, _ := in.number(s, "max_messages_per_session")
	e.Limit = small(n)
	e.Received = in.boolean(s, "received", true)
	if _, line := s.get("delivered_to"); in.boolean(s, "delivered_to", true) && line > 0 {
		in.note(line, "delivered_to: write the address that it is to have")
	}
	s.get("to_oldmail_on_each_mail") // always
}

// destination reads where the mail goes.
func (in *importer) destination(e *Entry, s *section) {
	kindOf, line := s.get("type")
	path, at := s.get("path")
	switch kindOf {
	case "Maildir":
		e.To = "maildir:" + in.path(at, "path", path)
	case "Mboxrd":
		e.To = "mbox:" + in.path(at, "path", path)
	case "MDA_external":
		in.external(e, s, path, at)
	case "MDA_lmtp":
		in.lmtp(e, s)
	default:
		in.note(max(line, s.line), "a destination %s is not possible; write another one as to", strconv.QuoteToASCII(kindOf))
		if at > 0 {
			s.by["path"].used = false
		}
		return
	}
	if path == "" && kindOf != "MDA_lmtp" {
		e.To = ""
		in.note(s.line, "the destination has no path; write to")
	}
}

func (in *importer) external(e *Entry, s *section, path string, at int) {
	argv := []string{path}
	if strings.HasPrefix(path, "~") || strings.Contains(path, "$") {
		in.note(at, "path: ~ and variables mean nothing in a command; write the whole path")
	}
	if text, line := s.get("arguments"); line > 0 {
		arguments, err := parseTuple(text)
		if err != nil {
			in.note(line, "arguments: they are no tuple of strings, such as (\"-d\", \"alice\"); write them into to")
		}
		for _, a := range arguments {
			if strings.Contains(a, "%(") {
				in.note(line, "arguments: %%(sender) and the like are not replaced; write from, recipient, or what they stand for")
			}
			if strings.HasPrefix(a, "~") || strings.Contains(a, "$") {
				in.note(line, "arguments: ~ and variables are not replaced; write what they stand for")
			}
		}
		argv = append(argv, arguments...)
	}
	e.To = "exec:" + join(argv)
}

func (in *importer) lmtp(e *Entry, s *section) {
	hostName, line := s.get("host")
	port, _ := s.get("port")
	if port == "" {
		port = "2003" // what Python's smtplib takes
	}
	switch {
	case hostName == "":
		in.note(max(line, s.line), "the destination has no host; write to")
	case hostName[0] == '/':
		e.To = "lmtp:" + hostName
	default:
		e.To = "lmtp://" + net.JoinHostPort(hostName, port)
	}
	e.Recipient, _ = s.get("override")
	if e.Recipient == "" {
		in.note(s.line, "the recipients are not looked up in messages; write recipient")
	}
}

// path makes a path one that postwain understands.
func (in *importer) path(line int, what, path string) string {
	for _, variable := range []string{"$HOME/", "${HOME}/"} {
		if rest, ok := strings.CutPrefix(path, variable); ok {
			path = "~/" + rest
		}
	}
	switch {
	case strings.Contains(path, "$"):
		in.note(line, "%s: variables are not replaced; write the whole path", what)
	case strings.HasPrefix(path, "~") && !strings.HasPrefix(path, "~/"):
		in.note(line, "%s: other people's ~ means nothing here; write the whole path", what)
	default:
		in.relative(line, what, path)
	}
	return path
}

// number reads a number from 0; what is none counts as not given.
func (in *importer) number(s *section, name string) (n int64, line int) {
	text, line := s.get(name)
	if line == 0 {
		return 0, 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		in.note(line, "%s: it is no number", name)
		return 0, 0
	}
	return n, line
}

// boolean reads one of the words that Python's configuration files have.
func (in *importer) boolean(s *section, name string, usual bool) bool {
	text, line := s.get(name)
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true
	case "false", "no", "off", "0":
		return false
	}
	if line > 0 {
		in.note(line, "%s: it is neither true nor false", name)
	}
	return usual
}
