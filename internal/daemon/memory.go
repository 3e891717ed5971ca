package daemon

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	quietCheck = 2 * time.Second
	quietBelow = 256 << 10 // octets allocated between two checks of a quiet server
	worthIt    = 4 << 20   // octets allocated since memory was given back
)

// thrift gives memory back to the system when a burst of logins is over: most
// sessions then wait, and what signing in has left behind would otherwise lie
// there until the next burst. A server that is busy is not disturbed.
type thrift struct {
	allocated []metrics.Sample
	last      uint64 // octets allocated so far at the last check
	freed     uint64 // at the time memory was given back
}

func newThrift() *thrift {
	return &thrift{allocated: []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}}
}

// check reports whether it gave memory back.
func (m *thrift) check() bool {
	metrics.Read(m.allocated)
	now := m.allocated[0].Value.Uint64()
	quiet := now-m.last < quietBelow
	m.last = now
	if !quiet || now-m.freed < worthIt {
		return false
	}
	debug.FreeOSMemory()
	m.freed = now
	return true
}
