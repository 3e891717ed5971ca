package ldap

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postwain/postwain/sasl"
)

// A server's answers that are hostile, or those of another protocol, are
// outages, soon, and never a sign-in.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	done := outcome(ldap.ApplicationSearchResultDone, 0)
	flood := bytes.Repeat(message(2, found("cn=x", map[string][]string{"mail": {strings.Repeat("x", 1000)}})), 200)
	reference := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	reference.AppendChild(octets("ldap://elsewhere.example/"))
	for about, raw := range map[string][]byte{
		"nothing":          {},
		"huge length":      []byte("\x30\x84\x7f\xff\xff\xff\x02\x01\x02"),
		"huge octets":      append([]byte("\x30\x84\x7f\xff\xff\xff\x04\x84\x7f\xff\xff\xf0"), bytes.Repeat([]byte("x"), 3*maxAnswer)...),
		"deep":             bytes.Repeat([]byte("\x30\x80"), 40_000),
		"deep, with sizes": deep(5000),
		"references":       bytes.Repeat(message(2, reference), 10_000),
		"long entry":       message(2, found("cn=x", map[string][]string{"mail": {strings.Repeat("x", 2*maxAnswer)}})),
		"other protocol":   []byte("220 mail.example.org ESMTP\r\n"),
		"no operation":     []byte("\x30\x03\x02\x01\x02"),
		"empty operation":  []byte("\x30\x05\x02\x01\x02\x65\x00"),
		"entry of nothing": append(message(2, ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")), message(2, done)...),
		"entry of numbers": append([]byte("\x30\x0b\x02\x01\x02\x64\x06\x02\x01\x01\x02\x01\x01"), message(2, done)...),
		"bad controls":     []byte("\x30\x10\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00"),
		"negative result":  []byte("\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\xff\x04\x00\x04\x00"),
		"long result":      []byte("\x30\x10\x02\x01\x02\x65\x0b\x0a\x05\x01\x00\x00\x00\x00\x04\x00\x04\x00"),
		"disconnection":    []byte("\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x16" + "1.3.6.1.4.1.1466.20036"),
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &directory{entries: people()}
				d.answer = func(op *ber.Packet) []byte {
					if op.Tag == ldap.ApplicationSearchRequest {
						return raw
					}
					return nil
				}
				s := open(t, d, searching())
				account, err := s.Authenticate(t.Context(), rightLogin())
				if account != "" || kindOf(err) != outage {
					t.Errorf("%q, %v", account, err)
				}
				if len(raw) > maxAnswer && about[:4] != "deep" && !strings.Contains(err.Error(), "octets") {
					t.Errorf("it took more than it should: %v", err)
				}
				if _, err := s.Lookup(t.Context(), "alice"); kindOf(err) != outage {
					t.Errorf("Lookup: %v", err)
				}
			})
		})
	}
	t.Run("flood of entries", func(t *testing.T) {
		t.Parallel()
		d := &directory{answer: func(op *ber.Packet) []byte {
			if op.Tag == ldap.ApplicationSearchRequest {
				return flood
			}
			return nil
		}}
		s := open(t, d, searching())
		if account, err := s.Authenticate(t.Context(), rightLogin()); account != "" || err == nil {
			t.Errorf("%q, %v", account, err)
		}
	})
}

// deep is n sequences within each other, of definite length.
func deep(n int) []byte {
	b := []byte{}
	for range n {
		b = append(fmt.Appendf(nil, "\x30\x84%c%c%c%c", 0, byte(len(b)>>16), byte(len(b)>>8), byte(len(b))), b...)
	}
	return b
}

func FuzzAnswer(f *testing.F) {
	f.Add(message(2, outcome(ldap.ApplicationSearchResultDone, 0)))
	f.Add(append(message(2, found("uid=a", map[string][]string{"mail": {"a"}})), message(2, outcome(ldap.ApplicationSearchResultDone, 0))...))
	f.Add(message(1, outcome(ldap.ApplicationBindResponse, 49)))
	f.Add([]byte("\x30\x10\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		synctest.Test(t, func(t *testing.T) {
			d := &directory{answer: func(op *ber.Packet) []byte { return raw }}
			o := searching()
			o.BindDN = ""
			s := open(t, d, o)
			s.Authenticate(t.Context(), rightLogin())
			o = Options{URLs: o.URLs, DN: "uid=%u"}
			s2 := open(t, d, o)
			_, err := s2.Authenticate(t.Context(), sasl.Login{User: "alice", Password: wrongPassword})
			// In a result code and behind it there is a zero, at the least.
			if err == nil && bytes.IndexByte(raw, 0) < 0 {
				t.Errorf("signed in by %x", raw)
			}
			s2.Fields(t.Context(), "alice")
			quiet(t, err)
		})
	})
}

func TestStartResult(t *testing.T) {
	t.Parallel()
	good := string(message(1, outcome(ldap.ApplicationExtendedResponse, 0)))
	for text, ok := range map[string]bool{
		good: true,
		"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00": true, // as some servers write it
		"\x30\x80\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x00\x00":                         false,
		"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00":                                 false, // another's
		"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x00\x04\x00\x04\x00":                                 false, // nobody's
		"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00":                                 false, // of a bind
		"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00":                                 false,
		"\x30\x05\x02\x01\x01\x78\x00":                                                             false,
		"\x30\x08\x02\x01\x01\x78\x7f\x0a\x01\x00":                                                 false,
		"\x30\x82\x20\x00":             false,
		"\x30\x85\x00\x00\x00\x00\x00": false,
		"\x31\x00":                     false,
		"":                             false,
	} {
		message, err := readMessage(strings.NewReader(text))
		if err == nil {
			var code byte
			if code, err = startResult(message); err == nil && code != 0 {
				err = result(code)
			}
		}
		if (err == nil) != ok {
			t.Errorf("%x: %v", text, err)
		}
	}
}

func FuzzStartTLS(f *testing.F) {
	f.Add(message(1, outcome(ldap.ApplicationExtendedResponse, 0)))
	f.Add([]byte("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		message, err := readMessage(r)
		if err != nil {
			return
		}
		if len(message) > len(b) {
			t.Error("more than there is")
		}
		startResult(message)
	})
}
