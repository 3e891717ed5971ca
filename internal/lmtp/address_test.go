package lmtp

import (
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address string
		want    string // separated by spaces; _ is a space
	}{
		{"bob@example.org", "bob@example.org"},
		{"bob@EXAMPLE.org", "bob@example.org"},
		{"Bob@example.org", "Bob@example.org bob@example.org"},
		{"bob@mail.example.org", "bob@mail.example.org bob"},
		{"bob@Mail.Example.Org", "bob@mail.example.org bob"},
		{"bob@sub.mail.example.org", "bob@sub.mail.example.org"},
		{"bob", "bob@mail.example.org bob"},
		{"Postmaster", "Postmaster@mail.example.org postmaster@mail.example.org Postmaster postmaster"},
		{"bob+x@example.org", "bob+x@example.org bob@example.org"},
		{"bob+x+y@example.org", "bob+x+y@example.org bob@example.org"},
		{"bob+@example.org", "bob+@example.org bob@example.org"},
		{"+x@example.org", "+x@example.org"},
		{"bob+x@mail.example.org", "bob+x@mail.example.org bob@mail.example.org bob+x bob"},
		{"Bob+X@example.org", "Bob+X@example.org bob+x@example.org Bob@example.org bob@example.org"},
		{`"bob"@example.org`, "bob@example.org"},
		{`"b\o\"b"@example.org`, `bo"b@example.org`},
		{`"john doe"@example.org`, "john_doe@example.org"},
		{`"john+doe"@example.org`, "john+doe@example.org john@example.org"},
		{"ÄRGER@Ärger.example", "ÄRGER@Ärger.example Ärger@Ärger.example"}, // only ASCII is folded
		{"bob@xn--rger-koa.EXAMPLE", "bob@xn--rger-koa.example"},
		{"bob@[192.0.2.1]", "bob@[192.0.2.1]"},
		{"..", ""},
		{"", ""},
		{"@example.org", ""},
		{"bob@", ""},
		{"bob@a@b", ""},
		{"bob ", ""},
		{`""@example.org`, ""},
		{`""`, ""},
		{`"bob@example.net"@mail.example.org`, ""},
		{`"../bob"@example.org`, ""},
		{"a/b@example.org", ""},
		{`"a\\b"@example.org`, ""},
		{"\xff@example.org", ""},
		{"b\u0085b@example.org", ""},
		{"bob\x00@example.org", ""},
	} {
		var want []string
		for _, w := range strings.Fields(tt.want) {
			want = append(want, strings.ReplaceAll(w, "_", " "))
		}
		if got := Names(tt.address, "Mail.example.ORG"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", tt.address, got, want)
		}
	}
	if got := Names("bob", ""); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("without a host name: %q", got)
	}
}
