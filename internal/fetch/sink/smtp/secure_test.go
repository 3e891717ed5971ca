package smtp

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/sasl"
)

const secret = "correct horse"

// plain signs in by PLAIN, whatever is offered.
func plain([]string, *tls.ConnectionState) (sasl.Client, error) {
	return sasl.PlainClient("ann", secret), nil
}

// TLS comes before the sender, the recipient and the password, or nothing does.
func TestSecurity(t *testing.T) {
	t.Parallel()
	certificate, roots := testkit.Certificate(t)
	for _, tt := range []struct {
		name     string
		security Security
		peer     *peer
		roots    bool
		ok       bool
	}{
		{"STARTTLS", STARTTLS, &peer{offers: []string{"STARTTLS"}}, true, true},
		{"TLS", TLS, &peer{wrapped: true}, true, true},
		{"not offered", STARTTLS, &peer{}, true, false},
		{"refused", STARTTLS, &peer{offers: []string{"STARTTLS"}, replies: map[string][]string{"STARTTLS": {"454 Not now"}}}, true, false},
		{"injected", STARTTLS, &peer{offers: []string{"STARTTLS"}, replies: map[string][]string{"STARTTLS": {"220 Go on\r\n250 x"}}}, true, false},
		{"hangs up", STARTTLS, &peer{offers: []string{"STARTTLS"}, replies: map[string][]string{"STARTTLS": {"hang up"}}}, true, false},
		{"not trusted", STARTTLS, &peer{offers: []string{"STARTTLS"}}, false, false},
		{"TLS not trusted", TLS, &peer{wrapped: true}, false, false},
		{"no TLS", TLS, &peer{}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := tt.peer
			p.tls = &tls.Config{Certificates: []tls.Certificate{certificate}}
			o := options(p)
			o.Security, o.Auth = tt.security, plain
			if tt.roots {
				o.TLS = &tls.Config{RootCAs: roots}
			}
			err := put(t, mustSink(t, o), "x\r\n")
			if (err == nil) != tt.ok {
				t.Errorf("Put: %v", err)
			}
			commands, mail := p.seen()
			said := strings.Join(commands, " ")
			if !tt.ok && (len(mail) > 0 || strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL")) {
				t.Errorf("said %q", commands)
			}
			if tt.ok && tt.security == STARTTLS && strings.Count(said, "EHLO") != 2 {
				t.Errorf("the server was not greeted anew: %q", commands)
			}
		})
	}
}

// A handshake that stands still ends.
func TestHandshakeStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := options(&peer{replies: map[string][]string{"": {"silence"}}})
		o.Security = TLS
		if err := put(t, mustSink(t, o), "x\r\n"); err == nil {
			t.Error("no error")
		}
	})
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("t", 2000)
	for _, tt := range []struct {
		name    string
		client  sasl.Client
		replies map[string][]string
		want    []string // the commands behind EHLO
		refused bool
	}{
		{"PLAIN", sasl.PlainClient("ann", secret), nil, []string{"AUTH PLAIN " + b64("\x00ann\x00"+secret)}, false},
		{
			"LOGIN", sasl.LoginClient("ann", secret),
			map[string][]string{"AUTH": {"334 " + b64("Username:")}, b64("ann"): {"334 " + b64("Password:")}, b64(secret): {"235 ok"}},
			[]string{"AUTH LOGIN", b64("ann"), b64(secret)}, false,
		},
		{
			"long", sasl.PlainClient("ann", token),
			map[string][]string{"AUTH": {"334 "}, b64("\x00ann\x00" + token): {"235 ok"}},
			[]string{"AUTH PLAIN", b64("\x00ann\x00" + token)}, false,
		},
		{
			"wrong password", sasl.PlainClient("ann", secret),
			map[string][]string{"AUTH": {"535 5.7.8 No: \x00ann\x00" + secret}},
			[]string{"AUTH PLAIN " + b64("\x00ann\x00"+secret)}, true,
		},
		{
			"outage", sasl.PlainClient("ann", secret),
			map[string][]string{"AUTH": {"454 4.7.0 " + b64("\x00ann\x00"+secret)}},
			[]string{"AUTH PLAIN " + b64("\x00ann\x00"+secret)}, false,
		},
		{
			"challenge is no base64", sasl.LoginClient("ann", secret),
			map[string][]string{"AUTH": {"334 ???"}, "*": {"501 Cancelled"}},
			[]string{"AUTH LOGIN", "*"}, false,
		},
		{
			"endless", sasl.CRAMMD5Client("ann", secret),
			map[string][]string{"AUTH": {"334 " + b64("<1@example.org>")}},
			[]string{"AUTH CRAM-MD5"}, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &peer{offers: []string{"AUTH PLAIN LOGIN"}, replies: tt.replies}
			o := options(p)
			var offered []string
			o.Auth = func(list []string, channel *tls.ConnectionState) (sasl.Client, error) {
				offered = list
				if channel != nil {
					t.Error("a channel without TLS")
				}
				return tt.client, nil
			}
			err := put(t, mustSink(t, o), "x\r\n")
			commands, mail := p.seen()
			if got := commands[1:min(len(tt.want)+1, len(commands))]; strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("said %q, want %q", got, tt.want)
			}
			ok := tt.name == "PLAIN" || tt.name == "LOGIN" || tt.name == "long"
			if (err == nil) != ok || len(mail) > 0 != ok || errors.Is(err, sasl.ErrRefused) != tt.refused {
				t.Errorf("%v; mail %q", err, mail)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), b64("\x00ann\x00" + secret)[:12])) {
				t.Errorf("the error tells the password: %v", err)
			}
			if len(offered) != 2 || offered[1] != "LOGIN" {
				t.Errorf("offered: %q", offered)
			}
		})
	}
}
