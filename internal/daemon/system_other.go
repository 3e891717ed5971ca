//go:build !linux

package daemon

import (
	"math"
	"time"
)

// Elsewhere than on Linux the server runs for development only.

func private() {}

func writable(string) error { return nil }

func openFiles() int { return math.MaxInt32 }

func monotonic() time.Duration { return 0 }

func limitMemory(func(string) string) {}
