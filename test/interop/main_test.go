//go:build interop

package interop

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/postwain/postwain/test/rig"
)

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "postwain-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the daemon runs as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if program, err = rig.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	table.print()
	return code
}

func newSpace(t *testing.T, accounts ...string) *rig.Space {
	t.Helper()
	s, err := rig.NewSpace("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.AddAccounts(accounts...); err != nil {
		t.Fatal(err)
	}
	return s
}

// program is the path of the program under test, built once.
var program string

func startPostwain(t *testing.T, space *rig.Space) *rig.Postwain {
	t.Helper()
	p, err := space.Postwain(program, "[limits]\nconnections = 1000\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	return p
}

func stopAtEnd(t *testing.T, d *rig.Daemon) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(d.Log())
		}
	})
}

// TestDovecotAsOracle runs the clients against a server that they are known to
// work with: what a client alters there is the client's doing. Dovecot itself
// is excused from stuffing a dot that is the first octet.
func TestDovecotAsOracle(t *testing.T) {
	space := newSpace(t, matrixAccounts()...)
	server, err := space.Dovecot(rig.DovecotStyle{Processes: 1, Connections: 100})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server.Daemon)
	letters := slices.DeleteFunc(corpus(), func(l letter) bool { return l.name == "dot first" })
	testMatrix(t, "Dovecot", space, server, asStored(letters))
}
