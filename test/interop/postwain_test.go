//go:build interop

package interop

import (
	"testing"

	"github.com/postwain/postwain/test/rig"
)

// TestPostwain brings mail in by every carrier and takes it out by every
// client.
func TestPostwain(t *testing.T) {
	var names []string
	for _, c := range carriers(&rig.Server{}, &rig.Server{}, &rig.Postfix{}) {
		names = append(names, rig.Account(c.name))
	}
	space := newSpace(t, append(names, matrixAccounts()...)...)
	postwain := startPostwain(t, space)
	dovecot, err := space.Dovecot(rig.DovecotStyle{Processes: 1, Connections: 100})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, dovecot.Daemon)
	postfix, err := space.Postfix(postwain.Unix, rig.Account("postfix-lmtp"), rig.Account("postfix-virtual"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postfix.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(postfix.Log())
		}
	})

	arrived := testCarriers(t, space, carriers(&postwain.Server, dovecot, postfix))
	testMatrix(t, "Postwain", space, &postwain.Server, append(asStored(corpus()), arrived...))
}
