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
		spoil func(m *memory)
		want  error
	}{
		"in order": {func(*memory) {}, nil},
		"overwrites": {func(m *memory) {
			m.before = func(op, key string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if op == "create" {
					delete(m.objects, key)
				}
				return nil
			}
		}, errOverwrites},
		"overwrites in a race": {func(m *memory) {
			m.before = func(op, key string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if op == "create" && strings.HasSuffix(key, "/race") {
					delete(m.objects, key)
				}
				return nil
			}
		}, errOverwrites},
		"does not list": {func(m *memory) {
			m.after = func(op, key string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if op == "create" && strings.Contains(key, "/own-") {
					m.objects["hidden/"+key] = m.objects[key]
					delete(m.objects, key)
				}
				return nil
			}
		}, errOldList},
		"alters": {func(m *memory) {
			m.before = func(op, key string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if op == "get" {
					m.objects[key] = kept{[]byte("prose"), m.now}
				}
				return nil
			}
		}, errAltered},
		"does not delete": {func(m *memory) {
			m.before = func(op, key string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if op == "delete" {
					m.objects[strings.Fields(key)[0]+"-other"] = kept{nil, m.now}
				}
				return nil
			}
		}, errOldList},
		"down": {func(m *memory) { m.before = func(string, string) error { return down } }, down},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			c.spoil(m)
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
