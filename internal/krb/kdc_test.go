package krb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// startKDC answers each request by what answer makes of it, length and all.
func startKDC(t *testing.T, answer func(request []byte) []byte) *Config {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if request, err := readCounted(conn); err == nil {
				conn.Write(answer(request))
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	text := fmt.Sprintf("[libdefaults]\ndefault_realm = EXAMPLE.ORG\n[realms]\nEXAMPLE.ORG = {\nkdc = %s\n}\n", l.Addr())
	c, err := parseConfig("krb5.conf", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func counted(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// TestHostileKDC: whatever a KDC answers, there is an error and no ticket.
func TestHostileKDC(t *testing.T) {
	t.Parallel()
	hint := func(iterations uint32) []byte {
		list, err := asn1.Marshal(types.ETypeInfo2{{EType: 18, Salt: "salt", S2KParams: binary.BigEndian.AppendUint32(nil, iterations)}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := asn1.Marshal(types.PADataSequence{{PADataType: patype.PA_ETYPE_INFO2, PADataValue: list}})
		if err != nil {
			t.Fatal(err)
		}
		e := messages.NewKRBError(mail.wire(), mail.Realm, errorcode.KDC_ERR_PREAUTH_REQUIRED, "")
		e.EData = data
		b, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return counted(b)
	}
	for name, test := range map[string]struct {
		answer  []byte
		refused bool
	}{
		"silence":        {nil, false},
		"half a length":  {[]byte{0, 0}, false},
		"empty":          {[]byte{0, 0, 0, 0}, false},
		"huge":           {[]byte{0xFF, 0xFF, 0xFF, 0xFF, 'x'}, false},
		"cut":            {[]byte{0, 0, 0, 9, 'x'}, false},
		"garbage":        {counted([]byte("garbage")), false},
		"no such client": {counted(errorMessage(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, mail)), true},
		"out of order":   {counted(errorMessage(errorcode.KRB_ERR_GENERIC, mail)), false},
		"proof of what":  {counted(errorMessage(errorcode.KDC_ERR_PREAUTH_REQUIRED, mail)), false},
		"much work":      {hint(1 << 31), false},
		"no end":         {hint(4096), true}, // it asks for the proof again
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := startKDC(t, func([]byte) []byte { return test.answer })
			c, err := FromPassword("bob", "secret", config)
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := c.Ticket(t.Context(), "pop", "mail.example.org")
			if ticket != nil || err == nil || errors.Is(err, ErrRefused) != test.refused || strings.Contains(err.Error(), "secret") {
				t.Errorf("%+v, %v", ticket, err)
			}
		})
	}
}

// TestKDCGivesAnother: a reply must be to the request, and its ticket for the
// service that was asked for.
func TestKDCGivesAnother(t *testing.T) {
	t.Parallel()
	tgs := Principal{Name: []string{"krbtgt", "EXAMPLE.ORG"}, Realm: "EXAMPLE.ORG"}
	for name, alter := range map[string]func(*messages.EncKDCRepPart, *messages.TGSRep){
		"good":          nil,
		"other nonce":   func(p *messages.EncKDCRepPart, _ *messages.TGSRep) { p.Nonce++ },
		"other service": func(p *messages.EncKDCRepPart, _ *messages.TGSRep) { p.SName.NameString = []string{"pop", "evil"} },
		"other ticket": func(_ *messages.EncKDCRepPart, r *messages.TGSRep) {
			r.Ticket.SName.NameString = []string{"pop", "evil"}
		},
		"other client": func(_ *messages.EncKDCRepPart, r *messages.TGSRep) { r.CName.NameString = []string{"eve"} },
		"other realm":  func(p *messages.EncKDCRepPart, _ *messages.TGSRep) { p.SRealm = "EXAMPLE.COM" },
		"RC4":          func(p *messages.EncKDCRepPart, _ *messages.TGSRep) { p.Key.KeyType = 23 },
		"tomorrow":     func(p *messages.EncKDCRepPart, _ *messages.TGSRep) { p.StartTime = p.StartTime.Add(24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, 0, Options{})
			kdc, err := NewIssuer(tgs, 0)
			if err != nil {
				t.Fatal(err)
			}
			tgt, err := kdc.Ticket(bob, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			given := r.ticket(t, unaltered)
			config := startKDC(t, func(request []byte) []byte {
				var req messages.TGSReq
				if err := req.Unmarshal(request); err != nil {
					return nil
				}
				part := messages.EncKDCRepPart{Key: given.key.wire(), Nonce: req.ReqBody.Nonce, Flags: types.NewKrbFlags(),
					AuthTime: given.start, StartTime: given.start, EndTime: given.end, SRealm: mail.Realm, SName: mail.wire()}
				rep := messages.TGSRep{KDCRepFields: messages.KDCRepFields{PVNO: 5, MsgType: msgtype.KRB_TGS_REP,
					CRealm: bob.Realm, CName: bob.wire(), Ticket: given.wire}}
				if alter != nil {
					alter(&part, &rep)
				}
				plain, err := asn1.Marshal(part)
				if err != nil {
					return nil
				}
				if rep.EncPart, err = tgt.key.encrypt(usageTGSReply, asn1tools.AddASNAppTag(plain, asnAppTag.EncTGSRepPart), 0); err != nil {
					return nil
				}
				b, err := rep.Marshal()
				if err != nil {
					return nil
				}
				return counted(b)
			})
			c := &Credentials{client: bob, config: config, tickets: []*Ticket{tgt}}
			ticket, err := c.Ticket(t.Context(), "pop", "mail.example.org")
			if (err == nil) != (alter == nil) {
				t.Errorf("%v", err)
			}
			if err != nil {
				return
			}
			if again, err := c.Ticket(t.Context(), "pop", "mail.example.org"); again != ticket || err != nil {
				t.Errorf("ticket is not remembered: %v", err)
			}
		})
	}
}

func TestKDCIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	config := startKDC(t, func([]byte) []byte {
		cancel()
		return []byte{0, 0, 0, 9}
	})
	c, err := FromPassword("bob", "secret", config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ticket(ctx, "pop", "mail.example.org"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	empty, err := parseConfig("krb5.conf", "[libdefaults]\ndns_lookup_kdc = false\n[realms]\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.ask(t.Context(), "EXAMPLE.ORG", nil); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("no KDC: %v", err)
	}
	if _, err := FromPassword("bob", "secret", empty); err == nil {
		t.Error("no realm")
	}
	if _, err := FromPassword("bob@EXAMPLE.ORG", "", empty); err == nil {
		t.Error("no password")
	}
}
