package bucket

import (
	"errors"
	"testing"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := newStore(m)
	if err := s.Probe(t.Context()); err != nil || len(m.objects) > 0 {
		t.Errorf("a store in order: %v, %q", err, m.keys())
	}
	m.before = func(op, key string) error {
		if op == "create" {
			delete(m.objects, key)
		}
		return nil
	}
	if err := s.Probe(t.Context()); !errors.Is(err, errOverwrites) {
		t.Errorf("one that overwrites: %v", err)
	}
	m.before = nil
	m.after = func(op, key string) error {
		if op == "create" {
			m.objects["hidden/"+key] = m.objects[key]
			delete(m.objects, key)
		}
		return nil
	}
	if err := s.Probe(t.Context()); !errors.Is(err, errOldList) && !errors.Is(err, errOverwrites) {
		t.Errorf("one that does not list what was created: %v", err)
	}
	down := errors.New("down")
	m.before, m.after = func(string, string) error { return down }, nil
	if err := s.Probe(t.Context()); !errors.Is(err, down) {
		t.Errorf("one that is down: %v", err)
	}
}
