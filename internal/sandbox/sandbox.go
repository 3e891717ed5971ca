// Package sandbox takes from the process what it does not need: after it has
// opened its listeners a server that was broken into reads no files but its
// own, and gains no privilege by starting programs.
package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// Paths are what a confined process may still open by name. A directory stands
// for all that is below it, now and later; a regular file stands for the
// directory that it really lies in, because files are exchanged for new ones. A
// link stands for what it points to. What is open already stays open.
type Paths struct {
	Read  []string // may be read
	Write []string // may be read, written, made, moved and removed
	Run   []string // may be read, and started as programs
}

// System are the paths of the system that a server reads beside its own, those
// that are there: names of hosts, time zones, the certificates of authorities,
// and /dev/null.
func System() Paths {
	var p Paths
	for _, path := range []string{
		"/etc", "/etc/ssl/certs", "/etc/pki/ca-trust/extracted",
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
		"/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	} {
		if _, err := os.Stat(path); err == nil {
			p.Read = append(p.Read, path)
		}
	}
	p.Write = []string{"/dev/null"}
	return p
}

// With returns the paths of both.
func (p Paths) With(q Paths) Paths {
	both := func(a, b []string) []string { return append(append([]string(nil), a...), b...) }
	return Paths{both(p.Read, q.Read), both(p.Write, q.Write), both(p.Run, q.Run)}
}

// Report says what holds after Confine, for the log.
type Report struct {
	// NoNewPrivs: set-user-id programs and those with file capabilities have
	// no more privilege than this process.
	NoNewPrivs bool
	// Landlock is the version of the kernel's interface (its ABI) by which
	// files are confined. Zero: they are not.
	Landlock int
	// Absent are the paths that are not there, or not for this user. They stay
	// out of reach even if they are made later.
	Absent []string
	// Why says why files are not confined. Empty: they are.
	Why string
}

// String is the report in words.
func (r Report) String() string {
	var parts []string
	if r.NoNewPrivs {
		parts = append(parts, "no new privileges")
	}
	if r.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("files confined by Landlock %d", r.Landlock))
	}
	if r.Why != "" {
		parts = append(parts, "files not confined: "+r.Why)
	}
	if len(r.Absent) > 0 {
		parts = append(parts, "out of reach, for not being there: "+strings.Join(r.Absent, " "))
	}
	return strings.Join(parts, "; ")
}
