package daemon

import (
	"io"
	"log"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/postwain/postwain/internal/fetch/sink"
)

// imapServer has the user ann, whose password is hunter2. It gives its address.
func imapServer(t *testing.T) (*imapmemserver.User, string) {
	t.Helper()
	user := imapmemserver.NewUser("ann", "hunter2")
	mem := imapmemserver.New()
	mem.AddUser(user)
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapLiteralPlus: {}}, InsecureAuth: true,
		Logger: log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return user, l.Addr().String()
}

// A message for an imap destination arrives in the mailbox that the section
// names, by the user and the password that it names.
func TestIMAPDestination(t *testing.T) {
	t.Parallel()
	user, addr := imapServer(t)
	s := fetchSection(t, "pops://alice@example.org", "imap://ann@"+addr+"/Old%20Mail")
	s.PasswordEnv, s.ToPasswordEnv, s.ToPlaintext = "SECRET", "SECRET", true
	f, err := OpenFetch(t.Context(), fetchOptions(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.boxes[0].Header.Received {
		t.Error("a line that differs each time would make the message another one")
	}
	const text = "Subject: first\r\n\r\nfirst\r\n"
	for range 2 {
		if err := f.boxes[0].Sink.Put(t.Context(), sink.Message{Key: "k", Size: int64(len(text))}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	status, err := user.Status("Old Mail", &imap.StatusOptions{NumMessages: true})
	if err != nil || *status.NumMessages != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}

// A message that a file has already is read to its end all the same.
func TestKnownMessageIsReadWhole(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"maildir:box", "mbox:file"} {
		s := fetchSection(t, "pops://alice@example.org", to)
		s.PasswordEnv = "SECRET"
		f, err := OpenFetch(t.Context(), fetchOptions(t, s))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 2 {
			r := strings.NewReader("Subject: first\r\n\r\nfirst\r\n")
			if err := f.boxes[0].Sink.Put(t.Context(), sink.Message{Key: "k"}, r); err != nil || r.Len() > 0 {
				t.Errorf("%s: %d octets are left, %v", to, r.Len(), err)
			}
		}
	}
}
