package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postwain/postwain/maildrop"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, root, template string }{
		{"/var/mail/vhosts/%d/%n", "/var/mail/vhosts", "%d/%n"},
		{"/home/%n/Maildir", "/home", "%n/Maildir"},
		{"/home/%n/Maildir/", "/home", "%n/Maildir"},
		{"/%u", "/", "%u"},
		{"/var//mail/x-%u", "/var/mail", "x-%u"},
		{"/var/mail", "", ""},
		{"mail/%u", "", ""},
		{"", "", ""},
	} {
		root, template, err := split(c.path)
		if (err != nil) != (c.root == "") || root != c.root || template != c.template {
			t.Errorf("split(%q) = %q, %q, %v", c.path, root, template, err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	good := Config{Kind: "maildir", Path: dir + "/%d/%n", State: state}
	s, err := Open(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), "alice@example.org", maildrop.Incoming{}, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), good); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server on the same state gets %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Kind = "mbox" }, "not in this version"},
		{func(c *Config) { c.Kind = "bucket" }, "it has no name"},
		{func(c *Config) { c.Kind = "Maildir" }, "unknown"},
		{func(c *Config) { c.Path = "/no/such/directory/%u" }, "mail directory"},
		{func(c *Config) { c.Path = dir + "/%x" }, "%"},
		{func(c *Config) { c.Path = dir + "/%u/../%n" }, "path"},
		{func(c *Config) { c.State = "/no/such/directory" }, "state directory"},
		{func(c *Config) { c.UIDLFormat = "%v" }, "UIDL"},
	} {
		bad := good
		c.change(&bad)
		if _, err := Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%+v): %v", bad, err)
		}
	}
}
