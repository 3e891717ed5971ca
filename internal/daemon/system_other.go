//go:build !linux

package daemon

import "time"

// Elsewhere than on Linux the server runs for development only.

func private() {}

func writable(string) error { return nil }

func monotonic() time.Duration { return 0 }

func limitMemory(func(string) string) {}
