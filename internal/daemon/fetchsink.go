package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/fetch/sink"
	"github.com/postwain/postwain/internal/fetch/sink/exec"
	"github.com/postwain/postwain/internal/fetch/sink/imap"
	"github.com/postwain/postwain/internal/fetch/sink/inbox"
	"github.com/postwain/postwain/internal/fetch/sink/mbox"
	"github.com/postwain/postwain/internal/fetch/sink/smtp"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/store/maildir"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/sasl"
)

// openSink opens the destination of a section. What stands at a path is looked
// at; what is on the network is not.
func (f *Fetch) openSink(s *config.Fetch) (sink.Sink, error) {
	if f.options.DryRun {
		return nowhere{}, nil
	}
	switch s.To.Kind {
	case config.ToMaildir:
		return f.openMaildir(s.To)
	case config.ToMbox:
		return f.openMbox(s.To)
	case config.ToLMTP, config.ToSMTP:
		return f.openSMTP(s)
	case config.ToIMAP:
		return f.openIMAP(s)
	}
	return f.openExec(s)
}

// nowhere is the destination of a dry run: opening the right one might make
// files, or put right what a crash has left.
type nowhere struct{}

func (nowhere) Put(context.Context, sink.Message, io.Reader) error {
	return errors.New("a dry run stores nothing")
}
func (nowhere) Parallel() int { return 1 }
func (nowhere) Exact() bool   { return true }
func (nowhere) Sync() error   { return nil }
func (nowhere) Close() error  { return nil }

// openMbox opens an mbox file, which the first message makes if it is not
// there. All mailboxes that go to one share it, and so its lock.
func (f *Fetch) openMbox(d config.Destination) (sink.Sink, error) {
	if s := f.mboxes[d.Path]; s != nil {
		return s, nil
	}
	parent, name, err := f.openParent(d.Path)
	if err != nil {
		return nil, err
	}
	s, err := mbox.Open(parent, name)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	f.closers = append(f.closers, s)
	f.mboxes[d.Path] = s
	return s, nil
}

// openMaildir opens a Maildir, which the first message makes if it is not there.
// All mailboxes that go to one share what is known of it.
func (f *Fetch) openMaildir(d config.Destination) (sink.Sink, error) {
	m := f.maildirs[d.Path]
	if m == nil {
		parent, name, err := f.openParent(d.Path)
		if err != nil {
			return nil, err
		}
		m, err = maildir.OpenInbox(maildir.InboxOptions{Parent: parent, Name: name, Log: f.log.Logger})
		if err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
		f.closers = append(f.closers, m)
		f.maildirs[d.Path] = m
	}
	return inbox.New(m.Batch(), ""), nil
}

// openParent opens, until Close, the directory that path is in, and gives the
// name there. Links on the way are followed, since the operator has named
// them. The directory must be there: a disk that is not mounted must not look
// like an empty one.
func (f *Fetch) openParent(path string) (parent fsx.Dir, name string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.Clean(path), nil
	}
	if err == nil {
		parent, err = fsx.Open(filepath.Dir(real))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("to: %s is not there; make the directory, or mount its disk", filepath.Dir(real))
	}
	if err != nil {
		return nil, "", fmt.Errorf("to: %w", err)
	}
	f.closers = append(f.closers, parent)
	return parent, filepath.Base(real), nil
}

// openExec makes the sink of a command.
func (f *Fetch) openExec(s *config.Fetch) (sink.Sink, error) {
	const spool = "spool"
	if _, err := f.stateDir(spool); err != nil {
		return nil, err
	}
	return exec.New(exec.Options{
		Argv: s.To.Command, Spool: filepath.Join(f.state, spool),
		Env: []string{"POSTWAIN_ACCOUNT=" + s.Title(), "RECIPIENT=" + s.Recipient, "SENDER=" + s.From},
	})
}

