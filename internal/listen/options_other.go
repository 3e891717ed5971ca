//go:build !linux

package listen

// setOptions does nothing: elsewhere than on Linux the sockets have the
// system's own keepalive.
func setOptions(int) error { return nil }
