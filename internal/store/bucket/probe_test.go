package bucket

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for name, c := range map[string]struct {
		before, after func(objects map[string]kept, op, key string) error
		want          error
	}{
		"in order": {},
		"overwrites": {want: errOverwrites, before: func(objects map[string]kept, op, key string) error {
			if op == "create" {
				delete(objects, key)
			}
			return nil
		}},
		"overwrites in a race": {want: errOverwrites, before: func(objects map[string]kept, op, key string) error {
			if op == "create" && strings.HasSuffix(key, "/race") {
				delete(objects, key)
			}
			return nil
		}},
		"does not list": {want: errOldList, after: func(objects map[string]kept, op, key string) error {
			if op == "create" && strings.Contains(key, "/own-") {
				delete(objects, key)
			}
			return nil
		}},
		"alters": {want: errAltered, before: func(objects map[string]kept, op, key string) error {
			if op == "get" {
				objects[key] = kept{data: []byte("prose")}
			}
			return nil
		}},
		"does not delete": {want: errOldList, before: func(objects map[string]kept, op, key string) error {
			if op == "delete" {
				objects[strings.Fields(key)[0]+"-other"] = kept{}
			}
			return nil
		}},
		"down": {want: down, before: func(map[string]kept, string, string) error { return down }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			hook := func(f func(map[string]kept, string, string) error) func(op, key string) error {
				return func(op, key string) error {
					if f == nil {
						return nil
					}
					m.mu.Lock()
					defer m.mu.Unlock()
					return f(m.objects, op, key)
				}
			}
			m.before, m.after = hook(c.before), hook(c.after)
			err := newStore(m).Probe(t.Context())
			if !errors.Is(err, c.want) || c.want == nil && (err != nil || len(m.objects) > 0) {
				t.Errorf("%v, and %q is left; want %v", err, m.keys(), c.want)
			}
		})
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	f, s := newFakeS3(t)
	advice := func() string {
		var all []string
		for _, c := range s.Examine(t.Context()) {
			if c.Err != nil {
				t.Fatalf("%s: %v", c.Name, c.Err)
			}
			if c.Advice != "" {
				all = append(all, c.Name)
			}
		}
		return strings.Join(all, ", ")
	}
	if got := advice(); got != "" {
		t.Errorf("advice about a store in order: %s", got)
	}
	f.versioned, f.locked = true, true
	f.now = func() time.Time { return time.Now().Add(time.Minute) }
	f.made = time.Now
	if got := advice(); got != "clocks, versions, locks" {
		t.Errorf("advice about one that keeps all, with two clocks: %s", got)
	}
	if len(f.objects) > 0 {
		t.Errorf("%d objects are left", len(f.objects))
	}
	s.objects.(*s3Objects).bucket = "nowhere"
	all := s.Examine(t.Context())
	if len(all) != 1 || all[0].Err == nil || !strings.Contains(all[0].Err.Error(), "make it, or correct the name") {
		t.Errorf("a bucket that is not there: %v", all)
	}
}