// openSMTP makes the sink of an LMTP or SMTP server.
func (f *Fetch) openSMTP(s *config.Fetch) (sink.Sink, error) {
	o := smtp.Options{Address: s.To.Path, From: s.From, To: s.Recipient, Hello: f.options.Hostname}
	if s.To.Host == "" {
		o.Network = "unix"
	} else {
		o.Address = s.To.Addr()
	}
	if s.To.Kind == config.ToLMTP {
		return f.keepOpen(smtp.NewLMTP(o))
	}
	switch {
	case s.To.TLS:
		o.Security = smtp.TLS
	case s.ToPlaintext:
		o.Security = smtp.Plaintext
	}
	var err error
	if o.TLS, err = tlsConfig(s.ToCA); err != nil {
		return nil, err
	}
	if user := destinationUser(s); user != "" {
		o.Auth = destinationAuth(user, f.secret(s.ToPasswordFile, s.ToPasswordCommand, s.ToPasswordEnv), s.ToPlaintext)
	}
	return f.keepOpen(smtp.New(o))
}

// settle is many times what an IMAP server needs to store a message that it has
// got, and short beside the pause between two runs.
const settle = 2 * time.Second

// openIMAP makes the sink of a mailbox on an IMAP server.
func (f *Fetch) openIMAP(s *config.Fetch) (sink.Sink, error) {
	o := imap.Options{Address: s.To.Addr(), Mailbox: s.To.Mailbox, Settle: settle}
	switch {
	case s.ToPlaintext:
		o.Security = imap.Plaintext
	case !s.To.TLS:
		o.Security = imap.STARTTLS
	}
	var wrong [2]error
	o.TLS, wrong[0] = tlsConfig(s.ToCA)
	o.Spool, wrong[1] = f.stateDir("spool")
	if err := errors.Join(wrong[:]...); err != nil {
		return nil, err
	}
	// The connection is safe, or somebody wrote that it need not be.
	o.Auth = destinationAuth(destinationUser(s), f.secret(s.ToPasswordFile, s.ToPasswordCommand, s.ToPasswordEnv), true)
	return f.keepOpen(imap.New(o))
}

// keepOpen has a destination closed by Close.
func (f *Fetch) keepOpen(s sink.Sink, err error) (sink.Sink, error) {
	if err == nil {
		f.closers = append(f.closers, s)
	}
	return s, err
}

// destinationUser is who signs in at the destination.
func destinationUser(s *config.Fetch) string { return cmp.Or(s.ToUser, s.To.User) }

// authFunc is smtp.Auth and imap.Auth.
type authFunc = func(offered []string, channel *tls.ConnectionState) (sasl.Client, error)

// destinationAuth signs in by the best mechanism that the server offers. Without
// TLS the password goes in clear only if clear is set.
func destinationAuth(user string, password secret.Source, clear bool) authFunc {
	return func(offered []string, channel *tls.ConnectionState) (sasl.Client, error) {
		text, err := password(context.Background())
		if err != nil {
			return nil, err
		}
		var binding []byte
		if channel != nil {
			binding, _ = sasl.TLSExporter(*channel) // not every version of TLS has one
		}
		has := func(name string) bool {
			return slices.ContainsFunc(offered, func(o string) bool { return pop3.EqualASCII(o, name) })
		}
		open := channel != nil || clear
		switch {
		case has("SCRAM-SHA-256"):
			return sasl.SCRAMClient(sasl.SCRAMSHA256, user, text, binding, has("SCRAM-SHA-256-PLUS")), nil
		case has("SCRAM-SHA-1"):
			return sasl.SCRAMClient(sasl.SCRAMSHA1, user, text, binding, has("SCRAM-SHA-1-PLUS")), nil
		case open && has("PLAIN"):
			return sasl.PlainClient(user, text), nil
		case open && has("LOGIN"):
			return sasl.LoginClient(user, text), nil
		case channel != nil && has("CRAM-MD5"):
			return sasl.CRAMMD5Client(user, text), nil
		}
		return nil, errors.New("the destination offers no way to sign in that is safe on this connection")
	}
}
