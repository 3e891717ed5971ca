//go:build !race

package fetch

// race says that the race detector is on, under which a gigabyte takes too long.
const race = false
