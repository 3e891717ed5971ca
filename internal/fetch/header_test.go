package fetch

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	m, to := newModel(1), exactly()
	a := m.account(to, Policy{})
	a.Header = Header{Received: true, By: "mail.example.org", DeliveredTo: "alice@example.org"}
	if r := once(faultfs.New().Root(), a); r.Err != nil || r.Octets != int64(len(text(0))) {
		t.Fatalf("%+v", r)
	}
	head, whole := strings.CutSuffix(to.texts[0], text(0))
	if !whole || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") || strings.Contains(head, "\r\n\r\n") {
		t.Fatalf("%q", to.texts[0])
	}
	msg, err := mail.ReadMessage(strings.NewReader(to.texts[0]))
	if err != nil {
		t.Fatal(err)
	}
	received := msg.Header.Get("Received")
	from, date, _ := strings.Cut(received, ";")
	if from != "from pop.example.org by mail.example.org with POP3" || msg.Header.Get("Delivered-To") != "alice@example.org" {
		t.Errorf("%q", head)
	}
	if at, err := mail.ParseDate(strings.TrimSpace(date)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("%q: %v", date, err)
	}
}

// No value can begin a line of its own.
func TestHeaderValues(t *testing.T) {
	t.Parallel()
	for _, h := range []Header{
		{Received: true},
		{Received: true, By: "a\r\nX: y"},
		{DeliveredTo: "a\nX: y"},
		{DeliveredTo: "a\x00"},
		{DeliveredTo: "a\x7f"},
		{DeliveredTo: strings.Repeat("a", 501)},
	} {
		m := newModel(1)
		a := m.account(exactly(), Policy{})
		a.Header = h
		if r := once(faultfs.New().Root(), a); r.Err == nil || m.logins > 0 {
			t.Errorf("%+v is taken", h)
		}
	}
	for host, want := range map[string]string{
		"pop.example.org":   "pop.example.org",
		"192.0.2.1":         "[192.0.2.1]",
		"2001:db8::1":       "[IPv6:2001:db8::1]",
		"fe80::1%eth0":      "[IPv6:fe80::1]",
		"a b;(c)\r\nX: y\\": "a?b??c???X??y?",
	} {
		if got := hostWord(host); got != want {
			t.Errorf("%q becomes %q", host, got)
		}
	}
}

// The events of a round, in their order, each on its own.
func TestEvents(t *testing.T) {
	t.Parallel()
	m, to := newModel(3), exactly()
	to.parallel = 1
	m.refuseRetr = func(l letter) string {
		if l.text == text(1) {
			return "-ERR no"
		}
		return ""
	}
	var kinds []string
	busy := make(chan struct{}, 1)
	f := New(Options{State: faultfs.New().Root(), Observe: func(e Event) {
		select {
		case busy <- struct{}{}:
		default:
			t.Error("two events at a time")
		}
		kinds = append(kinds, e.Kind.String())
		switch {
		case e.Account != "alice" || e.Time.IsZero():
			t.Errorf("%+v", e)
		case e.Kind == Listed && len(kinds) == 2 && (e.Number != 3 || e.Total != 3 || e.TotalOctets != e.Octets || e.Octets == 0),
			e.Kind == Stored && (e.Number == 0 || e.Octets == 0 || e.UID == ""),
			e.Kind == Failed && (e.Number != 2 || e.Err == nil || e.Text == ""),
			e.Kind == Deleted && e.Total != 2,
			e.Kind == Finished && (e.Total != 2 || e.Err != nil):
			t.Errorf("%v: %+v", e.Kind, e)
		}
		<-busy
	}})
	f.Once(t.Context(), []Account{m.account(to, Policy{})})
	got := strings.Join(kinds, " ")
	if got != "connected listed stored failed stored deleted connected listed finished" &&
		got != "connected listed failed stored stored deleted connected listed finished" {
		t.Error(got)
	}
}
