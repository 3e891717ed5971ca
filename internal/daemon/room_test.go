package daemon

import (
	"errors"
	"testing"
)

func TestRoom(t *testing.T) {
	connections := 0
	r := &room{files: 1000, connections: func() int { return connections }}
	fill := func() (n int) {
		for ; r.take() == nil; n++ {
		}
		return n
	}
	if n := fill(); n != 175 { // 875 of 1000 files
		t.Errorf("%d maildrops of a server with 1,000 files", n)
	}
	if err := r.take(); !errors.Is(err, errFiles) {
		t.Errorf("one more: %v", err)
	}
	r.give()
	if n := fill(); n != 1 {
		t.Errorf("%d where one has gone", n)
	}
	for range 175 {
		r.give()
	}
	connections = mostConnections(1000)
	if n := fill(); n != 75 {
		t.Errorf("%d beside as many connections as there can be", n)
	}
}
