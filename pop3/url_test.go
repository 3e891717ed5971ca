package pop3_test

import (
	"testing"

	"github.com/postwain/postwain/pop3"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want pop3.URL
		addr string
	}{
		{"pop://example.org", pop3.URL{Host: "example.org"}, "example.org:110"},
		{"POPS://example.org/", pop3.URL{TLS: true, Host: "example.org"}, "example.org:995"},
		{"pop://rg@mailsrv.example.org", pop3.URL{User: "rg", Host: "mailsrv.example.org"}, "mailsrv.example.org:110"},
		{"pop://rg;AUTH=+APOP@mail.example.net:8110", pop3.URL{User: "rg", Auth: "+APOP", Host: "mail.example.net", Port: 8110}, "mail.example.net:8110"},
		{"pop://b;auth=*@example.org", pop3.URL{User: "b", Auth: "*", Host: "example.org"}, "example.org:110"},
		{"pop://baz%3BAUTH=SCRAM-SHA-1@foo.example", pop3.URL{User: "baz;AUTH=SCRAM-SHA-1", Host: "foo.example"}, "foo.example:110"},
		{"pops://a%40example.org@[2001:db8::1]:1995", pop3.URL{TLS: true, User: "a@example.org", Host: "2001:db8::1", Port: 1995}, "[2001:db8::1]:1995"},
		{"pops://a@example.org@[2001:db8::1]", pop3.URL{TLS: true, User: "a@example.org", Host: "2001:db8::1"}, "[2001:db8::1]:995"},
	} {
		got, err := pop3.ParseURL(c.in)
		if err != nil || got != c.want || got.Addr() != c.addr {
			t.Errorf("%q: %+v (%s), %v", c.in, got, got.Addr(), err)
		}
		if again, err := pop3.ParseURL(got.String()); err != nil || again != got {
			t.Errorf("%q became %q, which gives %+v, %v", c.in, got.String(), again, err)
		}
	}
	for _, in := range []string{
		"", "pop:", "pop://", "imap://example.org", "pop://a:secret@example.org", "pop://a;b@example.org", "pop://a;AUTH=@example.org",
		"pop://example.org:0", "pop://example.org:65536", "pop://example.org:x", "pop://example.org:", "pop://example.org/INBOX",
		"pop://%zz@example.org", "pop://a%0d%0aDELE%201@example.org", "pop://exa mple.org", "pop://[example.org]", "pop://2001:db8::1",
		"pop://example.org?x", "pop://ex\nample.org",
	} {
		if got, err := pop3.ParseURL(in); err == nil {
			t.Errorf("%q is taken as %+v", in, got)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("pop://rg;AUTH=+APOP@mail.example.net:8110")
	f.Fuzz(func(t *testing.T, in string) {
		u, err := pop3.ParseURL(in)
		if err != nil {
			return
		}
		if again, err := pop3.ParseURL(u.String()); err != nil || again != u {
			t.Fatalf("%q gives %+v, but %q gives %+v, %v", in, u, u.String(), again, err)
		}
	})
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	var cs pop3.Capabilities
	for _, line := range []string{"TOP", "sasl  PLAIN   LOGIN ", "EXPIRE 30 USER"} {
		cs = append(cs, pop3.ParseCapability(line))
	}
	if args, ok := cs.Lookup(pop3.CapSASL); !ok || args != "PLAIN LOGIN" {
		t.Errorf("SASL is %q, %v", args, ok)
	}
	if _, ok := cs.Lookup(pop3.CapSTLS); ok {
		t.Error("STLS is there")
	}
	if s := cs[1].String() + "," + cs[0].String(); s != "SASL PLAIN LOGIN,TOP" {
		t.Errorf("lines are %q", s)
	}
}
