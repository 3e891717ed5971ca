package config

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files and docs/config.md")

// Every fault of a file is told at once, with its line and what to do.
func TestProblemsGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := "ok\n"
		if _, err := Parse(purpose(file), filepath.Base(file), data); err != nil {
			got = err.Error() + "\n"
		}
		golden(t, strings.TrimSuffix(file, ".toml")+".want", []byte(got))
	}
}

// purpose is what a file is to be fit for: postwain fetch if it is named so.
func purpose(file string) Purpose {
	if strings.HasPrefix(filepath.Base(file), "fetch") {
		return Fetching
	}
	return Serving
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := Parse(Serving, "/etc/postwain/postwain.toml", []byte(`
hostname = "mail.example.org"
state_dir = "state"
[mail]
path = "mail/%u"
lock = "snapshot"
utf8 = "strict"
uidl_format = "%v.%u"
[accounts]
passwd_file = "/users"
[tls]
cert = "cert.pem"
key = "key.pem"
[[tls.certificate]]
cert = "b.pem"
key = "b.key"
[[listen]]
proto = "pop3"
addr = "[::1]:110"
proxy_from = ["10.1.2.3/8", "2001:db8::1"]
[[listen]]
proto = "lmtp"
addr = "unix:lmtp.sock"
mode = "0666"
group = "postfix"
[limits]
login_delay = "1h30m"
expire = "30d"
message_size = "1GiB"
connections = 7
[log]
format = "json"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.File = "/etc/postwain/postwain.toml"
	want.Hostname = "mail.example.org"
	want.StateDir = "/etc/postwain/state"
	want.Mail = Mail{Maildir, "/etc/postwain/mail/%u", Snapshot, Strict, "%v.%u"}
	want.Accounts.PasswdFile = "/users"
	want.TLS = TLS{
		Cert: "/etc/postwain/cert.pem", Key: "/etc/postwain/key.pem",
		Certificate: []Certificate{{"/etc/postwain/b.pem", "/etc/postwain/b.key"}},
		ACME:        ACME{Challenge: TLSALPN01},
	}
	want.Listen = []Listen{
		{Proto: POP3, Addr: Addr{"tcp", "[::1]:110"}, ProxyFrom: []Network{
			{netip.MustParsePrefix("10.0.0.0/8")}, {netip.MustParsePrefix("2001:db8::1/128")},
		}},
		{Proto: LMTP, Addr: Addr{"unix", "/etc/postwain/lmtp.sock"}, Mode: 0o666, Group: "postfix"},
	}
	want.Limits.LoginDelay = 90 * time.Minute
	want.Limits.Expire = Expire(30 * 24 * time.Hour)
	want.Limits.MessageSize = 1 << 30
	want.Limits.Connections = 7
	want.Log.Format = JSON
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "absent.toml")
	if _, err := Load(file); !os.IsNotExist(reachPath(err)) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func reachPath(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute,
		"30d": 720 * time.Hour, "250ms": 250 * time.Millisecond, "1d1s": 24*time.Hour + time.Second,
		"36500d": maxDuration,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if again, err := ParseDuration(formatDuration(want)); again != want || err != nil {
			t.Errorf("%q is formatted as %q", text, formatDuration(want))
		}
	}
	for _, text := range []string{"", "10", "m", "-1s", "+1s", "1.5h", "1 h", "10M", "36501d", "36500d1s", "99999999999999999999s", "1µs"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0": 0, "1": 1, "512KiB": 512 << 10, "64MiB": 64 << 20, "2GB": 2e9, "9007199254740991KiB": 9007199254740991 << 10} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		form, err := want.MarshalText()
		if err != nil {
			t.Error(err)
		}
		if err := got.UnmarshalText(form); got != want || err != nil {
			t.Errorf("%q is formatted as %q", text, form)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1 MiB", "1mib", "1TiB", "9007199254740992KiB", "99999999999999999999"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Expire{"never": 0, "after-retrieval": AfterRetrieval, "30d": Expire(720 * time.Hour), "48h": Expire(48 * time.Hour)} {
		var got Expire
		if err := got.UnmarshalText([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	// None of these may be read as an order to remove mail.
	for _, text := range []string{"", "0", "0s", "0d", "1s", "23h", "25h", "Never"} {
		var got Expire
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestAddrLocal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"127.0.0.1:110": true, "127.9.9.9:1": true, "[::1]:110": true, "localhost:110": true, "unix:/x": true,
		"0.0.0.0:110": false, ":110": false, "[::]:110": false, "192.0.2.1:110": false, "mail.example.org:110": false,
	} {
		var a Addr
		if err := a.UnmarshalText([]byte(text)); err != nil || a.Local() != want || a.String() != text {
			t.Errorf("%q: %v, local %v, %v", text, a, a.Local(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("[[a]]\n[a.b]\nc.d = [{e = 1}, {f = {g = 2}}]\n\"\".\"x.y\" = 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(Either, "f", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
	})
}
