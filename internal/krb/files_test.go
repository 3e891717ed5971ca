package krb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

func TestKeytab(t *testing.T) {
	t.Parallel()
	issuer, err := NewIssuer(mail, 20)
	if err != nil {
		t.Fatal(err)
	}
	good := issuer.Keytab()
	for n := range good {
		all, err := parseKeytab(good[:n])
		if len(all) > 0 || err == nil && n >= 6 {
			t.Errorf("cut at %d: %d keys, %v", n, len(all), err)
		}
		if err != nil && strings.Contains(err.Error(), string(issuer.key.value)) {
			t.Error("error has the key in it")
		}
	}
	hole := append([]byte{5, 2, 0xFF, 0xFF, 0xFF, 0xFE, 'x', 'y'}, good[2:]...)
	rc4 := append(bytes.Clone(good), good[2:]...)
	binary.BigEndian.PutUint16(rc4[len(good)+len(good[2:])-4-32-2-2:], 23)
	narrow := append(bytes.Clone(good[:2]), 0, 0, 0, byte(len(good)-2-4-4))
	narrow = append(narrow, good[6:len(good)-4]...)
	for name, test := range map[string]struct {
		data []byte
		keys int
		ok   bool
	}{
		"good":            {good, 1, true},
		"hole":            {hole, 1, true},
		"old form":        {narrow, 1, true},
		"RC4 beside":      {rc4, 1, true},
		"end mark":        {append(bytes.Clone(good), 0, 0, 0, 0, 'x'), 1, true},
		"no keys":         {[]byte{5, 2}, 0, true},
		"version 1":       {append([]byte{5, 1}, good[2:]...), 0, false},
		"empty":           {nil, 0, false},
		"text":            {[]byte("not a keytab"), 0, false},
		"hole too long":   {[]byte{5, 2, 0x80, 0, 0, 0, 1, 2, 3, 4}, 0, false},
		"entry too long":  {[]byte{5, 2, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, 0, false},
		"65535 parts":     {[]byte{5, 2, 0, 0, 0, 4, 0xFF, 0xFF, 0, 0}, 0, false},
		"entry too short": {[]byte{5, 2, 0, 0, 0, 1, 0}, 0, false},
	} {
		all, err := parseKeytab(test.data)
		if len(all) != test.keys || (err == nil) != test.ok {
			t.Errorf("%s: %d keys, %v", name, len(all), err)
		}
		for _, e := range all {
			if !e.principal.Equal(mail) || !bytes.Equal(e.key.value, issuer.key.value) || e.kvno != 2 {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

// TestKeytabChanges follows a keytab through a new key, a fault and a repair.
func TestKeytabChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []error
		r := newRealm(t, 0, Options{Report: func(err error) { told = append(told, err) }})
		accept := func() error {
			_, _, err := r.acceptor.Accept(request(t, r.ticket(t, unaltered), RequestOptions{}).Message, Asked{})
			return err
		}
		if err := accept(); err != nil {
			t.Fatal(err)
		}
		issuer, err := NewIssuer(mail, 0)
		if err != nil {
			t.Fatal(err)
		}
		issuer.kvno = 3
		r.issuer = issuer
		if err := accept(); !errors.Is(err, ErrRefused) {
			t.Errorf("new key, old keytab: %v", err)
		}
		write := func(data []byte) {
			next := filepath.Join(filepath.Dir(r.path), "next")
			if err := errors.Join(os.WriteFile(next, data, 0o600), os.Rename(next, r.path)); err != nil {
				t.Fatal(err)
			}
		}
		write(issuer.Keytab())
		if err := accept(); err != nil {
			t.Errorf("new key, new keytab: %v", err)
		}
		write([]byte("damaged"))
		for range 3 {
			time.Sleep(2 * time.Second)
			if err := accept(); err != nil {
				t.Errorf("damaged keytab: %v", err)
			}
		}
		if len(told) != 1 || !strings.Contains(told[0].Error(), "stay in force") {
			t.Errorf("told %v", told)
		}
		if err := os.Remove(r.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := accept(); err != nil || len(told) != 2 {
			t.Errorf("no keytab: %v, told %v", err, told)
		}
	})
}

func TestNewAcceptor(t *testing.T) {
	t.Parallel()
	r := newRealm(t, 0, Options{Host: "mail.example.org"})
	if r.acceptor.Realm() != "EXAMPLE.ORG" {
		t.Errorf("realm %q", r.acceptor.Realm())
	}
	other, err := NewIssuer(Service("pop", "MAIL.example.org.", "EXAMPLE.COM"), 0)
	if err != nil {
		t.Fatal(err)
	}
	two := filepath.Join(t.TempDir(), "two")
	if err := os.WriteFile(two, append(r.issuer.Keytab(), other.Keytab()[2:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		o  Options
		ok bool
	}{
		{Options{Keytab: two, Service: "pop", Realm: "EXAMPLE.COM"}, true},
		{Options{Keytab: two, Service: "pop", Realm: "EXAMPLE.COM", Host: "mail.example.org"}, true},
		{Options{Keytab: two, Service: "pop"}, false},
		{Options{Keytab: two, Service: "imap", Realm: "EXAMPLE.COM"}, false},
		{Options{Keytab: r.path, Service: "imap"}, false},
		{Options{Keytab: r.path, Service: "pop", Host: "www.example.org"}, false},
		{Options{Keytab: r.path, Service: "pop", Realm: "EXAMPLE.NET"}, false},
		{Options{Keytab: r.path}, false},
		{Options{Keytab: r.path + "x", Service: "pop"}, false},
		{Options{Keytab: filepath.Dir(r.path), Service: "pop"}, false},
	} {
		if _, err := NewAcceptor(test.o); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.o, err)
		}
	}
}

// writeCache gives tickets as kinit writes them.
func writeCache(client Principal, tickets ...*Ticket) []byte {
	long := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	name := func(b []byte, p Principal) []byte {
		b = binary.BigEndian.AppendUint32(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Name)))
		b = long(b, p.Realm)
		for _, part := range p.Name {
			b = long(b, part)
		}
		return b
	}
	b := []byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	b = name(b, client)
	for _, t := range tickets {
		b = name(name(b, t.client), t.service)
		b = binary.BigEndian.AppendUint16(b, uint16(t.key.kind.id))
		b = long(b, string(t.key.value))
		for _, when := range []time.Time{t.start, t.start, t.end, t.end} {
			b = binary.BigEndian.AppendUint32(b, uint32(when.Unix()))
		}
		b = append(b, 0, 0, 0, 0, 0)
		b = append(b, 0, 0, 0, 1, 0, 2, 0, 0, 0, 4, 192, 0, 2, 1) // an address
		b = append(b, 0, 0, 0, 0)
		wire, _ := t.wire.Marshal()
		b = long(long(b, string(wire)), "")
	}
	return b
}

func TestCache(t *testing.T) {
	t.Parallel()
	r := newRealm(t, 0, Options{})
	k := r.ticket(t, unaltered)
	note := *k
	note.service = Principal{Name: []string{"krb5_ccache_conf_data", "pa_type"}, Realm: "X-CACHECONF:"}
	good := writeCache(bob, &note, k)
	all, err := parseCache(good)
	if err != nil || !all.client.Equal(bob) || len(all.tickets) != 2 || !all.tickets[1].valid() {
		t.Fatalf("%+v, %v", all, err)
	}
	for n := range good {
		if _, err := parseCache(good[:n]); err == nil && n < len(good)-len(writeCache(bob, k))+len(writeCache(bob)) && n != len(writeCache(bob)) && n != len(writeCache(bob, &note)) {
			t.Errorf("cut at %d", n)
		}
	}
	path := filepath.Join(t.TempDir(), "ccache")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := parseConfig("krb5.conf", "[libdefaults]\ndefault_realm = EXAMPLE.ORG\n")
	if err != nil {
		t.Fatal(err)
	}
	c, err := FromCache(path, config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Ticket(t.Context(), "pop", "Mail.Example.Org.")
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err := r.acceptor.Accept(request(t, found, RequestOptions{}).Message, Asked{}); err != nil || !s.Client.Equal(bob) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := c.Ticket(t.Context(), "pop", "www.example.org"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "kinit") {
		t.Errorf("no ticket, and none for the KDC: %v", err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "/tmp/krb5cc_1000", "FILE:/x/y": "/x/y", "/x/y": "/x/y", "y": "y",
		"DIR:/x": "", "KEYRING:persistent:0": "", "KCM:": "",
	} {
		got, err := CachePath(name, 1000)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	path := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(path, []byte("[libdefaults]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ConfigPath("/nowhere:" + path); got != path {
		t.Errorf("%q", got)
	}
	if got := ConfigPath(""); got != "/etc/krb5.conf" {
		t.Errorf("%q", got)
	}
}

// TestConfig reads what other people's krb5.conf have in them.
func TestConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "krb5.conf")
	text := `# comment
includedir /etc/krb5.conf.d/
[logging]
	default = FILE:/var/log/krb5libs.log
[libdefaults]
	default_realm = EXAMPLE.ORG
	dns_lookup_realm = false
	forwardable = true
	rdns = false
	default_ccache_name = KEYRING:persistent:%{uid}
	kdc_default_options = 0x01
	fcc-mit-ticketflags = true
[realms]
	EXAMPLE.ORG = {
		kdc = kdc1.example.org
		kdc = kdc2.example.org:8888
		admin_server = kdc1.example.org
		auth_to_local = RULE:[1:$1]
	}
[domain_realm]
	.example.org = EXAMPLE.ORG
	www.example.com = EXAMPLE.ORG
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	kdcs, err := c.kdcs(t.Context(), "EXAMPLE.ORG")
	if err != nil || c.Realm() != "EXAMPLE.ORG" || len(kdcs) != 2 || kdcs[0] != "kdc1.example.org:88" || kdcs[1] != "kdc2.example.org:8888" {
		t.Errorf("%v, %v", kdcs, err)
	}
	for host, realm := range map[string]string{"mail.example.org": "EXAMPLE.ORG", "www.example.com": "EXAMPLE.ORG", "elsewhere": "HOME"} {
		if got := c.realmOf(host, "HOME"); got != realm {
			t.Errorf("%s: %q", host, got)
		}
	}
	for _, bad := range []string{"[libdefaults]\nclockskew = soon\n", "[libdefaults]\ndefault_realm\n"} {
		if _, err := parseConfig("bad", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := LoadConfig(path + "x"); err == nil {
		t.Error("no file")
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		"bob@EXAMPLE.ORG": true, "bob": true, "pop/mail.example.org@EXAMPLE.ORG": true, "bücher@EXAMPLE.ORG": true,
		"": false, "@EXAMPLE.ORG": false, "bob@": false, "/bob@R": false, "bob/@R": false, "a@b@c": false,
		`bob\@x@R`: false, "bob\x00@R": false, "bob\n@R": false, "b\xffb@R": false, "a/b/c/d/e/f/g/h/i@R": false,
		strings.Repeat("b", 2000) + "@R": false,
	} {
		p, err := ParsePrincipal(s)
		if (err == nil) != ok || ok && p.String() != s {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
	if s := Service("pop", "MAIL.Example.org.", "R").String(); s != "pop/mail.example.org@R" {
		t.Error(s)
	}
}

func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	k, err := newKey(types.EncryptionKey{KeyType: 18, KeyValue: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	if s := k.String() + k.GoString(); strings.Contains(s, "0123") {
		t.Error(s)
	}
}

func FuzzKeytab(f *testing.F) {
	issuer, err := NewIssuer(mail, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(issuer.Keytab())
	f.Fuzz(func(_ *testing.T, b []byte) { parseKeytab(b) })
}

func FuzzCache(f *testing.F) {
	r := newRealm(f, 0, Options{})
	f.Add(writeCache(bob, r.ticket(f, unaltered)))
	f.Fuzz(func(_ *testing.T, b []byte) { parseCache(b) })
}
