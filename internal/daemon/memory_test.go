package daemon

import "testing"

// Memory is given back once after a burst, not during it and not again.
func TestThrift(t *testing.T) { // other tests would allocate beside it
	m := newThrift()
	m.check()
	var keep []byte
	burst := func() { keep = make([]byte, 2*worthIt) }
	burst()
	if m.check() {
		t.Error("a busy server was disturbed")
	}
	if !m.check() {
		t.Error("nothing was given back after a burst")
	}
	if m.check() {
		t.Error("an idle server collects again and again")
	}
	burst()
	m.check()
	if !m.check() {
		t.Error("nothing was given back after a second burst")
	}
	_ = keep
}
