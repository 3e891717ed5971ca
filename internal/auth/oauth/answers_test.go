package oauth

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestRemembered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		remember time.Duration
		end      time.Duration // of the token; zero: it does not say
		want     time.Duration // that an answer counts
	}{
		{"a minute", 0, time.Hour, time.Minute},
		{"ten minutes", 10 * time.Minute, time.Hour, 10 * time.Minute},
		{"until the token ends", 10 * time.Minute, 3 * time.Minute, 3 * time.Minute},
		{"no end", 0, 0, time.Minute},
		{"not at all", -1, time.Hour, 0},
		{"in its last minute, that of the skew", 0, -10 * time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			end := any(time.Now().Add(tt.end).Unix())
			if tt.end == 0 {
				end = nil
			}
			p := &provider{answer: active().with(object{"exp": end})}
			o := introspecting(p)
			o.Remember = tt.remember
			v := newVerifier(t, o)
			expect(t, v, account, opaque, good, "")
			p.set(func(p *provider) { p.handle = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } })
			if tt.want > 0 {
				time.Sleep(tt.want - time.Nanosecond)
				expect(t, v, account, opaque, good, "")
				expect(t, v, account, opaque+"x", isOutage, "")
				time.Sleep(time.Nanosecond)
			}
			expect(t, v, account, opaque, isOutage, "") // no old answer instead
			p.set(func(p *provider) { p.handle, p.answer = nil, object{"active": false} })
			expect(t, v, account, opaque, isRefused, "")
		})
	}
}

// TestRefusalsAreNotRemembered has a token become good.
func TestRefusalsAreNotRemembered(t *testing.T) {
	t.Parallel()
	p := &provider{answer: object{"active": false}}
	v := newVerifier(t, introspecting(p))
	expect(t, v, account, opaque, isRefused, "")
	p.set(func(p *provider) { p.answer = active() })
	expect(t, v, account, opaque, good, "")
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	a := newAnswers(time.Minute)
	for i := range maxAnswers + 100 {
		key := a.key(fmt.Sprint(i))
		a.remember(key, account, time.Time{})
		if _, ok := a.find(key); !ok {
			t.Fatalf("%d is not known", i)
		}
	}
	if len(a.good) != maxAnswers {
		t.Errorf("%d answers", len(a.good))
	}
}

func TestTokensAreNotKept(t *testing.T) {
	t.Parallel()
	a := newAnswers(time.Minute)
	key := a.key(opaque)
	if bytes.Contains(key[:], []byte(opaque)[:8]) || key == newAnswers(0).key(opaque) || key != a.key(opaque) || key == a.key(opaque+" ") {
		t.Error("no keyed hash")
	}
}

// TestClockSetBack has monotonic time say that an answer is too old.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		until time.Time
		want  bool
	}{
		{now.Add(time.Minute), true}, {now.Add(-time.Second), false},
		{now.Add(time.Minute).Round(0), true}, {now.Add(-time.Minute).Round(0), false},
	} {
		if got := (answer{account, tt.until}).counts(); got != tt.want {
			t.Errorf("%v: %v", tt.until, got)
		}
	}
}
