package lmtp

import (
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 256)
	for _, tt := range []struct {
		in, text, rest string
		ok             bool
	}{
		{"<>", "", "", true},
		{"<> SIZE=1", "", " SIZE=1", true},
		{"<a@b>", "a@b", "", true},
		{"<a>", "a", "", true},
		{"<a.b.c@d.e-f.g>x", "a.b.c@d.e-f.g", "x", true},
		{"<!#$%&'*+-/=?^_`{|}~@b>", "!#$%&'*+-/=?^_`{|}~@b", "", true},
		{`<"a b\"\\@>"@b>`, `"a b\"\\@>"@b`, "", true},
		{`<""@b>`, `""@b`, "", true},
		{"<a@[192.0.2.1]>", "a@[192.0.2.1]", "", true},
		{"<a@[@]>", "", "", false},
		{"<a@[a/b]>", "", "", false},
		{"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "", true},
		{"<a@host_1.example.org>", "a@host_1.example.org", "", true},
		{"<@x,@y.z:a@b>", "a@b", "", true},
		{"<ü@ä.example>", "ü@ä.example", "", true},
		{"<" + long + "@b>", long + "@b", "", true},

		{"", "", "", false},
		{"<", "", "", false},
		{"a@b", "", "", false},
		{" <a@b>", "", "", false},
		{"<a@b", "", "", false},
		{"<@b>", "", "", false},
		{"<a@>", "", "", false},
		{"<a@@b>", "", "", false},
		{"<a@b@c>", "", "", false},
		{"<.a@b>", "", "", false},
		{"<a.@b>", "", "", false},
		{"<a..b@c>", "", "", false},
		{"<a b@c>", "", "", false},
		{"<a,b@c>", "", "", false},
		{"<(a)b@c>", "", "", false},
		{"<a@b..c>", "", "", false},
		{"<a@.b>", "", "", false},
		{"<a@b.>", "", "", false},
		{"<a@-b>", "", "", false},
		{"<a@b->", "", "", false},
		{"<a@b-.c>", "", "", false},
		{"<a@[]>", "", "", false},
		{"<a@[x>", "", "", false},
		{"<a@[x]y>", "", "", false},
		{`<"a@b>`, "", "", false},
		{`<"a"b@c>`, "", "", false},
		{`<"a\`, "", "", false},
		{"<\"a\\\x01\"@b>", "", "", false},
		{"<\"a\\ü\"@b>", "", "", false},
		{"<\"a\x01\"@b>", "", "", false},
		{"<a\x01@b>", "", "", false},
		{"<@x>", "", "", false},
		{"<@x:>", "", "", false},
		{"<@x,:a@b>", "", "", false},
		{"<@x,a@b>", "", "", false},
		{"<@:a@b>", "", "", false},
		{"<\xff@b>", "", "", false},
		{"<a@\xc3>", "", "", false},
		{"<\u0085@b>", "", "", false},
		{"<a@b\u2028c>", "", "", false},
		{"<" + long + long + "@b>", "", "", false},
		{"<a@" + long + ">", "", "", false},
	} {
		m, rest, ok := parsePath(tt.in)
		if ok != tt.ok || ok && (m.text != tt.text || rest != tt.rest) {
			t.Errorf("%q: %q, rest %q, %v", tt.in, m.text, rest, ok)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	type param struct {
		name, value string
		has         bool
	}
	for _, tt := range []struct {
		in   string
		want []param
		ok   bool
	}{
		{"", nil, true},
		{" ", nil, true},
		{" A", []param{{"A", "", false}}, true},
		{" A=1  b-2=x+y ", []param{{"A", "1", true}, {"b-2", "x+y", true}}, true},
		{"A", nil, false},
		{" =1", nil, false},
		{" A=", nil, false},
		{" A= B", nil, false},
		{" A=1=2", nil, false},
		{" -A", nil, false},
		{" A_B", nil, false},
		{" Ä", nil, false},
		{" A=ä", nil, false},
	} {
		rest := tt.in
		for _, want := range append(tt.want, param{}) {
			var got param
			var ok bool
			got.name, got.value, got.has, rest, ok = nextParam(rest)
			if ok != tt.ok || ok && got != want {
				t.Errorf("%q: %+v %v, want %+v", tt.in, got, ok, want)
				break
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0": 0, "1000": 1000, "00000000000000000007": 7,
		"9223372036854775807": 1<<63 - 1, "9223372036854775808": 1<<63 - 1, "99999999999999999999": 1<<63 - 1,
	} {
		if n, ok := parseSize(in); !ok || n != want {
			t.Errorf("%q: %d %v", in, n, ok)
		}
	}
	for _, in := range []string{"", "-1", "+1", " 1", "1 ", "0x1", "1e3", "١", "000000000000000000001"} {
		if n, ok := parseSize(in); ok {
			t.Errorf("%q: %d", in, n)
		}
	}
}
