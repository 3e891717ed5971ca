package bucket

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

func TestS3(t *testing.T) {
	maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
		_, s := newFakeS3(t)
		return maildroptest.Mail{Store: s, Deliverer: s}
	})
}

// on gives a fault to the first requests of a method whose key has a part.
func on(what fault, times int, method, part string) func(*http.Request) fault {
	return func(r *http.Request) fault {
		if times > 0 && r.Method == method && strings.Contains(r.URL.Path, part) {
			times--
			return what
		}
		return none
	}
}

func put(t *testing.T, s *Store, text string) error {
	t.Helper()
	return s.Deliver(t.Context(), owner, maildrop.Incoming{}, strings.NewReader(text))
}

// Row 41: a PUT whose answer is lost is tried again, and known again; there is
// one message.
func TestLostAnswer(t *testing.T) {
	for _, what := range []fault{dropped, slowDown, broken, conflict} {
		f, s := newFakeS3(t)
		f.fault = on(what, 2, http.MethodPut, "/m/")
		if err := put(t, s, "letter\n"); err != nil {
			t.Errorf("fault %d: %v", what, err)
		}
		b, err := s.Open(t.Context(), owner)
		if err != nil || len(b.Messages()) != 1 {
			t.Fatalf("fault %d: %v", what, err)
		}
		f.fault = on(what, 2, http.MethodPut, "/d/")
		if err := b.Commit(t.Context(), []int{0}); err != nil {
			t.Errorf("fault %d: the commit: %v", what, err)
		}
	}
}

// Row 42: a message that is not whole has no good end.
func TestDamagedBody(t *testing.T) {
	for name, what := range map[string]fault{"cut": cut, "altered": altered} {
		f, s := newFakeS3(t)
		if err := put(t, s, strings.Repeat("letter\n", 1000)); err != nil {
			t.Fatal(err)
		}
		b, err := s.Open(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		f.fault = on(what, 1000, http.MethodGet, "/m/")
		r, err := b.Get(t.Context(), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); err == nil {
			t.Errorf("%s: %d octets were read, and that was all", name, len(text))
		}
		r.Close()
		f.fault = func(*http.Request) fault { return none }
		b.Close()
	}
	f, s := newFakeS3(t)
	s.objects.(*s3Objects).stall = 50 * time.Millisecond
	if err := put(t, s, strings.Repeat("letter\n", 100_000)); err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	f.fault = on(silenced, 1, http.MethodGet, "/m/")
	r, err := b.Get(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "silent") {
		t.Errorf("a store that falls silent: %v", err)
	}
	r.Close()
	b.Close()
	// The size in the key is that of another message.
	f, s = newFakeS3(t)
	if err := put(t, s, "letter\n"); err != nil {
		t.Fatal(err)
	}
	for key, o := range f.objects {
		delete(f.objects, key)
		f.objects[strings.Replace(key, ",W=8", ",W=7", 1)] = o
	}
	b, err = s.Open(t.Context(), owner)
	if err != nil || len(b.Messages()) != 1 {
		t.Fatalf("%v", err)
	}
	defer b.Close()
	r, err = b.Get(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, maildrop.ErrDamaged) {
		t.Errorf("a message of another size: %v", err)
	}
}

// A lease is as old as the store says, whatever this machine takes for the time.
func TestLeaseByTheClockOfTheStore(t *testing.T) {
	f, s := newFakeS3(t)
	now := time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC)
	f.now = func() time.Time { return now }
	first, err := s.Open(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(defaultTTL - 2*time.Second)
	if _, err := s.Open(t.Context(), owner); !errors.Is(err, maildrop.ErrInUse) {
		t.Fatalf("a lease that lives: %v", err)
	}
	now = now.Add(3 * time.Second)
	second, err := s.Open(t.Context(), owner)
	if err != nil {
		t.Fatalf("a lease that has died: %v", err)
	}
	if err := first.Commit(t.Context(), nil); err != nil {
		t.Errorf("a commit of nothing: %v", err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
	f.fault = func(*http.Request) fault { return undated }
	if _, err := s.Open(t.Context(), owner); err == nil || !strings.Contains(err.Error(), "what time it is") {
		t.Errorf("an answer without a Date: %v", err)
	}
}

// What people read says what to do, and nothing that is secret.
func TestAdvice(t *testing.T) {
	f, s := newFakeS3(t)
	f.fault = func(*http.Request) fault { return forbidden }
	_, err := s.Open(t.Context(), owner)
	if err == nil || !strings.Contains(err.Error(), "the access key may not do this") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	f, s = newFakeS3(t)
	s.objects.(*s3Objects).bucket = "other"
	if err := put(t, s, "x"); err == nil || !strings.Contains(err.Error(), "there is no bucket of that name") {
		t.Errorf("%v", err)
	}
	if len(f.objects) > 0 {
		t.Error("it was put elsewhere")
	}
	for _, c := range []string{"NoSuchBucket", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied", "RequestTimeTooSkewed", "PermanentRedirect", "NotImplemented"} {
		if advice(c) == "" {
			t.Errorf("%s: nobody knows what to do", c)
		}
	}
}
