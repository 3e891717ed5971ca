//go:build !linux

package sandbox

import "runtime"

// Confine does nothing on this system, and says so.
func Confine(Paths) (Report, error) {
	return Report{Why: runtime.GOOS + " has no Landlock"}, nil
}
