//go:build linux

package rig

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// fetcherID is the user and group id that fetchers run as: nobody, since some
// refuse to work for root and some for a user without a name.
const fetcherID = 65534

// timeout is after how many seconds every fetcher gives up a silent server.
const timeout = 5

// Haul is a mailbox that a fetcher is to empty into a Maildir.
type Haul struct {
	Port    int    // of the POP3 server on 127.0.0.1, in clear
	Account string // there, with [Password]
	Keep    bool   // leave on the server what was fetched
	State   string // directory for its configuration and all that it remembers
	Maildir string // where the mail comes to lie; must exist

	// A fetcher that does not deliver itself hands the mail to this server, for
	// the recipient whose Maildir it is.
	LMTP, IMAP int // ports of 127.0.0.1
	Recipient  string
}

// Fetcher is a program that fetches mail by POP3.
type Fetcher struct {
	Name string
	// Hands says that it hands the mail to a server and does not deliver it
	// itself.
	Hands bool
	// Mbox says that it delivers into a file of the name mbox in the Maildir.
	Mbox bool
	// Done says which exit codes mean that nothing is left to be done.
	Done func(code int) bool
	// Later is the exit code that says that something is to be tried again
	// after a minute. Zero: there is none.
	Later int
	argv  func(Haul) ([]string, error) // writes its configuration, too
}

// Command gives the command that runs the fetcher once. The directories of the
// haul are given to the user that it runs as.
func (f Fetcher) Command(h Haul) (*exec.Cmd, error) {
	argv, err := f.argv(h)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{h.State, h.Maildir} {
		if dir == h.Maildir && f.Hands {
			continue
		}
		if err := own(dir, fetcherID); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = h.State
	cmd.Env = append(os.Environ(), "HOME="+h.State, "FETCHMAILHOME="+h.State, "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: fetcherID, Gid: fetcherID}}
	return cmd, nil
}

// Fetchmail is Debian's fetchmail. It has no delivery of its own and hands the
// mail over by LMTP.
func Fetchmail() Fetcher {
	return Fetcher{
		Name:  "fetchmail",
		Hands: true,
		Done:  func(code int) bool { return code == 0 || code == 1 }, // 1: no new mail
		argv: func(h Haul) ([]string, error) {
			keep := "no keep"
			if h.Keep {
				keep = "keep"
			}
			path, err := h.write("fetchmailrc", fmt.Sprintf(`set idfile %q
set invisible
poll localhost via 127.0.0.1 service %d proto pop3 uidl timeout %d
user %q password %q %s sslproto "" smtphost "127.0.0.1/%d" lmtp smtpname %q
no rewrite no mimedecode pass8bits no forcecr no stripcr no dropstatus no dropdelivered
`, h.path("ids"), h.Port, timeout, h.Account, Password, keep, h.LMTP, h.Recipient))
			return []string{"fetchmail", "--fetchmailrc", path, "--nosyslog", "--pidfile", h.path("pid"), "--bad-header", "accept"}, err
		},
	}
}

// Mpop is Debian's mpop. It uses PIPELINING where it is announced.
func Mpop() Fetcher {
	return Fetcher{
		Name: "mpop",
		Done: func(code int) bool { return code == 0 },
		argv: func(h Haul) ([]string, error) {
			keep := "off"
			if h.Keep {
				keep = "on"
			}
			path, err := h.write("mpoprc", fmt.Sprintf(`account default
host 127.0.0.1
port %d
user %s
password %s
auth user
keep %s
only_new on
uidls_file %s
received_header off
delivery maildir %s
timeout %d
tls off
`, h.Port, h.Account, Password, keep, h.path("uidls"), h.Maildir, timeout))
			return []string{"mpop", "--file", path, "--quiet"}, err
		},
	}
}

// Getmail is Debian's getmail6.
func Getmail() Fetcher {
	return Fetcher{
		Name: "getmail6",
		Done: func(code int) bool { return code == 0 },
		argv: func(h Haul) ([]string, error) {
			_, err := h.write("getmailrc", fmt.Sprintf(`[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = %d
timeout = %d
username = %s
password = %s
[destination]
type = Maildir
path = %s/
[options]
read_all = false
delete = %v
delivered_to = false
received = false
`, h.Port, timeout, h.Account, Password, h.Maildir, !h.Keep))
			return []string{"getmail", "--getmaildir", h.State, "--quiet"}, err
		},
	}
}

// PostwainFetch is the program at the path binary, with a kind of destination:
// maildir, mbox, lmtp, imap or exec.
func PostwainFetch(binary, destination string) Fetcher {
	f := Fetcher{
		Name:  "postwain",
		Hands: destination == "lmtp" || destination == "imap",
		Mbox:  destination == "mbox",
		Done:  func(code int) bool { return code == 0 },
		Later: 3,
	}
	if destination != "maildir" {
		f.Name += " to " + destination
	}
	f.argv = func(h Haul) ([]string, error) {
		password, err := h.write("password", Password+"\n")
		if err != nil {
			return nil, err
		}
		to, err := h.destination(destination, password)
		if err != nil {
			return nil, err
		}
		argv := []string{binary, "fetch", fmt.Sprintf("pop://%s@127.0.0.1:%d", h.Account, h.Port), "--plaintext",
			"--password-file", password, "--state", h.path("journal"), "--timeout", fmt.Sprintf("%ds", timeout), "--to"}
		argv = append(argv, to...)
		if h.Keep {
			argv = append(argv, "--keep")
		}
		return argv, nil
	}
	return f
}

// destination gives the destination and the flags that belong to it.
func (h Haul) destination(kind, password string) ([]string, error) {
	switch kind {
	case "mbox":
		return []string{"mbox:" + filepath.Join(h.Maildir, "mbox")}, nil
	case "lmtp":
		return []string{fmt.Sprintf("lmtp://127.0.0.1:%d", h.LMTP), "--recipient", h.Recipient}, nil
	case "imap":
		return []string{fmt.Sprintf("imap://%s@127.0.0.1:%d/INBOX", url.PathEscape(h.Recipient), h.IMAP),
			"--to-plaintext", "--to-password-file", password}, nil
	case "exec":
		script, err := h.write("deliver", `f=$(mktemp "$1/tmp/XXXXXXXXXXXX") && cat > "$f" && sync "$f" && mv "$f" "$1/new/"`)
		return []string{"exec:sh " + script + " " + h.Maildir}, err
	}
	return []string{"maildir:" + h.Maildir}, nil
}

func (h Haul) path(name string) string { return filepath.Join(h.State, name) }

// write writes a file of the configuration.
func (h Haul) write(name, text string) (string, error) {
	return h.path(name), os.WriteFile(h.path(name), []byte(text), 0o600)
}
