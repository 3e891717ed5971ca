//go:build race

package pop3_test

// race says that the race detector is on, under which pools forget on purpose.
const race = true
