package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/sasl"
)

// Zero is a server without a configuration file: everything lies in one
// directory, and only this machine can connect.
type Zero struct {
	Data string
	// Ports of POP3 and of POP3 inside TLS.
	POP3, POP3S int
}

// NewZero gives the server that postwain serve runs in data; empty: in the
// user's state directory.
func NewZero(data string, getenv func(string) string) (Zero, error) {
	var err error
	if data == "" {
		data, err = userData(getenv)
	} else {
		data, err = filepath.Abs(data)
	}
	return Zero{Data: data, POP3: 1110, POP3S: 1995}, err
}

// PasswdFile is the file of the accounts.
func (z Zero) PasswdFile() string { return filepath.Join(z.Data, "users") }

func (z Zero) certificate() listen.Pair {
	return listen.Pair{Cert: filepath.Join(z.Data, "tls", "cert.pem"), Key: filepath.Join(z.Data, "tls", "key.pem")}
}

func (z Zero) lmtp() string { return filepath.Join(z.Data, "lmtp.sock") }

// Config is the configuration that a file would have to say.
func (z Zero) Config() *config.Config {
	c := config.Default()
	c.Hostname = "localhost"
	c.StateDir = filepath.Join(z.Data, "state")
	c.Mail.Path = filepath.Join(strings.ReplaceAll(z.Data, "%", "%%"), "mail", "%u")
	c.Accounts.PasswdFile = z.PasswdFile()
	c.Accounts.AppPasswords = filepath.Join(z.Data, "app-passwords")
	pair := z.certificate()
	c.TLS.Cert, c.TLS.Key = pair.Cert, pair.Key
	tcp := func(port int) config.Addr {
		return config.Addr{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	c.Listen = []config.Listen{
		{Proto: config.POP3, Addr: tcp(z.POP3)},
		{Proto: config.POP3S, Addr: tcp(z.POP3S)},
		{Proto: config.LMTP, Addr: config.Addr{Network: "unix", Address: z.lmtp()}, Mode: 0o600},
	}
	return c
}

func runZero(ctx context.Context, o Options) error {
	z, err := NewZero(o.Data, o.Getenv)
	if err != nil {
		return err
	}
	return z.Run(ctx, o)
}

// firstPassword is the file of the password that the first start has made, if
// it was not shown.
func (z Zero) firstPassword() string { return filepath.Join(z.Data, "first-password") }

// Run serves. At the first start it makes an account with a message in it. The
// password is shown at a terminal. Elsewhere, where what is printed may be
// kept and read by others, it is left in a file.
func (z Zero) Run(ctx context.Context, o Options) error {
	d := &Daemon{options: o, load: func() (*config.Config, error) { return z.Config(), nil }}
	user, password, err := z.prepare(o.Getenv)
	if err != nil {
		return err
	}
	told := password == ""
	err = d.run(ctx, func() error {
		if !told {
			if err := d.welcome(ctx, user); err != nil {
				return err
			}
		}
		if err := z.greet(d, user, password); err != nil {
			return err
		}
		told = true
		return nil
	})
	if !told { // nobody knows the password: the next start is the first one
		err = errors.Join(err, os.Remove(z.PasswdFile()))
		_ = os.Remove(z.firstPassword())
	}
	return err
}

// prepare makes what is missing. password is empty if there was an account.
func (z Zero) prepare(getenv func(string) string) (user, password string, err error) {
	if err := os.MkdirAll(filepath.Join(z.Data, "mail"), 0o700); err != nil {
		return "", "", fmt.Errorf("data: %w", err)
	}
	if err := listen.SelfSigned(z.certificate(), []string{"localhost", "127.0.0.1", "::1"}); err != nil {
		return "", "", err
	}
	names, err := passwdfile.List(z.PasswdFile())
	if err == nil {
		return strings.Join(names, ", "), "", nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("accounts: %w", err)
	}
	user, password = firstUser(getenv), newPassword()
	if err := passwdfile.Add(z.PasswdFile(), user, password); err != nil {
		return "", "", fmt.Errorf("accounts: %w", err)
	}
	return user, password, nil
}

// firstUser is the name of whoever starts the server, if it can be one of an
// account.
func firstUser(getenv func(string) string) string {
	name, err := sasl.PrepareUser(getenv("USER"))
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' }
	if err != nil || name == "" || name == "root" || strings.TrimLeftFunc(name, plain) != "" || name[0] == '-' {
		return "postwain"
	}
	return name
}

// newPassword makes a password of 104 random bits, in groups of four.
func newPassword() string {
	text := strings.ToLower(rand.Text())
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// welcome puts a message into the first account, so that there is one to read.
func (d *Daemon) welcome(ctx context.Context, user string) error {
	message := "From: Postwain <postmaster@localhost>\r\nTo: " + user + "@localhost\r\n" +
		"Subject: Welcome to Postwain\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
		"This message came from your own POP3 server.\r\n"
	err := d.store.Deliver(ctx, user, maildrop.Incoming{Key: "postwain-welcome"}, strings.NewReader(message))
	if err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	return nil
}

// keep writes the password where only the server's user can read it.
func (z Zero) keep(password string) error {
	if err := os.Remove(z.firstPassword()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("first password: %w", err)
	}
	f, err := os.OpenFile(z.firstPassword(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("first password: %w", err)
	}
	_, err = io.WriteString(f, password+"\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("first password: %w", err)
	}
	return nil
}

// greet tells whoever started the server how to use it.
func (z Zero) greet(d *Daemon, user, password string) error {
	if password != "" && !d.options.Terminal {
		if err := z.keep(password); err != nil {
			return err
		}
	}
	ports := make([]string, 2)
	for i, n := range d.doors[:2] {
		ports[i] = n.listener.Addr().String()
	}
	at := ""
	if own, err := userData(d.options.Getenv); err != nil || own != z.Data {
		at = " --data " + quote(z.Data)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Postwain is serving the mail in %s to this machine.", z.Data)
	line("")
	who := user
	if user == "" || strings.Contains(user, ",") {
		who = "USER"
	}
	login := quote(who + ":PASSWORD")
	line("  user      %s", user)
	switch {
	case password == "":
		line("  password  from the first start. A new one: postwain user passwd %s%s", who, at)
	case d.options.Terminal:
		line("  password  %s", password)
		line("            This is the only time it is shown. A new one: postwain user passwd %s%s", user, at)
		login = quote(user + ":" + password)
	default:
		line("  password  in %s, for this user only; remove the file when you have read it", z.firstPassword())
		login = `"` + user + ":$(cat " + quote(z.firstPassword()) + `)"`
	}
	line("  POP3      %s  (STLS)", ports[0])
	line("  POP3S     %s  (TLS; certificate: %s)", ports[1], z.certificate().Cert)
	line("  LMTP      %s", z.lmtp())
	line("")
	line("Read the first message:")
	line("  curl --user %s pop3://%s/1", login, ports[0])
	line("  curl --user %s --cacert %s pop3s://%s/1", login, quote(z.certificate().Cert), ports[1])
	line("Put mail in, a test or a file of yours:")
	line("  swaks --protocol LMTP --socket %s --to %s@localhost", quote(z.lmtp()), who)
	line("  swaks --protocol LMTP --socket %s --to %s@localhost --data @message.eml", quote(z.lmtp()), who)
	line("")
	_, err := io.WriteString(d.options.Stdout, b.String())
	return err
}

// quote makes a word for the shell.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@+,", r)
	}
	if s != "" && strings.TrimLeftFunc(s, safe) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
